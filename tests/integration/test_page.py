"""The comparison's page in a real browser: it draws, replays, fits a phone, follows dark mode, and asks for nothing."""

import asyncio
import base64
import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from chatapp.compare import page
from chatapp.stream.events import Failed
from tests.compare.test_page import HOSTILE, live, made, simulated

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")


class Tab:
    """One tab, over the DevTools protocol."""

    def __init__(self, socket):
        self._socket = socket
        self._numbers = itertools.count(1)
        self.events = []

    async def call(self, method, **parameters):
        number = next(self._numbers)
        await self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(await asyncio.wait_for(self._socket.recv(), 30))
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]
            self.events.append(message)

    async def value(self, expression):
        answer = await self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def until(self, expression):
        for _ in range(300):
            if await self.value(expression):
                return
            await asyncio.sleep(0.02)
        raise AssertionError(f"never true: {expression}")

    def named(self, method):
        return [event["params"] for event in self.events if event.get("method") == method]


@contextlib.asynccontextmanager
async def opened(folder, html):
    folder.mkdir(exist_ok=True)
    path = folder / "page.html"
    path.write_text(html, encoding="utf-8")
    profile = folder / "profile"
    options = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
        "--disable-component-update --disable-sync --remote-debugging-port=0"
    )
    process = subprocess.Popen(  # noqa: ASYNC220 - it only starts
        [BROWSER, *options.split(), f"--user-data-dir={profile}", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        port = await asyncio.wait_for(_port(profile), 30)
        async with connect(f"ws://127.0.0.1:{port[0]}{port[1]}", max_size=None, proxy=None) as socket:
            tab = Tab(socket)
            target = (await tab.call("Target.createTarget", url="about:blank"))["targetId"]
        url = f"ws://127.0.0.1:{port[0]}/devtools/page/{target}"
        async with connect(url, max_size=None, proxy=None) as socket:
            tab = Tab(socket)
            for domain in ("Network", "Runtime", "Log", "Page"):
                await tab.call(f"{domain}.enable")
            await tab.call("Page.navigate", url=path.as_uri())
            await tab.until("document.documentElement?.dataset.drawn === 'yes'")
            yield tab
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


async def _port(profile: Path):
    while True:
        with contextlib.suppress(OSError, ValueError):
            port, path = (profile / "DevToolsActivePort").read_text().splitlines()[:2]
            return int(port), path
        await asyncio.sleep(0.05)


async def test_it_draws_replays_and_asks_for_nothing(tmp_path):
    html = page.to_html(await made(live(tokens=60), simulated(tokens=60)))
    async with opened(tmp_path, html) as tab:
        for chart in ("plot-medians", "plot-speed", "plot-ttft", "plot-gaps"):
            assert await tab.value(f"document.querySelectorAll('#{chart} svg path, #{chart} svg rect').length") > 0
        # It stands at the winner's finish: 100 ms to the first token, 59 gaps of 5 ms.
        assert await tab.value("document.getElementById('clock').textContent") == "0.40 s"
        states = await tab.value("[...document.querySelectorAll('.lane .state')].map(e => e.textContent)")
        assert states == ["25 % of its answer", "finished at 0.40 s"]
        # From there, play begins at the start.
        await tab.value("document.getElementById('play').click()")
        assert await tab.value("document.getElementById('play').textContent") == "❚❚ Pause"
        await tab.until("document.querySelectorAll('.lane pre')[1].textContent.startsWith(' word word')")
        await tab.until("document.getElementById('play').textContent === '▶ Play'")
        assert await tab.value("document.getElementById('clock').textContent") == "1.28 s"
        widths = await tab.value("[...document.querySelectorAll('.bar i')].map(e => e.style.width)")
        assert widths == ["100%", "100%"]
        scrub = "const s = document.getElementById('scrub'); s.value = 150; s.dispatchEvent(new Event('input'))"
        await tab.value(f"(() => {{ {scrub} }})()")
        facts = await tab.value("[...document.querySelectorAll('.facts span:first-child')].map(e => e.textContent)")
        assert facts == ["3 tokens", "11 tokens"]
        choose = "const r = document.getElementById('run'); r.value = 3; r.dispatchEvent(new Event('change'))"
        await tab.value(f"(() => {{ {choose} }})()")
        assert await tab.value("document.getElementById('clock').textContent") == "0.40 s"
        requested = {request["request"]["url"].partition(":")[0] for request in tab.named("Network.requestWillBeSent")}
        assert requested <= {"file", "data"}
        assert tab.named("Runtime.exceptionThrown") == []
        assert [entry["entry"]["text"] for entry in tab.named("Log.entryAdded")] == []


async def test_a_phone_needs_no_sideways_scrolling_and_dark_mode_is_followed(tmp_path):
    html = page.to_html(await made(live(label="A backend with a rather long name · Some-Model-120b"), simulated()))
    async with opened(tmp_path, html) as tab:
        light = await tab.value("getComputedStyle(document.body).backgroundColor")
        await tab.call("Emulation.setDeviceMetricsOverride", width=360, height=740, deviceScaleFactor=2, mobile=True)
        await tab.value("window.dispatchEvent(new Event('resize'))")
        await tab.until("document.querySelector('#plot-speed svg').getAttribute('width') < 340")
        assert await tab.value("document.documentElement.scrollWidth") <= 360
        dark = [{"name": "prefers-color-scheme", "value": "dark"}]
        await tab.call("Emulation.setEmulatedMedia", features=dark)
        assert await tab.value("getComputedStyle(document.body).backgroundColor") != light
        paper = await tab.call("Page.printToPDF", printBackground=True)
        assert base64.b64decode(paper["data"]).startswith(b"%PDF")


async def test_hostile_text_runs_nothing(tmp_path):
    backend = live(label=HOSTILE, name="a/m")
    html = page.to_html(await made(backend, simulated(note=HOSTILE), prompt=HOSTILE))
    async with opened(tmp_path, html) as tab:
        assert await tab.value("document.querySelector('blockquote').textContent.includes('<script>alert(1)')")
        assert await tab.value("document.images.length") == 0
        assert tab.named("Page.javascriptDialogOpening") == []
        assert tab.named("Runtime.exceptionThrown") == []


async def test_an_answer_that_never_came_draws_too(tmp_path):
    dead = live(failures=[Failed(0, "auth", "no key")])
    nothing = {**await made(live(), runs=1), "responses": [], "standings": [], "ratios": []}
    async with opened(tmp_path / "nothing", page.to_html(nothing)) as tab:
        assert await tab.value("document.getElementById('race').hidden")
        assert tab.named("Runtime.exceptionThrown") == []
    html = page.to_html(await made(dead, simulated(failures=[Failed(0, "auth", "no key")]), runs=1))
    async with opened(tmp_path, html) as tab:
        assert tab.named("Runtime.exceptionThrown") == []
        states = await tab.value("[...document.querySelectorAll('.lane .state')].map(e => e.textContent)")
        assert states == ["auth: no key", "auth: no key"]
