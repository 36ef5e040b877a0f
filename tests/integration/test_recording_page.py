"""The page of an exported recording in a real browser: it plays, pauses, jumps, and asks for nothing."""

import pytest

from chatapp.recording.webpage import to_page
from tests.integration.test_page import BROWSER, opened

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")

SVG = """<svg xmlns="http://www.w3.org/2000/svg" width="100" height="50" viewBox="0 0 100 50">
<g id="late"><set attributeName="opacity" to="0" begin="0s" end="2.0s"/><text y="20">late</text></g></svg>"""
OPACITY = "getComputedStyle(document.getElementById('late')).opacity"


async def test_the_page_plays_pauses_and_jumps(tmp_path):
    page = to_page(SVG, title="T", duration_s=60.0, chapters=[(0.0, "begin"), (30.0, "middle")])
    async with opened(tmp_path / "p", page) as tab:
        await tab.until("at > 0.05")
        assert await tab.value(f"at < 2 && {OPACITY}") == "0"
        await tab.value("play.click()")
        assert await tab.value("play.textContent") == "Play"
        await tab.value("document.querySelectorAll('#chapters button')[1].click()")
        assert await tab.value("at") == 30
        assert await tab.value(OPACITY) == "1"
        assert await tab.value("document.getElementById('time').textContent") == "0:30.0 / 1:00.0"
        await tab.value("document.body.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowLeft', bubbles: true}))")
        assert await tab.value("at") == 25
        await tab.value("show(1)")
        assert await tab.value(OPACITY) == "0"
        await tab.value("speed.value = '8', show(59), setPlaying(true)")
        await tab.until("!playing && at === 60")
        await tab.value("document.body.dispatchEvent(new KeyboardEvent('keydown', {key: ' ', bubbles: true}))")
        assert await tab.value("playing && at < 60")
        requested = {request["request"]["url"].partition(":")[0] for request in tab.named("Network.requestWillBeSent")}
        assert requested <= {"file", "data"}
        assert tab.named("Runtime.exceptionThrown") == []
        assert [entry["entry"]["text"] for entry in tab.named("Log.entryAdded")] == []
