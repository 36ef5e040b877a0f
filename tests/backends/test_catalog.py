"""Shipped entries are sound; a user's own are checked to the line."""

from __future__ import annotations

import pytest

from chatapp.backends.catalog import Price, load_catalog
from chatapp.config import Settings, load_settings
from chatapp.errors import ConfigError

HOSTED = ["cerebras", "moonshot", "groq", "openai", "xai", "together", "fireworks", "sambanova", "nvidia", "deepinfra"]
NAMED_IN_THE_DESIGN = [*HOSTED, "openrouter", "vllm", "llama.cpp", "ollama", "lmstudio"]


def own(tmp_path, text):
    path = tmp_path / "config.toml"
    path.write_text(text)
    return load_catalog(load_settings(path))


def test_every_promised_server_is_there():
    assert list(load_catalog(Settings())) == NAMED_IN_THE_DESIGN


@pytest.mark.parametrize("name", NAMED_IN_THE_DESIGN)
def test_shipped_entry(name):
    entry = load_catalog(Settings())[name]
    assert entry.local == entry.base_url.startswith("http://127.0.0.1:")
    assert entry.local or (entry.base_url.startswith("https://") and entry.key.endswith("_API_KEY"))
    for price in entry.prices:
        assert price.source
        assert price.date
        assert 0 < price.input <= price.output


def test_price_of_a_request():
    price = Price("m", input=1.0, output=4.0, source="s", date="d", cached_input=0.1)
    assert price.cost_usd(1_000_000, 500_000) == pytest.approx(3.0)
    assert price.cost_usd(1_000_000, 0, cached_tokens=1_000_000) == pytest.approx(0.1)
    assert Price("m", 1.0, 4.0, "s", "d").cost_usd(0, 0, cached_tokens=1_000_000) == pytest.approx(1.0)


def test_known_and_unknown_prices():
    groq = load_catalog(Settings())["groq"]
    assert groq.price("openai/gpt-oss-120b").output == 0.60
    assert groq.price("unheard-of") is None


def test_own_entry_beside_and_instead_of_shipped_ones(tmp_path):
    catalog = own(
        tmp_path,
        '[backends.lab]\nbase_url = "http://lab:8000/v1/"\nmodels = ["m"]\nextra_body = { top_k = 5 }\n'
        'headers = { X-Team = "a" }\n[backends.groq]\nbase_url = "https://proxy.test/v1"\n',
    )
    assert catalog["lab"].base_url == "http://lab:8000/v1"
    assert (catalog["lab"].label, catalog["lab"].models) == ("lab", ("m",))
    assert catalog["groq"].base_url == "https://proxy.test/v1"
    assert "cerebras" in catalog


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("[backends.lab]\nbase_ur = 1\n", 2, "unknown field 'base_ur'; nearest: base_url"),
        ("[backends.lab]\nlabel = 'x'\n", 1, "needs 'base_url'"),
        ("[backends.lab]\nbase_url = 7\n", 2, "must be a string, not 7"),
        ("[backends.lab]\nbase_url = 'lab:8000'\n", 2, "must begin with"),
        ("[backends.lab]\nbase_url = 'http://l'\nlocal = 1\n", 3, "must be true or false"),
        ("[backends.lab]\nbase_url = 'http://l'\nmodels = 'm'\n", 3, "must be a list"),
        ("[backends.lab]\nbase_url = 'http://l'\nmodels = [1]\n", 3, "must be a list of strings"),
        ("[backends.lab]\nbase_url = 'http://l'\nheaders = { a = 1 }\n", 3, "must map names to strings"),
        ("[backends.lab]\nbase_url = 'http://l'\nprotocol = 'grpc'\n", 3, "must be one of: chat, responses"),
        ("[backends.lab]\nbase_url = 'http://l'\nprices = [1]\n", 3, "must be a table"),
        ("[backends.lab]\nbase_url = 'http://l'\n[[backends.lab.prices]]\nmodel = 'm'\n", 3, "needs 'input'"),
        (
            "[backends.lab]\nbase_url = 'http://l'\n[[backends.lab.prices]]\n"
            "model = 'm'\ninput = -1\noutput = 2\ndate = 'd'\nsource = 's'\n",
            3,
            "cannot be negative",
        ),
        (
            "[backends.lab]\nbase_url = 'http://l'\n[[backends.lab.prices]]\n"
            "model = 'm'\ninput = true\noutput = 2\ndate = 'd'\nsource = 's'\n",
            5,
            "must be a number",
        ),
        ("[backends.'a/b']\nbase_url = 'http://l'\n", 1, "neither '/' nor ':'"),
    ],
)
def test_wrong_entries_are_named_by_their_line(tmp_path, text, line, words):
    with pytest.raises(ConfigError) as caught:
        own(tmp_path, text)
    assert words in caught.value.message
    assert caught.value.line == line
