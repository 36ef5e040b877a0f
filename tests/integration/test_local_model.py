"""The real llama.cpp with the real packaged model: it answers in sentences, and nothing of it outlives its user."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import aclosing
from importlib.util import find_spec
from pathlib import Path

import pytest

from chatapp.backends.local import open_local
from chatapp.config import Settings
from chatapp.stream.answer import Answer
from chatapp.stream.events import Message, Notice, Request

pytestmark = [
    pytest.mark.local_model,
    pytest.mark.timeout(300),  # unpacking 238 MB and loading them beside other work
    pytest.mark.skipif(find_spec("xllamacpp") is None, reason="the extra `local` is not installed"),
]


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    monkeypatch.setenv("CHATAPP_STATE_DIR", str(tmp_path))


async def ask(backend, *messages):
    request = Request(tuple(messages), max_output_tokens=120)
    answer, notices = Answer(backend.info, request), []
    async with aclosing(backend.stream(request)) as events:
        async for event in events:
            answer.feed(event)
            if isinstance(event, Notice):
                notices.append(event.message)
    return answer, notices


async def test_a_conversation_in_whole_sentences():
    backend = open_local("", Settings())
    try:
        answer, notices = await ask(backend, Message("user", "What is the capital of France?"))
        assert notices[-3:] == ["loading model", "warming up", "reading the prompt"]
        assert answer.outcome == "done"
        assert "Paris" in answer.text
        assert answer.text[0] != " "
        assert answer.text.rstrip()[-1] in ".!?"
        assert "User:" not in answer.text
        figures = answer.final()
        assert figures.token_count_source == "usage"
        assert figures.server_timing.source == "llama.cpp"
        assert figures.output_speed_tps > 0
        first = Message("user", "What is a computer?")
        reply, notices = await ask(backend, first, Message("assistant", "A machine."), Message("user", "Why?"))
        assert notices == []
        assert reply.outcome in ("done", "length")
        assert len(reply.text.split()) >= 3
    finally:
        await backend.aclose()


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_nothing_is_left_when_its_user_is_killed():
    script = (
        "import asyncio\nfrom chatapp.backends.local import open_local\nfrom chatapp.config import Settings\n"
        "async def main():\n    backend = open_local('', Settings())\n    await backend.warm()\n"
        "    print(backend._process.pid, flush=True)\n    await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, env=os.environ) as user:
        pid = int(user.stdout.readline())
        assert Path(f"/proc/{pid}").exists()
        user.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{pid}").exists()
