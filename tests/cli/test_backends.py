"""`chatapp backends`: the list, the check, their exit codes."""

from __future__ import annotations

import json

import pytest

from chatapp import cli
from chatapp.backends.registry import Listing
from chatapp.errors import BackendError
from chatapp.stream.events import BackendInfo, Delta, Failed, Finished, Sent, ServerTiming, Usage


def run(capsys, *args):
    code = cli.run(["backends", *args])
    out = capsys.readouterr()
    return code, out.out, out.err


@pytest.fixture(autouse=True)
def own_world(tmp_path, monkeypatch):
    monkeypatch.setenv("CHATAPP_CONFIG_DIR", str(tmp_path))
    monkeypatch.delenv("CEREBRAS_API_KEY", raising=False)

    async def nothing(_settings):
        return [Listing("ollama/llama3.2", "Ollama · llama3.2", "Ollama", "llama3.2", "live", group="On this machine")]

    monkeypatch.setattr("chatapp.backends.discovery.discover", nothing)


class Scripted:
    """A backend that tells a script."""

    info = BackendInfo("x/m", "X", "live", "X", "m")

    def __init__(self, *events, refuse=None):
        self.events, self.refuse, self.closed = events, refuse, False

    async def warm(self):
        if self.refuse:
            raise self.refuse

    async def stream(self, request):
        for event in self.events:
            yield event

    async def aclose(self):
        self.closed = True


@pytest.fixture
def behind(monkeypatch):
    """Let every name mean this backend."""

    def put(backend):
        asked = []

        def resolve(name, _settings, **options):
            asked.append((name, options))
            return backend

        monkeypatch.setattr("chatapp.backends.registry.resolve", resolve)
        return asked

    return put


def test_list_says_ready_or_what_is_missing(capsys):
    code, out, _err = run(capsys, "list")
    assert code == 0
    lines = {line.split()[0]: line for line in out.splitlines() if line.startswith("  ")}
    assert lines["ollama/llama3.2"].endswith("ready")
    assert lines["sim:cs3/kimi-k2.6"].endswith("ready")
    assert lines["cerebras/gpt-oss-120b"].endswith("CEREBRAS_API_KEY is not set")


def test_list_shows_prices_of_what_can_be_used(capsys, monkeypatch):
    monkeypatch.setenv("CEREBRAS_API_KEY", "csk-0123456789abcdef0123")
    _code, out, _err = run(capsys, "list")
    assert "$0.35 in, $0.75 out per M tokens" in out
    assert "csk-" not in out


def test_list_as_json(capsys):
    code, out, _err = run(capsys, "list", "--json", "-")
    document = json.loads(out)
    assert (code, document["schema"]) == (0, "chatapp.backends/1")
    assert {"name", "ready", "why_not", "simulated"} <= set(document["backends"][0])


def test_list_into_a_file_shows_the_table_too(capsys, tmp_path):
    _code, out, _err = run(capsys, "list", "--json", str(tmp_path / "list.json"))
    assert "sim:cs3/kimi-k2.6" in out
    assert json.loads((tmp_path / "list.json").read_text())["backends"]


def test_check_shows_the_figures(capsys, behind):
    backend = Scripted(
        Sent(0, "kernel", {"tcp": 1_500_000}),
        Delta("one ", 5_000_000),
        Delta("two", 15_000_000),
        Usage(9, 2),
        ServerTiming("groq", decode_tps=123.4),
        Finished(15_000_000),
    )
    asked = behind(backend)
    code, out, _err = run(capsys, "check", "x/m")
    assert code == 0
    assert asked == [("x/m", {"base_url": None, "model": None})]
    assert backend.closed
    for words in ("x/m: answers", "tcp 1.5 ms", "5.00 ms", "100.0 tok/s", "9 in, 2 out", "123.4 tok/s", "one two"):
        assert words in out


def test_check_of_a_simulated_backend_says_so_and_speaks_of_no_connection(capsys, behind):
    backend = Scripted(Sent(0, "schedule", reused=True), Delta("one", 5), Finished(6))
    backend.info = BackendInfo("sim:x/m", "X", "simulated", "simulated", "m")
    behind(backend)
    _code, out, _err = run(capsys, "check", "sim:x/m")
    assert "simulated       timing from a model" in out
    assert "connection      " not in out


def test_check_says_which_step_failed(capsys, behind):
    behind(Scripted(refuse=BackendError("auth", "HTTP 401: wrong key", hint="look at X_API_KEY")))
    code, out, _err = run(capsys, "check", "x/m")
    assert code == 1
    assert "HTTP 401: wrong key [auth, step: connect]" in out
    assert "look at X_API_KEY" in out


def test_check_says_what_failed_in_the_answer(capsys, behind):
    behind(Scripted(Sent(0, reused=True), Failed(1, "server_error", "over\x1b[2Jloaded")))
    code, out, _err = run(capsys, "check", "x/m")
    assert code == 1
    assert "step: answer" in out
    assert "kept from before" in out
    assert "\x1b" not in out


def test_check_of_an_answer_that_breaks_off(capsys, behind):
    behind(Scripted(Sent(0), Delta("o", 5), Finished(6, "truncated")))
    code, out, _err = run(capsys, "check", "x/m")
    assert (code, "ended as truncated" in out) == (1, True)


def test_check_as_json(capsys, behind):
    behind(Scripted(Sent(0), Delta("one", 5), Usage(9, 1), Finished(6)))
    code, out, _err = run(capsys, "check", "x/m", "--json", "-")
    document = json.loads(out)
    assert (code, document["schema"], document["ok"]) == (0, "chatapp.check/1", True)
    assert document["figures"]["output_tokens"] == 1


def test_check_of_a_server_by_its_url_and_of_the_default(capsys, behind):
    asked = behind(Scripted(Sent(0), Delta("one", 5), Finished(6)))
    run(capsys, "check", "--base-url", "http://lab/v1", "--model", "m")
    run(capsys, "check")
    assert asked[0] == ("", {"base_url": "http://lab/v1", "model": "m"})
    assert asked[1][0] in ("local", "sim:cs3/kimi-k2.6")


def test_unknown_backend_is_wrong_use(capsys):
    code, _out, err = run(capsys, "check", "cerebas")
    assert code == 2
    assert "nearest: cerebras" in err


def test_missing_key_is_wrong_use(capsys):
    code, _out, err = run(capsys, "check", "cerebras/gpt-oss-120b")
    assert (code, "CEREBRAS_API_KEY" in err) == (2, True)
