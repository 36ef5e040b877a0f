"""The real app under a script's hands, with answers from the simulation on a virtual clock."""

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from chatapp.cli.stage import open_session
from chatapp.clock import VirtualClock
from chatapp.config import Settings
from chatapp.demo.inprocess import InProcessLink
from chatapp.demo.parsing import parse_script
from chatapp.demo.runner import Runner
from chatapp.demo.stage import PresenterView
from chatapp.demo.watch import Watch, WatchedLink
from chatapp.recording.writer import Recorder
from chatapp.stream.events import Delta, Finished, Message, Request, Sent
from chatapp.ui.presenter import PresenterApp
from chatapp.ui.screens.chat import ChatScreen
from chatapp.ui.screens.compare import CompareScreen
from chatapp.ui.screens.replay import ReplayScreen
from chatapp.ui.stage import key_name
from chatapp.ui.widgets.presenter_line import PresenterLine, caption_row, status_row

S = 1_000_000_000
CS3 = "sim:cs3/kimi-k2.6"


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    for name in ("STATE", "DATA", "CONFIG"):
        monkeypatch.setenv(f"CHATAPP_{name}_DIR", str(tmp_path / name.lower()))


@asynccontextmanager
async def playing(steps, *, folder=Path("x"), size=(100, 30), ready=True, **options):
    text = "version: 1\ntitle: T\nset: {typing: 20ms}\nsteps:\n" + "".join(f"  - {step}\n" for step in steps)
    script = parse_script(text, folder / "demo.yaml")
    clock = VirtualClock(S, autojump=True, settle=6)
    session = open_session(InProcessLink(Settings(), clock=clock), Settings(), backend=CS3, clock=clock)
    watch = Watch(clock, info=session.info)
    session.link = WatchedLink(session.link, watch)
    app = PresenterApp(session, make_runner=lambda stage: Runner(script, stage, watch, clock, live=True), **options)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        yield app, pilot
    await session.aclose()


async def until(condition, seconds=10.0):
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while not condition():
        assert loop.time() < end, "did not happen"
        await asyncio.sleep(0.01)


def state(app):
    return app.runner.state if app.runner else ""


async def test_a_script_drives_the_real_screens(tmp_path):
    path = tmp_path / "a.tokcast"
    with Recorder.open(path, clock=VirtualClock()) as recorder:
        recorder.begin("a", Request((Message("user", "hi"),)))
        recorder.record("a", Sent(0))
        recorder.record("a", Delta("hello", S))
        recorder.record("a", Finished(2 * S))
    steps = [
        "chapter: One", "say: a caption", f"backend: {CS3}", 'type: "What is the KV cache?"', "enter",
        "wait: {event: done, within: 60s}", "wait: {screen: 'KV cache', within: 2s}", "pause",
        f"compare: [{CS3}, sim:h100x16/kimi-k2.6]", "type: {text: What is the KV cache, speed: 1ms}", "enter",
        "wait: {event: done, stream: b, within: 300s}", "pause",
        "play: a.tokcast", "pause",
    ]  # fmt: skip
    async with playing(steps, folder=tmp_path) as (app, pilot):
        await until(lambda: state(app) == "waiting", 30)
        assert isinstance(app.screen, ChatScreen)
        assert app.runner.report.misses == []
        assert len(app.stage.chat.pane.answers) == 1
        line = app.screen.query_one(PresenterLine)
        assert line.view.caption == "a caption"
        await pilot.press("space")
        await until(lambda: isinstance(app.screen, CompareScreen) and state(app) == "waiting", 60)
        assert app.screen.query_one(PresenterLine).view.chapter == "One"
        await pilot.press("space")
        await until(lambda: isinstance(app.screen, ReplayScreen) and state(app) == "waiting", 30)
        assert app.runner.report.misses == []
        await pilot.press("space")
        await until(lambda: state(app) == "ended")
        await pilot.press("r")
        await until(lambda: isinstance(app.screen, ChatScreen) and state(app) == "waiting", 30)
        assert len(app.reports) == 1
        assert len(app.stage.chat.pane.answers) == 1  # nothing is left of the first time
        await pilot.press("q")
    assert not app.is_running


async def test_the_presenters_keys_do_not_reach_the_app_until_it_is_taken_by_hand():
    async with playing(["pause", "say: after", "pause"]) as (app, pilot):
        await until(lambda: state(app) == "waiting")
        await pilot.press("h")
        assert app.screen.query_one(PresenterLine).size.height == 1
        await pilot.press("h", "x", "plus", "minus", "f")
        assert app.stage.chat.prompt_box.text == ""
        await pilot.press("t")
        await pilot.press("q", "space", "h", "i")
        assert app.stage.chat.prompt_box.text == "q hi"
        await pilot.press("f12")
        await until(lambda: state(app) == "playing" or state(app) == "waiting")
        await pilot.press("full_stop", "right", "left")
        await pilot.press("q")
    assert not app.is_running


async def test_a_booth_begins_again_and_keeps_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr("chatapp.ui.presenter._BETWEEN_S", 0.05)
    async with playing(["say: one", 'type: "unsent"'], loop=True) as (app, _pilot):
        await until(lambda: len(app.reports) >= 2)
        assert app.session.conversation.path == []
        assert not list(tmp_path.rglob("*.db"))


async def test_a_visitor_who_leaves_gives_the_stage_back():
    async with playing(["say: one", "pause"], loop=True, idle_reset_s=120) as (app, pilot):
        await until(lambda: state(app) == "waiting")
        await pilot.press("t", "h", "i")
        assert state(app) == "by hand"
        clock = app.session.clock
        await clock.sleep_until(clock.now_ns() + 121 * S)
        app._tick()
        await until(lambda: state(app) == "waiting" and app.stage.chat.prompt_box.text == "")


def test_keys_have_textuals_names():
    assert [key_name(c) for c in "aZ1 .?\n\t-"] == [
        "a", "Z", "1", "space", "full_stop", "question_mark", "enter", "tab", "hyphen_minus",
    ]  # fmt: skip


def test_the_line_says_where_it_stands_in_any_width():
    view = PresenterView("T", "Ch\x1b", 2, 5, "Caption\x1b[2J", 65 * S, "types “x”", "waiting", "✗ missed", 2.0)
    assert caption_row(view, 80).plain == "✗ missed  Caption␛[2J"
    assert status_row(view, 100).plain == "▮▮ Space goes on  1:05  ×2  2/5 Ch␛  next: types “x”"
    for width in (20, 40):
        assert caption_row(view, width).cell_length <= width
        assert status_row(view, width).cell_length <= width
    ended = PresenterView(state="ended")
    assert "r again" in status_row(ended, 80).plain
    assert "next" not in status_row(ended, 80).plain
