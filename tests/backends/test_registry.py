"""From names to backends, and what can be chosen."""

from __future__ import annotations

import pytest

from chatapp.backends import registry
from chatapp.backends.openai_chat import ChatBackend
from chatapp.backends.openai_responses import ResponsesBackend
from chatapp.backends.registry import ModelChoiceError, default_name, listings, resolve
from chatapp.backends.simulated import SimulatedBackend
from chatapp.config import Settings
from chatapp.errors import BackendError, ExtraMissingError, MissingKeyError, UnknownNameError, UsageError

KEY = "csk-0123456789abcdef0123"


@pytest.fixture(autouse=True)
def no_keys(monkeypatch):
    for name in ("CEREBRAS_API_KEY", "GROQ_API_KEY", "XAI_API_KEY", "OPENAI_API_KEY", "CHATAPP_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def test_provider_and_model(monkeypatch):
    monkeypatch.setenv("CEREBRAS_API_KEY", KEY)
    backend = resolve("cerebras/gpt-oss-120b", Settings())
    assert isinstance(backend, ChatBackend)
    info = backend.info
    assert (info.name, info.kind, info.provider, info.model) == (
        "cerebras/gpt-oss-120b",
        "live",
        "Cerebras",
        "gpt-oss-120b",
    )


def test_model_with_slashes(monkeypatch):
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    assert resolve("groq/openai/gpt-oss-20b", Settings()).info.model == "openai/gpt-oss-20b"
    assert resolve("groq", Settings(), model="openai/gpt-oss-20b").info.name == "groq/openai/gpt-oss-20b"


def test_missing_key_is_named():
    with pytest.raises(MissingKeyError, match="CEREBRAS_API_KEY"):
        resolve("cerebras/gpt-oss-120b", Settings())


def test_key_elsewhere(monkeypatch):
    monkeypatch.setenv("MY_KEY", KEY)
    assert resolve("cerebras/x", Settings(keys={"CEREBRAS_API_KEY": "env:MY_KEY"})).info.model == "x"


def test_provider_without_a_model_offers_examples(monkeypatch):
    monkeypatch.setenv("CEREBRAS_API_KEY", KEY)
    with pytest.raises(ModelChoiceError) as caught:
        resolve("cerebras", Settings())
    assert "gpt-oss-120b" in caught.value.models
    assert "cerebras/gpt-oss-120b" in caught.value.hint


def test_provider_without_known_models(monkeypatch):
    monkeypatch.setenv("XAI_API_KEY", KEY)
    with pytest.raises(UsageError, match="no model named"):
        resolve("xai", Settings())


@pytest.mark.parametrize("name", ["cerebas/gpt-oss-120b", "simm", "", "olama"])
def test_unknown_names_offer_the_nearest(name):
    with pytest.raises(UnknownNameError):
        resolve(name, Settings())


def test_nearest_provider():
    with pytest.raises(UnknownNameError, match="nearest: cerebras"):
        resolve("cerebas", Settings())


def test_simulated_names_go_to_the_model_with_their_options():
    backend = resolve("sim:cs3/kimi-k2.6", Settings(), seed=5)
    assert isinstance(backend, SimulatedBackend)
    assert backend.info.simulated


def test_recordings_go_to_the_player(tmp_path):
    with pytest.raises(UsageError):
        resolve(f"recording:{tmp_path / 'none.tokcast'}", Settings(), pace=2.0)


def test_local_goes_to_the_model_on_this_machine(monkeypatch):
    monkeypatch.setattr("chatapp.backends.local.find_spec", lambda _module: None)
    with pytest.raises(ExtraMissingError, match="local"):
        resolve("local", Settings())


# --- servers on this machine


@pytest.fixture
def models(monkeypatch):
    """What the server that is asked lists; filled by the test."""
    listed: list[str] = []
    monkeypatch.setattr("chatapp.backends.model_list.list_models", lambda *_args, **_options: listed)
    return listed


def test_a_bare_local_server_with_one_model_is_that_model(models):
    models.append("llama3.2")
    assert resolve("ollama", Settings()).info.name == "ollama/llama3.2"


def test_a_bare_local_server_lists_its_models(models):
    models += ["llama3.2", "qwen3"]
    with pytest.raises(ModelChoiceError, match="which model of ollama") as caught:
        resolve("ollama", Settings())
    assert caught.value.exit_code == 2
    assert caught.value.models == ["llama3.2", "qwen3"]
    assert caught.value.hint == "one of: ollama/llama3.2, ollama/qwen3"


def test_a_bare_local_server_without_models(models):
    with pytest.raises(UsageError, match="no model named"):
        resolve("lmstudio", Settings())


def test_a_bare_local_server_that_does_not_run(monkeypatch):
    def refuse(*_args, **_options):
        raise BackendError("unreachable", "vLLM does not answer")

    monkeypatch.setattr("chatapp.backends.model_list.list_models", refuse)
    with pytest.raises(BackendError, match="vLLM does not answer"):
        resolve("vllm", Settings())


# --- servers by their URL


def test_ad_hoc_server():
    info = resolve("", Settings(), base_url="http://lab:8000/v1/", model="org/m").info
    assert (info.name, info.label, info.provider) == ("lab:8000/org/m", "lab:8000 · m", "lab:8000")
    assert resolve("mine", Settings(), base_url="http://lab:8000/v1", model="m").info.name == "mine"


def test_ad_hoc_server_gets_its_own_key_and_no_other(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert resolve("", Settings(), base_url="http://lab/v1", model="m")._server.key is None
    monkeypatch.setenv("CHATAPP_API_KEY", KEY)
    assert resolve("", Settings(), base_url="http://lab/v1", model="m")._server.key.reveal() == KEY


def test_ad_hoc_url_of_a_known_provider_is_that_provider(monkeypatch):
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    backend = resolve("", Settings(), base_url="https://api.groq.com/openai/v1", model="m")
    assert backend.info.name == "groq/m"


def test_ad_hoc_server_without_a_model(models):
    models.append("only")
    assert resolve("", Settings(), base_url="http://lab/v1").info.model == "only"
    models.append("other")
    with pytest.raises(UsageError, match="which model of http://lab/v1") as caught:
        resolve("", Settings(), base_url="http://lab/v1")
    assert "--model" in caught.value.hint


@pytest.mark.parametrize("url", ["lab:8000", "ftp://lab/v1", "http://", "/v1"])
def test_what_is_no_url(url):
    with pytest.raises(UsageError, match="not the URL"):
        resolve("", Settings(), base_url=url, model="m")


def test_a_server_of_the_responses_protocol(monkeypatch):
    monkeypatch.setenv("XAI_API_KEY", KEY)
    entry = {"base_url": "https://api.x.ai/v1", "protocol": "responses", "key": "XAI_API_KEY"}
    backend = resolve("grok/m", Settings(backends={"grok": entry}))
    assert isinstance(backend, ResponsesBackend)
    assert backend.info.name == "grok/m"


# --- listings


def test_listings_say_what_is_missing_and_what_it_costs(monkeypatch):
    monkeypatch.setenv("CEREBRAS_API_KEY", KEY)
    found = {entry.name: entry for entry in listings(Settings())}
    ready = found["cerebras/gpt-oss-120b"]
    assert (ready.ready, ready.why_not, ready.output_usd) == (True, "", 0.75)
    assert "2026-06-12" in ready.price_source
    missing = found["groq/openai/gpt-oss-120b"]
    assert (missing.ready, missing.why_not) == (False, "GROQ_API_KEY is not set")
    assert found["xai"].model == ""
    assert found["cerebras/qwen-3.8-27b"].input_usd is None
    assert found["sim:cs3/kimi-k2.6"].simulated
    assert "ollama" not in found
    assert KEY not in repr(found)


def test_own_backends_have_their_own_group():
    settings = Settings(backends={"lab": {"base_url": "http://lab/v1", "models": ["m"]}})
    entry = next(entry for entry in listings(settings) if entry.name == "lab/m")
    assert (entry.group, entry.ready) == (registry.GROUPS["own"], True)


def test_broken_facts_hide_no_other_backend(monkeypatch):
    def broken():
        raise UsageError("broken facts")

    monkeypatch.setattr("chatapp.backends.simulated.listings", broken)
    assert not any(entry.simulated for entry in listings(Settings()))


def test_default(monkeypatch):
    assert default_name(Settings(backend="groq/x")) == "groq/x"
    monkeypatch.setattr("chatapp.backends.local.why_not", lambda: "")
    assert default_name(Settings()) == "local"
    monkeypatch.setattr("chatapp.backends.local.why_not", lambda: "missing")
    assert default_name(Settings()) == "sim:cs3/kimi-k2.6"
