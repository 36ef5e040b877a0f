"""The parent's side of the local model, with a child that plays llama.cpp."""

from __future__ import annotations

import sys
from contextlib import aclosing

import pytest

from chatapp.backends import local
from chatapp.backends.local import LOCAL_INFO, LocalBackend, open_local, why_not
from chatapp.config import Settings
from chatapp.errors import BackendError, ExtraMissingError, UsageError
from chatapp.stream.events import Delta, Finished, Message, Notice, Request
from tests.integration.chat_server import ChatServer, Close, Reply, answer, chunk, refusal

ASK = Request((Message("user", "Hi"),))


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    monkeypatch.setenv("CHATAPP_STATE_DIR", str(tmp_path / "state"))


def play(monkeypatch, *lines, ends=False):
    """Let the child write these lines, and then wait for the end of its input, or end by itself."""
    script = f"import sys; sys.stdin.readline(); [print(l, flush=True) for l in {lines!r}]"
    script += "" if ends else "; sys.stdin.read()"
    monkeypatch.setattr(local, "SERVER", (sys.executable, "-c", script))


async def collect(backend):
    async with aclosing(backend.stream(ASK)) as events:
        return [event async for event in events]


def ready(server):
    return f'{{"ready": "http://127.0.0.1:{server.port}"}}'


@pytest.fixture
async def backend():
    backend = LocalBackend(LOCAL_INFO, None)
    yield backend
    await backend.aclose()


async def test_first_use_starts_it_and_says_how_far_it_is(backend, monkeypatch):
    async with ChatServer(answer(["x"]), answer([" Hello", " you"])) as server:
        play(monkeypatch, '{"progress": "loading model", "share": 0.4}', ready(server))
        events = await collect(backend)
        assert [(e.message, e.progress) for e in events if isinstance(e, Notice)] == [
            ("loading model", 0.4),
            ("warming up", 0.8),
            ("reading the prompt", None),
        ]
        assert [e.text for e in events if isinstance(e, Delta)] == ["Hello", " you"]
        assert isinstance(events[-1], Finished)
        again = await collect(backend)
        assert not any(isinstance(e, Notice) for e in again)
        await backend.aclose()
    assert [r.body["stop"] for r in server.requests] == [["\nUser:", "\nAssistant:"]] * 3
    assert [r.body.get("max_tokens") for r in server.requests] == [1, None, None]
    keys = {r.headers["authorization"] for r in server.requests}
    assert len(keys) == 1
    assert len(keys.pop()) > len("Bearer ") + 20


async def test_an_own_model_keeps_its_own_template(monkeypatch, tmp_path):
    backend = LocalBackend(LOCAL_INFO, tmp_path / "m.gguf")
    async with ChatServer(answer(["x"])) as server:
        play(monkeypatch, ready(server))
        await backend.warm()
        await backend.aclose()
    assert "stop" not in server.requests[0].body


async def test_leading_blanks_of_blank_text_stay(backend, monkeypatch):
    async with ChatServer(answer(["x"]), answer([" ", "a"])) as server:
        play(monkeypatch, ready(server))
        assert [e.text for e in await collect(backend) if isinstance(e, Delta)] == [" ", "a"]
        await backend.aclose()


async def test_what_cannot_be_loaded_is_said_in_its_own_words(backend, monkeypatch):
    play(monkeypatch, '{"failed": "wrong magic"}')
    (failure,) = await collect(backend)
    assert (failure.code, "wrong magic" in failure.message) == ("loading_failed", True)
    assert "local-model.log" in failure.hint
    with pytest.raises(BackendError, match="wrong magic"):
        await backend.warm()


async def test_a_child_that_ends_while_loading(backend, monkeypatch):
    play(monkeypatch, '{"progress": "loading model", "share": 0.4}', ends=True)
    assert (await collect(backend))[-1].message == "the local model's process ended while loading"


async def test_a_child_that_never_gets_ready(backend, monkeypatch):
    monkeypatch.setattr(local, "START_TIMEOUT_S", 0.05)
    play(monkeypatch)
    assert "did not load within 0.05 s" in (await collect(backend))[-1].message


async def test_a_model_that_loads_but_does_not_answer(backend, monkeypatch):
    async with ChatServer(refusal(500, "out of memory")) as server:
        play(monkeypatch, ready(server))
        events = await collect(backend)
    assert (events[-1].code, "out of memory" in events[-1].message) == ("server_error", True)


async def test_a_child_that_has_died_is_started_again(backend, monkeypatch):
    async with ChatServer(answer(["x"])) as server:
        play(monkeypatch, ready(server))
        await backend.warm()
        backend._process.kill()
        await backend._process.wait()
        events = await collect(backend)
        assert [e.message for e in events if isinstance(e, Notice)] == ["warming up", "reading the prompt"]
        assert isinstance(events[-1], Finished)
        await backend.aclose()


async def test_a_child_that_dies_in_an_answer(backend, monkeypatch):
    async with ChatServer(answer(["x"]), Reply([chunk(role="assistant"), Close])) as server:
        play(monkeypatch, ready(server))
        await backend.warm()
        monkeypatch.setattr(backend, "_alive", iter([True, False]).__next__)
        events = await collect(backend)
    assert (events[-1].code, events[-1].message) == ("loading_failed", "the local model's process ended")


async def test_two_at_once_start_it_once(backend, monkeypatch):
    import asyncio

    async with ChatServer(answer(["x"])) as server:
        play(monkeypatch, ready(server))
        await asyncio.gather(backend.warm(), backend.warm())
        await backend.aclose()
    assert len(server.requests) == 1  # one warm-up


async def test_a_child_that_does_not_go_is_killed(backend, monkeypatch):
    script = "import sys, time; sys.stdin.readline(); print('{}', flush=True); time.sleep(60)"
    monkeypatch.setattr(local, "SERVER", (sys.executable, "-c", script))
    monkeypatch.setattr(local, "STOP_TIMEOUT_S", 0.05)
    async with ChatServer(answer(["x"])) as server:
        script = script.replace("{}", ready(server))
        monkeypatch.setattr(local, "SERVER", (sys.executable, "-c", script))
        await backend.warm()
        process = backend._process
        await backend.aclose()
    assert process.returncode == -9


async def test_no_folder_for_the_log_is_no_reason_to_fail(backend, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CHATAPP_STATE_DIR", str(tmp_path / "file"))
    async with ChatServer(answer(["x"])) as server:
        play(monkeypatch, ready(server))
        await backend.warm()
        await backend.aclose()


def test_missing_extra_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(local, "find_spec", lambda _module: None)
    assert "pip install 'chatapp[local]'" in why_not()
    with pytest.raises(ExtraMissingError) as caught:
        open_local("", Settings())
    assert "chatapp[local]" in caught.value.hint


def test_model_files(monkeypatch, tmp_path):
    monkeypatch.setattr(local, "find_spec", lambda _module: object())
    assert why_not() == ""
    assert open_local("", Settings()).info is LOCAL_INFO
    model = tmp_path / "tiny.gguf"
    model.write_bytes(b"GGUF....")
    info = open_local(str(model), Settings()).info
    assert (info.name, info.label, info.kind) == (f"local:{model}", "Local · tiny", "local")
    model.write_bytes(b"PK..")
    with pytest.raises(UsageError, match="not in the GGUF format"):
        open_local(str(model), Settings())
    with pytest.raises(UsageError, match="No such file"):
        open_local(str(tmp_path / "none.gguf"), Settings())
