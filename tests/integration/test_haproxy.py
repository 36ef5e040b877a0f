"""Two gateways behind HAProxy; one is killed in mid-stream: what was shown stays, the next prompt finds the other."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from chatapp.client.exchange import Exchange
from chatapp.client.link import FixedLink
from chatapp.client.saver import Saver
from chatapp.client.session import Session
from chatapp.config import Settings
from chatapp.redaction import Secret
from tests.integration.chat_server import ChatServer, answer, eventually

HAPROXY = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
CONFIGURATION = Path(__file__).with_name("haproxy.cfg")
TOKEN = "token-of-the-tests-0123456789"

pytestmark = [
    pytest.mark.timeout(90),
    pytest.mark.skipif(HAPROXY is None, reason="haproxy is not installed: apt install haproxy"),
]


class Reader:
    """A pane of which only what the reader saw is kept."""

    def __init__(self, on_text=lambda: None) -> None:
        self.text = ""
        self.notices: list[tuple[str, str, str]] = []
        self.ending = ("", "")
        self._on_text = on_text

    def add_notice(self, text, *, kind="info", hint=""):
        self.notices.append((kind, text, hint))

    def begin_answer(self, label, *, simulated=False):
        pass

    def write(self, text, channel="answer"):
        self.text += text
        self._on_text()

    def end_answer(self, footer, *, state="done"):
        self.ending = (state, footer)


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    for name in ("CONFIG", "DATA", "STATE", "CACHE"):
        monkeypatch.setenv(f"CHATAPP_{name}_DIR", str(tmp_path / name.lower()))
    (tmp_path / "config").mkdir()
    (tmp_path / "token").write_text(TOKEN)
    return tmp_path


@asynccontextmanager
async def process(*command, environment=None):
    """A process of ours, killed at the end if it still runs; its standard output is a pipe."""
    own = await asyncio.create_subprocess_exec(
        *command,
        stdout=asyncio.subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **(environment or {})},
    )
    try:
        yield own
    finally:
        if own.returncode is None:
            own.kill()
        await own.wait()
        own._transport.close()


@asynccontextmanager
async def gateway(folder):
    """A gateway process; yields it with its `HOST:PORT`."""
    arguments = ("gateway", "--port", "0", "--token-file", str(folder / "token"))
    async with process(sys.executable, "-m", "chatapp", *arguments) as own:
        line = (await own.stdout.readline()).decode()
        yield own, line.split("//")[1].split("/")[0]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def fetch(address, path="/readyz"):
    with urllib.request.urlopen(f"http://{address}{path}", timeout=5) as response:
        return json.load(response)


def answers(address):
    try:
        return fetch(address)["ready"]
    except OSError:
        return False


async def test_a_gateway_that_dies_in_mid_stream_costs_nothing_that_was_shown(folders):
    words = [f"word{number} " for number in range(2_000)]
    replies = (answer("Two tokens."), answer(words, gap=0.01), answer("Once more, in full."))
    async with (
        ChatServer(*replies) as model,
        stage(folders, model) as (front, gateways),
    ):
        saver = Saver(folders / "conversations.db")
        session = Session(
            FixedLink(f"ws://{front}/v1/responses", Secret("token", TOKEN)),
            backend="lab/test-model",
            saver=saver,
            settings=Settings(),
        )
        first = await ask(session, "What is a token?", Reader())
        assert (first.text.strip(), first.ending[0]) == ("Two tokens.", "done")

        def kill_when_under_way():
            if "word20 " in broken.text and not killed:
                serving = next(own for own, address in gateways if fetch(address)["streams"])
                serving.send_signal(signal.SIGKILL)
                killed.append(serving)

        killed = []
        broken = Reader(kill_when_under_way)
        await ask(session, "And what is a word?", broken)
        assert killed
        assert broken.ending[0] == "failed"
        assert "partial answer" in broken.ending[1]
        assert [kind for kind, _text, _hint in broken.notices] == ["error"], "the reader is told, once"
        assert "what came is kept" in broken.notices[0][2]
        assert "".join(words).startswith(broken.text), "no gap, nothing twice"

        third = await ask(session, "And what is a word? Please go on.", Reader())
        assert (third.text.strip(), third.notices) == ("Once more, in full.", [])
        last = model.requests[-1].body["messages"]
        assert [message["content"].strip() for message in last] == [
            "What is a token?",
            "Two tokens.",
            "And what is a word?",
            broken.text.strip(),
            "And what is a word? Please go on.",
        ], "the whole conversation is sent again: the other gateway has never heard of it"
        await session.aclose()
        assert saver.close()

    kept = Saver(folders / "conversations.db").load(session.conversation.identity)
    assert [turn.text.strip() for turn in kept.turns.values()] == [
        "Two tokens.",
        broken.text.strip(),
        "Once more, in full.",
    ]


@asynccontextmanager
async def stage(folder, model):
    """Two gateways in front of `model`, and HAProxy in front of them; yields its address and the gateways."""
    (folder / "config" / "config.toml").write_text(
        f'[backends.lab]\nbase_url = "{model.base_url}"\nmodels = ["test-model"]\n'
    )
    async with gateway(folder) as one, gateway(folder) as two:
        front = f"127.0.0.1:{free_port()}"
        addresses = {"CHATAPP_FRONT": front, "CHATAPP_ONE": one[1], "CHATAPP_TWO": two[1]}
        async with process(HAPROXY, "-f", str(CONFIGURATION), "-db", environment=addresses):
            await eventually(lambda: answers(front), within=20)
            yield front, (one, two)


async def ask(session, prompt, pane):
    """Ask as the app does."""
    turn = session.conversation.add(prompt, session.backend)
    session.saver.begin(session.conversation, turn)
    await Exchange(session, turn, pane).run()
    return pane


def test_haproxy_has_nothing_to_say_against_the_configuration():
    addresses = {"CHATAPP_FRONT": "127.0.0.1:1", "CHATAPP_ONE": "127.0.0.1:2", "CHATAPP_TWO": "127.0.0.1:3"}
    checked = subprocess.run(
        [HAPROXY, "-c", "-f", str(CONFIGURATION)],
        capture_output=True,
        text=True,
        env={**os.environ, **addresses},
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "WARNING" not in checked.stdout + checked.stderr
