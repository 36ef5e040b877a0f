from contextlib import asynccontextmanager

import pytest

from chatapp.client.saver import Saver
from chatapp.client.session import Session
from chatapp.clock import VirtualClock
from chatapp.config import Settings
from chatapp.errors import UsageError
from chatapp.recording.player import Player
from chatapp.recording.reader import Recording
from chatapp.recording.writer import Recorder
from chatapp.redaction import Redactor
from chatapp.stream.events import BackendInfo, Delta, Failed, Finished, Message, Notice, Request, Sent, Usage
from chatapp.ui.app import ChatApp
from chatapp.ui.screens.detail import DetailScreen
from chatapp.ui.screens.replay import open_replay
from chatapp.ui.widgets.lane import LaneMeter
from chatapp.ui.widgets.metrics_panel import MetricsPanel
from chatapp.ui.widgets.scoreboard import Scoreboard
from chatapp.ui.widgets.standings import StandingsPanel
from chatapp.ui.widgets.stream_pane import StreamPane
from chatapp.ui.widgets.transport import Transport, TransportView, clock_text, transport_line

S = 1_000_000_000
CS3 = BackendInfo("sim:cs3/kimi-k2.6", "CS-3 · Kimi K2.6", "simulated", "cerebras", "kimi-k2.6")
GROQ = BackendInfo("groq/llama", "Groq · Llama", "live", "groq", "llama")


def record(path, streams, *, turns=2, end=Finished, title="A talk"):
    clock = VirtualClock()
    with Recorder.open(path, title=title, clock=clock, redactor=Redactor()) as recorder:
        for turn in range(turns):
            base = turn * 10 * S
            clock._now_ns = base
            recorder.mark(f"chapter {turn + 1}")
            for stream, info in streams.items():
                recorder.begin(stream, Request((Message("user", f"question {turn + 1}"),)), info)
                recorder.record(stream, Notice("text_source", "a note"))
                recorder.record(stream, Sent(base))
            paces = [(i * pace, i, stream) for pace, stream in enumerate(streams, start=1) for i in range(10)]
            for tenths, i, stream in sorted(paces):
                recorder.record(stream, Delta(f"w{turn + 1}.{i} ", base + S + tenths * S // 10, tokens=2))
            for stream in streams:
                recorder.record(stream, Usage(3, 20))
                if end is Finished:
                    recorder.record(stream, Finished(base + 3 * S))
                else:
                    recorder.record(stream, Failed(base + 3 * S, "stalled", "it \x1b[2J stalled", hint="again"))
    return path


@asynccontextmanager
async def showing(path, size=(100, 30), **options):
    """Open a replay and hand over pilot, screen, and `go`, which moves time."""
    clock = VirtualClock(1000 * S)
    with Recording.open(path) as recording:
        screen = open_replay(Player(recording, clock=clock, **options))
        session = Session(None, backend="", saver=Saver(path.parent / "x.db", enabled=False), settings=Settings())
        app = ChatApp(session, first=lambda _session: screen)
        async with app.run_test(size=size) as pilot:
            await pilot.pause()

            async def go(seconds):
                await clock.advance(0)
                await clock.advance(round(seconds * S))
                screen.refresh_figures()
                await pilot.pause()

            yield pilot, screen, go


def answers(screen):
    return screen.query_one(StreamPane).answers


async def test_one_stream_is_shown_as_the_chat_it_was(tmp_path):
    async with showing(record(tmp_path / "a.tokcast", {"chat": GROQ})) as (pilot, screen, go):
        await go(1.45)
        assert answers(screen) == ["w1.0 w1.1 w1.2 w1.3 w1.4 "]
        view = screen.query_one(MetricsPanel).view
        assert view.label == "Groq · Llama"
        assert view.note == "replay"
        assert view.snapshot.ttft_ms == 1000.0
        assert view.snapshot.phase == "streaming"
        assert view.snapshot.elapsed_ms == 1450.0
        await go(30)
        assert answers(screen)[1].endswith("w2.9 ")
        assert screen.query_one(MetricsPanel).view.snapshot.output_speed_tps == 20.0
        assert len(screen.query_one(Scoreboard).scores["groq/llama"].figures) == 1  # the same figures twice
        assert screen.query_one(Transport).view.state == "ended"
        assert pilot.app.is_running


async def test_that_it_is_a_replay_is_always_visible(tmp_path):
    for size in ((80, 24), (60, 20)):
        async with showing(record(tmp_path / f"{size[0]}.tokcast", {"chat": CS3}, title="T\x1b[2J"), size=size) as (
            _pilot,
            screen,
            go,
        ):
            await go(1.5)
            top = screen.query_one("#top").render_line(0).text
            assert "▶ REPLAY" in top
            assert "\x1b" not in top
            assert screen.query_one(MetricsPanel).view.note == "simulated, replay"


async def test_the_keys_of_a_player(tmp_path):
    async with showing(record(tmp_path / "a.tokcast", {"chat": GROQ})) as (pilot, screen, go):
        await go(1.25)
        await pilot.press("space")
        await go(5)
        assert answers(screen) == ["w1.0 w1.1 w1.2 "]
        assert screen.query_one(Transport).view.state == "paused"
        await pilot.press("full_stop")
        await go(0)
        assert answers(screen) == ["w1.0 w1.1 w1.2 w1.3 "]
        await pilot.press("right_square_bracket")
        await go(0)
        assert screen.query_one(Transport).view.chapter == "chapter 2"
        assert len(answers(screen)) == 1
        await pilot.press("right")
        await go(0)
        assert len(answers(screen)) == 2
        await pilot.press("left", "left", "left")
        await go(0)
        assert answers(screen) == []
        await pilot.press("space", "plus")
        await go(1.01)
        assert screen.player.speed == 1.5
        assert answers(screen) == ["w1.0 w1.1 w1.2 w1.3 w1.4 w1.5 "]
        await pilot.press("minus", "minus", "left_square_bracket")
        await go(0)
        assert answers(screen) == []
        await pilot.press("right", "r")
        await go(0)
        assert screen.player.position_ns == 0


async def test_detail_and_copy_work_as_live(tmp_path, monkeypatch):
    copied = []
    monkeypatch.setattr("chatapp.ui.app.copy_text", lambda _app, text, what: copied.append(text) or what)
    async with showing(record(tmp_path / "a.tokcast", {"chat": GROQ}, turns=1)) as (pilot, screen, go):
        await go(5)
        await pilot.press("alt+c", "alt+b", "f9")
        await pilot.press("f6")
        assert isinstance(pilot.app.screen, DetailScreen)
        await pilot.press("escape")
        assert pilot.app.screen is screen


async def test_several_streams_stand_side_by_side(tmp_path):
    async with showing(record(tmp_path / "a.tokcast", {"a": CS3, "b": GROQ}, turns=1)) as (pilot, screen, go):
        await go(1.95)
        first, second = (pane.answers[-1] for pane in screen.query(StreamPane))
        assert first == "w1.0 w1.1 w1.2 w1.3 w1.4 w1.5 w1.6 w1.7 w1.8 w1.9 "
        assert second == "w1.0 w1.1 w1.2 w1.3 w1.4 "
        assert [meter.view.label for meter in screen.query(LaneMeter)] == ["CS-3 · Kimi K2.6", "Groq · Llama"]
        await go(5)
        view = screen.query_one(StandingsPanel).view
        assert view.same_text
        assert len(view.standings) == 2
        assert screen.query_one(Transport).view.state == "ended"
        await pilot.press("r")
        await go(0.5)
        assert all(pane.answers == [] for pane in screen.query(StreamPane))


async def test_more_streams_than_fit_are_said(tmp_path):
    streams = {str(i): GROQ for i in range(6)}
    async with showing(record(tmp_path / "a.tokcast", streams, turns=1), size=(160, 40)) as (_pilot, screen, _go):
        assert len(screen.query(LaneMeter)) == 4
        assert "2 more streams are not shown" in screen.query_one("#top").render_line(0).text


async def test_a_failure_is_shown_as_it_was(tmp_path):
    async with showing(record(tmp_path / "a.tokcast", {"chat": GROQ}, turns=1, end=Failed)) as (_pilot, screen, go):
        await go(5)
        assert answers(screen) == ["w1.0 w1.1 w1.2 w1.3 w1.4 w1.5 w1.6 w1.7 w1.8 w1.9 "]
        assert screen.current.answer.outcome == "failed"
        assert screen.query_one(Scoreboard).scores == {}


async def test_a_file_without_requests_or_with_a_wrong_line_still_shows_what_it_can(tmp_path):
    path = tmp_path / "a.tokcast"
    path.write_bytes(
        b'{"format":"tokcast","version":1}\n[0,"t",{"s":"zz","x":"text"}]\n[1,"d",{"s":"zz","finish":"bored"}]\n'
    )
    async with showing(path) as (_pilot, screen, go):
        await go(3)
        assert answers(screen) == ["text"]
        assert "a.tokcast:3:" in screen.problem


async def test_leaving_ends_the_app(tmp_path):
    async with showing(record(tmp_path / "a.tokcast", {"chat": GROQ}, turns=1)) as (pilot, _screen, _go):
        await pilot.press("q")
        assert not pilot.app.is_running


def test_an_empty_recording_is_said(tmp_path):
    path = tmp_path / "a.tokcast"
    path.write_bytes(b'{"format":"tokcast","version":1}\n')
    with Recording.open(path) as recording, pytest.raises(UsageError, match="no events"):
        open_replay(Player(recording))


def test_the_players_line():
    view = TransportView("playing", 61_230_000_000, 122_000_000_000, 2.0, "chapter\x1b two", (0, 61_000_000_000))
    line = transport_line(view, 60).plain
    assert line.startswith("▶ 1:01.2 / 2:02.0  ×2  ┼━")
    assert "┃" in line
    assert line.endswith("chapter␛ two")
    assert len(line) <= 60
    assert len(transport_line(view, 30).plain) <= 30
    assert transport_line(TransportView("ended", 0, 0, None), 40).plain.startswith("■ 0:00.0 / 0:00.0  max")
    assert clock_text(3_600_000_000_000) == "60:00.0"
