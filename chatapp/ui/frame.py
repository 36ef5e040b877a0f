"""The one frame timer: every pane's waiting text is taken in and painted at the screen's own pace, never per token.

A message per token costs 13 us and a reactive 9 us (measured on Textual 8.2.8), so four panes at 20,000 tok/s would
spend a whole core on plumbing. Text goes into a deque instead, and this timer drains all panes together.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import Iterable, Mapping
from typing import ClassVar, Protocol
from weakref import WeakKeyDictionary, WeakSet, ref

from textual.app import App
from textual.timer import Timer
from textual.widget import Widget

LOCAL_FPS = 60.0
REMOTE_FPS = 30.0
"""Over SSH, in a browser and on Windows each frame crosses a pipe that is slower than the screen."""
REDUCED_MOTION_FPS = 4.0
"""What a screen reader can follow, and what makes nobody dizzy."""

_IDLE_FRAMES = 30
"""Empty frames before the timer sleeps: it must not stop and start between the tokens of a slow answer."""
_REST_S = 0.001
"""What a frame that took too long leaves to keys and arriving text before the next."""
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
    if in_browser or over_ssh(env) or sys.platform == "win32":
        return REMOTE_FPS
    return LOCAL_FPS


def over_ssh(environment: Mapping[str, str] | None = None) -> bool:
    """Return whether the terminal is at the other end of an SSH connection."""
    env = os.environ if environment is None else environment
    return any(env.get(name) for name in ("SSH_CONNECTION", "SSH_TTY", "SSH_CLIENT"))


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


def paint_now(app: App[object], widgets: Iterable[Widget]) -> None:
    """Put what the widgets have asked to repaint on the terminal at once, with whatever else waits to be painted.

    `Widget.refresh` reaches the terminal by two messages and an interval of the screen's own, which leaves out every
    beat it is late for: frames of 17 ms would be painted at 30 a second. The three private names have stood in Textual
    since it has a compositor; a test holds them, and the release is pinned.
    """
    screen = app.screen
    for widget in widgets:
        if widget._repaint_required and widget.is_attached and widget.screen is screen:
            widget._repaint_required = False
            screen._dirty_widgets.add(widget)
    screen._on_timer_update()


class FrameTimer:
    """Drains all sources of one app, once a frame, paints them together, and sleeps when there is nothing to do.

    Frames have absolute deadlines. One that is late comes as soon as it can and shifts those after it: Textual's own
    intervals wait for the next beat instead, which halves the rate as soon as a frame takes a little too long.
    """

    _timers: ClassVar[WeakKeyDictionary[App[object], FrameTimer]] = WeakKeyDictionary()

    def __init__(self, app: App[object], fps: float) -> None:
        self.garbage = GarbagePolicy()
        self.frames = 0
        """Frames with something to do, for benchmarks."""
        self.jumping = over_ssh()
        """Whether panes follow by quarter pages: a third of the bytes, for slow lines."""
        self._app = ref(app)  # weak, or the entry in `_timers` would keep every app of a test run alive
        self._fps = fps
        self._sources: WeakSet[FrameSource] = WeakSet()
        self._idle = 0
        self._awake = asyncio.Event()
        self._beat: asyncio.Task[None] | None = None
        self._tidy: Timer | None = None

    @classmethod
    def of(cls, app: App[object]) -> FrameTimer:
        """Return the app's timer, made on first use for the place the app is shown at."""
        timer = cls._timers.get(app)
        if timer is None:
            timer = cls._timers[app] = cls(app, frame_rate())
        return timer

    @classmethod
    def configure(
        cls, app: App[object], *, fps: float | None = None, reduced_motion: bool = False, jumping: bool | None = None
    ) -> FrameTimer:
        """Set how the app's panes move, by default as suits the place; return its timer. Calm goes before fast."""
        timer = cls.of(app)
        timer.jumping = over_ssh() if jumping is None else jumping
        timer._fps = fps if fps is not None and not reduced_motion else frame_rate(reduced_motion=reduced_motion)
        return timer

    @property
    def fps(self) -> float:
        """Frames per second."""
        return self._fps

    @property
    def awake(self) -> bool:
        """Whether frames come at the moment."""
        return self._awake.is_set()

    def add(self, source: FrameSource) -> None:
        """Let a source take part until it is discarded or gone."""
        self._sources.add(source)
        if self._beat is None:
            self._beat = asyncio.create_task(self._run(), name="frame")

    def discard(self, source: FrameSource) -> None:
        """Let a source take part no longer; without sources the timer and its garbage policy rest."""
        self._sources.discard(source)
        if not self._sources:
            self._awake.clear()
            self.garbage.leave()
            if self._beat is not None:
                self._beat.cancel()
                self._beat = None

    def wake(self) -> None:
        """Make sure the next frame comes. Cheap enough to call for every delta."""
        self._idle = 0
        if not self._awake.is_set():
            self._awake.set()
            if self._tidy is not None:
                self._tidy.stop()
                self._tidy = None
            self.garbage.enter()

    def drain(self) -> bool:
        """Let all sources take in what waits, unpainted; return whether there was anything to do."""
        busy = False
        for source in list(self._sources):
            busy = source.on_frame() or busy
        return busy

    async def _run(self) -> None:
        now = asyncio.get_running_loop().time
        due = now()
        while True:
            await self._awake.wait()
            # Past the deadline by more than a frame: the frames between are left out, not made up for.
            due = max(due + 1 / self._fps, now() + _REST_S)
            await asyncio.sleep(due - now())
            app = self._app()
            if app is None:
                return
            try:
                self._frame(app)
            except Exception as error:
                # A bug ends the app as from any of its own callbacks, instead of a screen that stands still.
                app.call_later(_reraise, error)
                return
            del app

    def _frame(self, app: App[object]) -> None:
        if self.drain():
            self.frames += 1
            self._idle = 0
            paint_now(app, [source for source in self._sources if isinstance(source, Widget)])
            return
        self._idle += 1
        if self._idle >= _IDLE_FRAMES:
            self._awake.clear()
            self._tidy = app.set_timer(_COLLECT_AFTER_S, self.garbage.leave, name="tidy")


def _reraise(error: Exception) -> None:
    raise error
