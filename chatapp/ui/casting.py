"""Running an app without a terminal and keeping what it would have written to one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from textual import events
from textual.app import App
from textual.driver import Driver
from textual.geometry import Size

from chatapp.clock import NS_PER_S, VirtualClock
from chatapp.recording.cast import Output
from chatapp.ui.frame import FrameTimer

_FPS = 20
"""Frames in a second of the cast. A GIF shows no more, and every frame is bytes in every export."""
_PAINT_S = 1.0


class CastDriver(Driver):
    """A driver whose terminal is a list."""

    outputs: list[str]

    def __init__(
        self, app: App[object], *, debug: bool = False, mouse: bool = True, size: tuple[int, int] | None = None
    ) -> None:
        super().__init__(app, debug=debug, mouse=mouse, size=size)
        self.outputs = []

    def write(self, data: str) -> None:
        """Keep what is written."""
        self.outputs.append(data)

    def start_application_mode(self) -> None:
        """Tell the app its size."""
        columns, rows = self._size or (100, 30)
        size = Size(columns, rows)
        self._app.post_message(events.Resize(size, size))

    def disable_input(self) -> None:
        """There is no input."""

    def stop_application_mode(self) -> None:
        """There is nothing to restore."""


async def cast_app(
    app: App[object],
    clock: VirtualClock,
    *,
    size: tuple[int, int],
    ended: Callable[[], bool],
    refresh: Callable[[], None],
    longest_s: float = 3600.0,
    tail_s: float = 2.0,
) -> list[Output]:
    """Run an app on a virtual clock, frame by frame, until it has ended; return what its terminal would have got.

    Args:
        app: is driven by `clock` alone.
        clock: not one that jumps by itself.
        size: columns and rows.
        ended: whether the show is over.
        refresh: brings figures up to date before each frame.
        longest_s: on the virtual clock; a show that does not end is cut there.
        tail_s: how long the last picture stays.
    """
    app.driver_class = CastDriver
    running = asyncio.create_task(app.run_async(size=size, mouse=False))
    outputs: list[Output] = []
    start_ns = clock.now_ns()
    try:
        while not (app.is_running and isinstance(app._driver, CastDriver) and len(app.screen_stack) > 1):
            await asyncio.sleep(0.01)
            if running.done():
                running.result()
        driver = app._driver
        left = round(tail_s * _FPS)
        for _frame in range(round(longest_s * _FPS)):
            refresh()
            FrameTimer.of(app).drain()
            await _painted(app)
            written = "".join(driver.outputs)
            driver.outputs.clear()
            if written.strip("\n"):
                outputs.append(Output(clock.now_ns() - start_ns, written))
            if ended():
                left -= 1
                if left <= 0:
                    break
            await clock.advance(NS_PER_S // _FPS)
        # A picture that does not change writes nothing: say how long it stays.
        outputs.append(Output(clock.now_ns() - start_ns, ""))
    finally:
        app.exit()
        with suppress(asyncio.CancelledError):
            await running
    return outputs


async def _painted(app: App[object]) -> None:
    """Return when the screen has been painted."""
    done = asyncio.Event()
    if app.screen.call_after_refresh(done.set):
        with suppress(TimeoutError):
            await asyncio.wait_for(done.wait(), _PAINT_S)
