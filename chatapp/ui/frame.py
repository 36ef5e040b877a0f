"""The one frame timer: every pane's waiting text is taken in and painted at the screen's own pace, never per token.

A message per token costs 13 us and a reactive 9 us (measured on Textual 8.2.8), so four panes at 20,000 tok/s would
spend a whole core on plumbing. Text goes into a deque instead, and this timer drains all panes together.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Mapping
from typing import ClassVar, Protocol
from weakref import WeakKeyDictionary, WeakSet, ref

from textual.app import App
from textual.timer import Timer

LOCAL_FPS = 60.0
REMOTE_FPS = 30.0
"""Over SSH, in a browser and on Windows each frame crosses a pipe that is slower than the screen."""
REDUCED_MOTION_FPS = 4.0
"""What a screen reader can follow, and what makes nobody dizzy."""

_IDLE_FRAMES = 30
"""Empty frames before the timer sleeps: it must not stop and start between the tokens of a slow answer."""
_COLLECT_AFTER_S = 5.0
"""How long nothing must have streamed before memory is tidied: a full collection takes 40 to 80 ms."""


def frame_rate(environment: Mapping[str, str] | None = None, *, reduced_motion: bool = False) -> float:
    """Return the frames per second that suit the place the screen is shown at.

    Args:
        environment: the process environment, `os.environ` if None.
        reduced_motion: whether the reader asked for a calm screen.
    """
    env = os.environ if environment is None else environment
    if reduced_motion:
        return REDUCED_MOTION_FPS
    in_browser = "web_driver" in env.get("TEXTUAL_DRIVER", "")  # set by textual-serve
    remote = env.get("SSH_CONNECTION") or env.get("SSH_TTY") or env.get("SSH_CLIENT")
    if in_browser or remote or sys.platform == "win32":
        return REMOTE_FPS
    return LOCAL_FPS


class FrameSource(Protocol):
    """What takes part in the frame: a pane, or anything else that changes while text streams."""

    def on_frame(self) -> bool:
        """Take in what waits and ask for a repaint; return whether there was anything to do."""


class GarbagePolicy:
    """Keeps the garbage collector's pauses out of a stream.

    A generation-2 collection of a running app takes 40 to 84 ms and comes every half second at full load. While text
    streams, what lives already is frozen and collections are made rare; when it has been quiet for a while, one full
    collection tidies up and everything is as before.
    """

    STREAMING = (50_000, 20, 1_000_000)

    def __init__(self) -> None:
        self._before: tuple[int, int, int] | None = None

    @property
    def active(self) -> bool:
        """Whether the streaming thresholds are in force."""
        return self._before is not None

    def enter(self) -> None:
        """Prepare for streaming. Costs microseconds; idempotent."""
        if self._before is None:
            self._before = gc.get_threshold()
            gc.freeze()
            gc.set_threshold(*self.STREAMING)

    def leave(self) -> None:
        """Go back to how it was, tidying up once; idempotent."""
        if self._before is not None:
            gc.set_threshold(*self._before)
            self._before = None
            gc.unfreeze()
            gc.collect()


class FrameTimer:
    """Drains all sources of one app, once a frame, and sleeps when there is nothing to do."""

    _timers: ClassVar[WeakKeyDictionary[App[object], FrameTimer]] = WeakKeyDictionary()

    def __init__(self, app: App[object], fps: float) -> None:
        self.garbage = GarbagePolicy()
        self.frames = 0
        """Frames with something to do, for benchmarks."""
        self._app = ref(app)  # weak, or the entry in `_timers` would keep every app of a test run alive
        self._fps = fps
        self._sources: WeakSet[FrameSource] = WeakSet()
        self._idle = 0
        self._awake = False
        self._timer: Timer = app.set_interval(1 / fps, self._tick, name="frame", pause=True)
        self._tidy: Timer | None = None

    @classmethod
    def of(cls, app: App[object]) -> FrameTimer:
        """Return the app's timer, made on first use for the place the app is shown at."""
        timer = cls._timers.get(app)
        if timer is None:
            timer = cls._timers[app] = cls(app, frame_rate())
        return timer

    @classmethod
    def configure(cls, app: App[object], *, fps: float | None = None, reduced_motion: bool = False) -> FrameTimer:
        """Set the app's frame rate, by default what `frame_rate` says; return its timer. Calm goes before fast."""
        timer = cls.of(app)
        rate = fps if fps is not None and not reduced_motion else frame_rate(reduced_motion=reduced_motion)
        if rate != timer._fps:
            timer._fps = rate
            timer._timer.stop()
            timer._timer = app.set_interval(1 / rate, timer._tick, name="frame", pause=not timer._awake)
        return timer

    @property
    def fps(self) -> float:
        """Frames per second."""
        return self._fps

    @property
    def awake(self) -> bool:
        """Whether frames come at the moment."""
        return self._awake

    def add(self, source: FrameSource) -> None:
        """Let a source take part until it is discarded or gone."""
        self._sources.add(source)

    def discard(self, source: FrameSource) -> None:
        """Let a source take part no longer; without sources the timer and its garbage policy rest."""
        self._sources.discard(source)
        if not self._sources:
            self._sleep()
            self.garbage.leave()

    def wake(self) -> None:
        """Make sure the next frame comes. Cheap enough to call for every delta."""
        self._idle = 0
        if not self._awake:
            self._awake = True
            if self._tidy is not None:
                self._tidy.stop()
                self._tidy = None
            self.garbage.enter()
            self._timer.reset()

    def paint(self) -> None:
        """Make one frame now: for a show whose clock is not the loop's, such as an export."""
        self._tick()

    def _tick(self) -> None:
        busy = False
        for source in list(self._sources):
            busy = source.on_frame() or busy
        if busy:
            self.frames += 1
            self._idle = 0
            return
        self._idle += 1
        if self._idle >= _IDLE_FRAMES:
            self._sleep()
            app = self._app()
            if app is not None:
                self._tidy = app.set_timer(_COLLECT_AFTER_S, self.garbage.leave, name="tidy")

    def _sleep(self) -> None:
        self._awake = False
        self._timer.pause()
