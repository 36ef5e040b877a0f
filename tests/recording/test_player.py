import asyncio

import pytest

from chatapp.clock import VirtualClock
from chatapp.errors import FileFormatError
from chatapp.recording.player import Player
from chatapp.recording.reader import Recording
from chatapp.recording.writer import Recorder
from chatapp.stream.events import Delta, Finished, Message, Request, Sent

S = 1_000_000_000


@pytest.fixture
def recording(tmp_path):
    """Three answers of ten words, one word in 0.1 s, beginning at 0, 10 and 20 s; chapters at their begins."""
    path = tmp_path / "a.tokcast"
    clock = VirtualClock()
    with Recorder.open(path, clock=clock) as recorder:
        for turn in range(3):
            clock._now_ns = turn * 10 * S
            recorder.mark(f"chapter {turn}")
            recorder.begin("a", Request((Message("user", f"q{turn}"),)))
            recorder.record("a", Sent(turn * 10 * S))
            for i in range(1, 11):
                recorder.record("a", Delta(f"{turn}.{i} ", turn * 10 * S + i * S // 10))
            recorder.record("a", Finished(turn * 10 * S + S))
    with Recording.open(path) as opened:
        yield opened


class Watcher:
    """Runs a player and keeps what is shown, with the virtual time of each batch."""

    def __init__(self, player, clock):
        self.player, self.clock = player, clock
        self.shown = []
        self.times = []
        self.resets = 0
        self._task = None

    async def __aenter__(self):
        self._task = asyncio.create_task(self._run())
        await self.clock.advance(0)
        return self

    async def __aexit__(self, *_):
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self):
        async for batch in self.player.play():
            if batch.reset:
                self.shown.clear()
                self.resets += 1
            for entry in batch.entries:
                if isinstance(entry.item, Delta):
                    self.shown.append(entry.item.text.strip())
                    self.times.append(self.clock.now_ns() / S)

    async def after(self, seconds):
        await self.clock.advance(0)  # keys are seen before time moves on
        await self.clock.advance(round(seconds * S))
        return self.shown[-1] if self.shown else None


@pytest.fixture
def clock():
    return VirtualClock(77 * S)


async def test_everything_comes_when_it_came(recording, clock):
    async with Watcher(Player(recording, clock=clock), clock) as w:
        await w.after(30)
        assert w.player.state == "ended"
        assert w.player.position_ns == 21 * S
    assert w.times == [pytest.approx(77 + turn * 10 + i / 10, abs=1e-9) for turn in range(3) for i in range(1, 11)]


@pytest.mark.parametrize(("speed", "length"), [(0.5, 42.0), (2.0, 10.5), (8.0, 2.625)])
async def test_speed_is_a_factor(recording, clock, speed, length):
    async with Watcher(Player(recording, clock=clock, speed=speed), clock) as w:
        await w.after(50)
    assert w.times[-1] - 77 == pytest.approx(length)


async def test_max_speed_does_not_wait(recording, clock):
    async with Watcher(Player(recording, clock=clock, speed=None), clock) as w:
        await w.after(0)
        await w.after(0)
        assert len(w.shown) == 30
        assert set(w.times) == {77.0}


async def test_long_pauses_are_shortened_and_positions_stay_true(recording, clock):
    async with Watcher(Player(recording, clock=clock, idle_limit_s=1.0), clock) as w:
        await w.after(1.5)
        assert w.player.position_ns == pytest.approx(5.5 * S)  # halfway through a pause of 9 s that takes 1 s
        await w.after(10)
    assert w.times[-1] - 77 == pytest.approx(5.0)


async def test_pause_stops_and_goes_on_where_it_stood(recording, clock):
    async with Watcher(Player(recording, clock=clock), clock) as w:
        await w.after(0.55)
        w.player.toggle()
        assert await w.after(100) == "0.5"
        assert w.player.position_ns == 0.55 * S
        w.player.toggle()
        assert await w.after(0.04) == "0.5"
        assert await w.after(0.01) == "0.6"


async def test_step_shows_one_chunk(recording, clock):
    async with Watcher(Player(recording, clock=clock), clock) as w:
        await w.after(0.5)
        w.player.step()
        assert await w.after(0) == "0.6"
        w.player.step()
        w.player.step()
        assert await w.after(5) == "0.8"
        assert w.player.state == "paused"


async def test_stepping_past_the_end_ends(recording, clock):
    async with Watcher(Player(recording, clock=clock), clock) as w:
        w.player.pause()
        w.player.seek(21 * S)
        await w.after(0)
        w.player.step()
        await w.after(0)
        assert w.player.state == "ended"


async def test_seeking_both_ways(recording, clock):
    async with Watcher(Player(recording, clock=clock), clock) as w:
        w.player.skip(20.5)
        assert await w.after(0) == "2.5"
        assert w.resets == 0
        assert len(w.shown) == 25
        w.player.skip(-20)
        assert await w.after(0) == "0.5"
        assert w.resets == 1
        assert await w.after(0.1) == "0.6"
        w.player.seek(-5 * S)
        assert await w.after(0) is None
        w.player.seek(999 * S)
        assert await w.after(0) == "2.10"


async def test_a_jump_far_ahead_shows_only_what_is_in_view(tmp_path, clock):
    path = tmp_path / "many.tokcast"
    own = VirtualClock()
    with Recorder.open(path, clock=own) as recorder:
        recorder.begin("late", Request((Message("user", "begins before the view"),)))
        for i in range(100):
            own._now_ns = i * S
            recorder.begin("a", Request((Message("user", f"q{i}"),)))
            recorder.record("a", Delta(f"{i}", i * S))
            recorder.record("late", Delta("x", i * S + 1))
    with Recording.open(path) as many:
        async with Watcher(Player(many, clock=clock), clock) as w:
            w.player.seek(90 * S)
            await w.after(0)
            assert w.resets == 1
            assert w.shown == [str(i) for i in range(79, 91)]


async def test_chapters(recording, clock):
    player = Player(recording, clock=clock)
    async with Watcher(player, clock) as w:
        assert player.chapter == "chapter 0"
        player.next_chapter()
        await w.after(0)
        assert (player.chapter, player.position_ns) == ("chapter 1", 10 * S)
        await w.after(0.5)
        player.previous_chapter()
        await w.after(0)
        assert player.chapter == "chapter 0"
        await w.after(5)
        player.previous_chapter()
        await w.after(0)
        assert player.position_ns == 0
        for _ in range(5):
            player.next_chapter()
            await w.after(0)
        assert player.position_ns == player.duration_ns


async def test_without_markers_questions_are_chapters(tmp_path, clock):
    path = tmp_path / "a.tokcast"
    own = VirtualClock()
    with Recorder.open(path, clock=own) as recorder:
        recorder.begin("a", Request(()))
        recorder.begin("b", Request(()))
        recorder.record("a", Delta("x", S))
        own._now_ns = S
        recorder.begin("a", Request(()))
    with Recording.open(path) as opened:
        chapters = Player(opened, clock=clock).chapters
    assert [(mark.at_ns, mark.label) for mark in chapters] == [(0, "question 1"), (S, "question 2")]


async def test_speed_changes_on_the_way(recording, clock):
    player = Player(recording, clock=clock)
    async with Watcher(player, clock) as w:
        await w.after(0.5)
        player.faster()
        assert player.speed == 1.5
        assert await w.after(0.21) == "0.8"
        player.faster(-1)
        player.faster(-1)
        assert player.speed == 0.5
        assert await w.after(0.15) == "0.8"
        assert await w.after(0.05) == "0.9"
        player.set_speed(3.0)
        player.faster()
        assert player.speed == 4.0
        player.set_speed(3.0)
        player.faster(-1)
        assert player.speed == 2.0
        for _ in range(20):
            player.faster()
        assert player.speed == 16.0
        for _ in range(20):
            player.faster(-1)
        assert player.speed == 0.1


async def test_after_the_end_it_plays_again_from_the_start(recording, clock):
    player = Player(recording, clock=clock)
    async with Watcher(player, clock) as w:
        await w.after(30)
        assert player.state == "ended"
        player.resume()
        await w.after(0.1)
        assert w.shown == ["0.1"]
        assert player.state == "playing"


async def test_the_header_may_limit_pauses(tmp_path, clock):
    path = tmp_path / "a.tokcast"
    path.write_bytes(
        b'{"format":"tokcast","version":1,"idle_time_limit":2}\n'
        b'[0,"t",{"s":"a","x":"one"}]\n[100,"t",{"s":"a","x":"two"}]\n'
    )
    with Recording.open(path) as opened:
        async with Watcher(Player(opened, clock=clock), clock) as w:
            assert await w.after(1.9) == "one"
            assert await w.after(0.1) == "two"


async def test_a_wrong_line_is_said_after_what_came_before_it(tmp_path, clock):
    path = tmp_path / "a.tokcast"
    path.write_bytes(b'{"format":"tokcast","version":1}\n[0,"t",{"s":"a","x":"one"}]\n[0,"t",{"s":7}]\n')
    with Recording.open(path) as opened:
        player = Player(opened, clock=clock).play()
        first = await anext(player)
        assert [entry.item.text for entry in first.entries] == ["one"]
        with pytest.raises(FileFormatError, match=":3:"):
            await anext(player)


async def test_an_empty_recording_ends_at_once(tmp_path, clock):
    path = tmp_path / "a.tokcast"
    path.write_bytes(b'{"format":"tokcast","version":1}\n')
    with Recording.open(path) as opened:
        player = Player(opened, clock=clock)
        async with Watcher(player, clock) as w:
            await w.after(0)
            assert player.state == "ended"
            assert player.chapter == ""
            player.previous_chapter()
            player.step()
            await w.after(0)
            assert w.shown == []
