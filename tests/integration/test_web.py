"""`chatapp web` in a real browser: headless Chromium opens the page, types a prompt, and the answer arrives in it."""

from __future__ import annotations

import base64
import itertools
import json
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.sync.client import ClientConnection, connect

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytest.importorskip("textual_serve", reason="the extra `web` is not installed")
_ESCAPES = re.compile(r"\x1b(?:\[[0-9;:?<>=$]*[ -/]*[@-~]|\][^\x07]*\x07|[@-_])")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def page(tmp_path, monkeypatch) -> Iterator[str]:
    """Run `chatapp web` and return the page's address."""
    for name in ("CONFIG", "DATA", "STATE", "CACHE"):
        monkeypatch.setenv(f"CHATAPP_{name}_DIR", str(tmp_path / name.lower()))
    port = free_port()
    command = [sys.executable, "-m", "chatapp", "web", "--port", str(port), "--backend", "sim:cs3/kimi-k2.6"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        assert "chatapp is at" in server.stdout.readline()
        address = f"http://127.0.0.1:{port}"
        for _ in range(100):
            try:
                urllib.request.urlopen(address, timeout=5).close()
                break
            except urllib.error.URLError:
                time.sleep(0.1)
        yield address
    finally:
        server.terminate()
        server.wait(timeout=10)
        server.stdout.close()


class Browser:
    """A tab, by the DevTools protocol."""

    def __init__(self, socket_: ClientConnection, session: str) -> None:
        self._socket = socket_
        self._session = session
        self._numbers = itertools.count(1000)
        self.received = ""
        """Text of the terminal's frames, escapes removed."""
        self.requested: list[str] = []

    def call(self, method: str, **parameters) -> dict:
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters, "sessionId": self._session}
        self._socket.send(json.dumps(message))
        while True:
            answer = self.pump(10)
            if answer.get("id") == number:
                return answer.get("result", {})

    def pump(self, seconds: float) -> dict:
        message = json.loads(self._socket.recv(timeout=seconds))
        if message.get("method") == "Network.webSocketFrameReceived":
            payload = message["params"]["response"]
            raw = base64.b64decode(payload["payloadData"]) if payload["opcode"] == 2 else b""
            self.received += _ESCAPES.sub("", raw.decode(errors="replace"))
        elif message.get("method") == "Network.requestWillBeSent":
            self.requested.append(message["params"]["request"]["url"])
        return message

    def wait(self, pattern: str, seconds: float = 40) -> None:
        deadline = time.monotonic() + seconds
        while not re.search(pattern, self.received):
            assert time.monotonic() < deadline, f"never received: {pattern}\n{self.received[-2000:]}"
            try:
                self.pump(1)
            except TimeoutError:
                continue

    def type(self, text: str) -> None:
        for character in text:
            self.call("Input.dispatchKeyEvent", type="keyDown", key=character, text=character)
            self.call("Input.dispatchKeyEvent", type="keyUp", key=character)

    def press(self, key: str, code: int) -> None:
        for kind in ("rawKeyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)


@pytest.fixture
def browser(tmp_path) -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", "--no-first-run",
        "--window-size=1200,800", f"--user-data-dir={tmp_path / 'browser'}", "about:blank",
    ]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        url = next(line.split()[-1] for line in process.stderr if "DevTools listening on" in line)
        with connect(url, max_size=None) as socket_:
            socket_.send(json.dumps({"id": 1, "method": "Target.createTarget", "params": {"url": "about:blank"}}))
            target = json.loads(socket_.recv())
            while "id" not in target:
                target = json.loads(socket_.recv())
            attach = {"targetId": target["result"]["targetId"], "flatten": True}
            socket_.send(json.dumps({"id": 2, "method": "Target.attachToTarget", "params": attach}))
            session = ""
            while not session:
                message = json.loads(socket_.recv())
                session = message.get("params", {}).get("sessionId", "") or message.get("result", {}).get(
                    "sessionId", ""
                )
            yield Browser(socket_, session)
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def test_a_prompt_typed_in_the_browser_is_answered_in_it(page, browser, tmp_path):
    browser.call("Network.enable")
    browser.call("Page.enable")
    browser.call("Page.navigate", url=page)
    browser.wait(r"Feel how fast")
    browser.type("Why is the sky blue?")
    browser.press("Enter", 13)
    browser.wait(r"Why is the sky blue\?")
    browser.wait(r"TTFA")
    browser.wait(r"scatters blue light")
    browser.wait(r"F5 ?retry")
    assert all(url.startswith((page, "data:", "blob:")) for url in browser.requested), browser.requested
    time.sleep(0.5)
    picture = base64.b64decode(browser.call("Page.captureScreenshot")["data"])
    Path(tmp_path / "page.png").write_bytes(picture)
    assert len(picture) > 20_000


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
def test_other_sites_pages_are_refused(page, headers, status):
    request = urllib.request.Request(page, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            found = response.status
    except urllib.error.HTTPError as exc:
        found = exc.code
        exc.close()
    assert found == status


def test_the_socket_is_refused_to_other_sites_too(page):
    from websockets.exceptions import InvalidStatus

    address = page.replace("http", "ws", 1) + "/ws"
    with pytest.raises(InvalidStatus, match="403"), connect(address, origin="http://evil.example"):
        pass


def test_an_address_that_others_reach_needs_a_word(capsys):
    from chatapp.cli import run

    assert run(["web", "--host", "0.0.0.0"]) == 2
    assert "--insecure-listen" in capsys.readouterr().err


def test_a_port_in_use_is_said(capsys):
    from chatapp.cli import run

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert run(["web", "--port", str(taken.getsockname()[1])]) == 2
    assert "in use" in capsys.readouterr().err
