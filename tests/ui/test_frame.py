"""The one frame timer and its garbage policy."""

import gc
import time

import pytest
from textual.app import App
from textual.screen import Screen
from textual.widgets import Static

from chatapp.ui.frame import (
    LOCAL_FPS,
    REDUCED_MOTION_FPS,
    REMOTE_FPS,
    FrameTimer,
    GarbagePolicy,
    frame_rate,
    paint_now,
)


class Source:
    """Something that has work for a number of frames."""

    def __init__(self, work=0):
        self.work = work
        self.frames = 0

    def on_frame(self):
        self.frames += 1
        self.work -= 1
        return self.work >= 0


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, LOCAL_FPS),
        ({"SSH_CONNECTION": "10.0.0.1 1 10.0.0.2 22"}, REMOTE_FPS),
        ({"SSH_TTY": "/dev/pts/1"}, REMOTE_FPS),
        ({"TEXTUAL_DRIVER": "textual.drivers.web_driver:WebDriver"}, REMOTE_FPS),
        ({"SSH_CONNECTION": ""}, LOCAL_FPS),
    ],
)
def test_the_frame_rate_suits_the_place(environment, expected, monkeypatch):
    monkeypatch.setattr("sys.platform", "linux")
    assert frame_rate(environment) == expected


def test_the_frame_rate_on_windows_and_with_reduced_motion(monkeypatch):
    monkeypatch.setattr("sys.platform", "win32")
    assert frame_rate({}) == REMOTE_FPS
    assert frame_rate({}, reduced_motion=True) == REDUCED_MOTION_FPS


def test_the_process_environment_is_the_default(monkeypatch):
    monkeypatch.setenv("SSH_TTY", "/dev/pts/1")
    assert frame_rate() == REMOTE_FPS


def test_the_garbage_policy_leaves_things_as_they_were():
    before = gc.get_threshold()
    policy = GarbagePolicy()
    policy.leave()
    policy.enter()
    policy.enter()
    assert policy.active
    assert gc.get_threshold() == GarbagePolicy.STREAMING
    assert gc.get_freeze_count() > 0
    policy.leave()
    assert not policy.active
    assert gc.get_threshold() == before


async def test_sources_are_drained_together_until_they_are_idle():
    app = App()
    async with app.run_test() as pilot:
        timer = FrameTimer.configure(app, fps=200)
        busy, idle = Source(work=3), Source()
        timer.add(busy)
        timer.add(idle)
        assert busy.frames == 0
        timer.wake()
        assert timer.garbage.active
        while timer.awake:
            await pilot.pause(0.01)
        assert busy.frames == idle.frames
        assert timer.frames == 3
        timer.wake()
        assert timer.awake
        timer.discard(busy)
        timer.discard(idle)
        assert not timer.awake
        assert not timer.garbage.active


async def test_an_app_has_one_timer_and_keeps_its_sources_when_the_rate_changes():
    app = App()
    async with app.run_test() as pilot:
        first = FrameTimer.of(app)
        assert FrameTimer.of(app) is first
        source = Source()
        first.add(source)
        first.wake()
        assert FrameTimer.configure(app, fps=60, reduced_motion=True) is first
        assert first.fps == REDUCED_MOTION_FPS
        FrameTimer.configure(app, fps=500)
        while first.awake:
            await pilot.pause(0.01)
        assert source.frames > 20


async def test_memory_is_tidied_a_while_after_the_last_stream(monkeypatch):
    monkeypatch.setattr("chatapp.ui.frame._COLLECT_AFTER_S", 0.01)
    app = App()
    async with app.run_test() as pilot:
        timer = FrameTimer.configure(app, fps=500)
        source = Source()
        timer.add(source)
        timer.wake()
        while timer.garbage.active:
            await pilot.pause(0.01)
        assert not timer.awake


class Counted(Static):
    """Counts how often it is painted, and asks to be painted in so many frames."""

    def __init__(self, work=0):
        super().__init__("text")
        self.painted = 0
        self.work = work

    def render_lines(self, crop):
        self.painted += 1
        return super().render_lines(crop)

    def on_frame(self):
        self.work -= 1
        if self.work >= 0:
            self.refresh()
        return self.work >= 0


async def test_a_repaint_reaches_the_compositor_at_once_and_only_once():
    app = App()
    async with app.run_test() as pilot:
        widget = Counted()
        await app.mount(widget)
        await pilot.pause()
        before = widget.painted
        widget.refresh()
        paint_now(app, [widget])
        assert widget.painted == before + 1
        await pilot.pause(0.1)
        assert widget.painted == before + 1


async def test_a_widget_under_another_screen_is_left_to_textual():
    app = App()
    async with app.run_test() as pilot:
        widget = Counted()
        await app.mount(widget)
        await app.push_screen(Screen())
        await pilot.pause()
        before = widget.painted
        widget.refresh()
        paint_now(app, [widget])
        assert widget.painted == before
        await app.pop_screen()
        await pilot.pause()
        assert widget.painted > before


async def test_every_frame_is_painted_even_when_each_is_late():
    class Slow(Counted):
        def on_frame(self):
            time.sleep(0.006)  # longer than a frame at this rate
            return super().on_frame()

    app = App()
    async with app.run_test() as pilot:
        widget = Slow(work=10)
        await app.mount(widget)
        await pilot.pause()
        before = widget.painted
        timer = FrameTimer.configure(app, fps=200)
        timer.add(widget)
        timer.wake()
        while timer.awake:
            await pilot.pause(0.01)
        assert timer.frames == 10
        assert widget.painted == before + 10


async def test_a_bug_in_a_source_ends_the_app_with_it():
    class Broken(Source):
        def on_frame(self):
            raise ZeroDivisionError("in a frame")

    async def run():
        app = App()
        async with app.run_test() as pilot:
            timer = FrameTimer.configure(app, fps=500)
            broken = Broken()
            timer.add(broken)
            timer.wake()
            await pilot.pause(0.2)

    with pytest.raises(ZeroDivisionError, match="in a frame"):
        await run()
