"""The one frame timer and its garbage policy."""

import gc

import pytest
from textual.app import App

from chatapp.ui.frame import (
    LOCAL_FPS,
    REDUCED_MOTION_FPS,
    REMOTE_FPS,
    FrameTimer,
    GarbagePolicy,
    frame_rate,
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
