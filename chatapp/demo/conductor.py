"""Time on a stage: resting and waiting that a presenter may stretch, end or leave, and what she sees of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from chatapp.clock import Clock
from chatapp.demo import script as s
from chatapp.demo.stage import PresenterView, Stage
from chatapp.demo.watch import Watch

GRACE_S = 2.0
"""Real time that is given to the app before a wait on a virtual clock is called missed."""
_LOOK_NS = 50_000_000
"""How often a wait for the screen looks at it."""

_PATIENCE = 20
"""In a check, a wait may notice a twentieth of its length late: a look costs 30 ms of real time, and 9 minutes of looks
in vain would take longer than they pretend to."""


class MovedError(Exception):
    """The presenter jumped: the current step is over."""


class Conductor:
    """Holds where a script stands, and lets a presenter move it.

    Args:
        script: what to do.
        stage: where.
        watch: what the stage's answers pass.
        clock: what typing, resting and waiting go by.
        live: a presenter is there.
        hands: the presenter types: any key types the next character of the script's text.
    """

    def __init__(
        self, script: s.Script, stage: Stage, watch: Watch, clock: Clock, *, live: bool, hands: bool = False
    ) -> None:
        self.script = script
        self.stage = stage
        self.watch = watch
        self.clock = clock
        self.live = live
        self.hands = hands
        self.typing = False
        """Whether a text is being typed just now."""
        self.state = "playing"
        self.pace = script.pace
        self._index = 0
        self._caption = ""
        self._mark = ""
        self._start_ns = clock.now_ns()
        self._jump: int | None = None
        self._skip = False
        self._strokes = 0
        self._news = asyncio.Event()

    # ------------------------------------------------------------------ a presenter's hands

    def toggle(self) -> None:
        """Go on where the script waits, else pause it; an answer that is coming goes on coming."""
        self.state = "playing" if self.state in ("waiting", "paused") else "paused"
        self._changed()

    def stroke(self) -> None:
        """Type the next character, where the presenter types."""
        self._strokes += 1
        self._news.set()

    def next_step(self) -> None:
        """End the current step: no more typing, resting or waiting in it."""
        self._skip = True
        if self.state in ("waiting", "paused"):
            self.state = "playing"
        self._changed()

    def move_chapter(self, direction: int) -> None:
        """Begin the chapter after, or this one again, or shortly after its begin the one before."""
        number = self.chapter_number
        target = number + (1 if direction > 0 else -1 if self._index <= self._chapter_begin(number) + 2 else 0)
        if target > len(self.script.chapters):
            self._jump = len(self.script.steps)
        else:
            self._jump = self._chapter_begin(max(target, 1)) if self.script.chapters else 0
        self.state = "playing"
        self._changed()

    def restart(self) -> None:
        """Begin again from the first step."""
        self._jump = 0
        self.state = "playing"
        self._changed()

    def take_over(self) -> None:
        """Give the app to the presenter's own keys, or take it back."""
        self.state = "playing" if self.state == "by hand" else "by hand"
        self._changed()

    def change_speed(self, factor: float) -> None:
        """Type and rest faster or slower; answers keep their own pace."""
        self._adjust_now({"speed": min(max(self.pace.speed * factor, 0.25), 8.0)})

    # ------------------------------------------------------------------ what the presenter sees

    @property
    def chapter_number(self) -> int:
        """Number of the current chapter, from 1; 0 before the first."""
        return sum(1 for begin in self.script.chapters if begin <= self._index)

    def view(self) -> PresenterView:
        """Return what the presenter line shows now."""
        number = self.chapter_number
        title = ""
        if number:
            step = self.script.steps[self.script.chapters[number - 1]]
            title = step.title if isinstance(step, s.Chapter) else ""
        return PresenterView(
            self.script.title,
            title,
            number,
            len(self.script.chapters),
            self._caption,
            self.clock.now_ns() - self._start_ns,
            self._hint(),
            self.state,
            self._mark,
            self.pace.speed,
        )

    def refresh(self) -> None:
        """Show the presenter line again."""
        self.stage.show(self.view())

    def _hint(self) -> str:
        for step in self.script.steps[self._index + 1 :]:
            if isinstance(step, s.Type):
                return f"types “{step.text[:40]}{'…' if len(step.text) > 40 else ''}”"
            if isinstance(step, s.Chapter):
                return f"chapter “{step.title}”"
            if isinstance(step, s.Compare):
                return f"compares {' and '.join(step.backends)}"
            if isinstance(step, s.Play):
                return f"plays {step.cassette.name}"
        return "end"

    def _chapter_begin(self, number: int) -> int:
        return self.script.chapters[number - 1] if 1 <= number <= len(self.script.chapters) else 0

    # ------------------------------------------------------------------ waiting

    def _changed(self) -> None:
        self._news.set()
        self.watch.wake()
        self.refresh()

    async def _not_by_hand(self) -> None:
        """Wait while the script is paused or the app is in the presenter's hands."""
        while self.state in ("paused", "by hand"):
            self._news.clear()
            await self._news.wait()
            self._check_jump()

    def _check_jump(self) -> None:
        if self._jump is not None:
            raise MovedError

    async def _rest(self, duration_ns: int) -> None:
        """Let time pass; a presenter may end it, and a pause stretches it."""
        deadline_ns = self.clock.now_ns() + duration_ns
        while not self._skip and self.clock.now_ns() < deadline_ns:
            self._news.clear()
            await _first(self.clock.sleep_until(deadline_ns), self._news.wait())
            self._check_jump()
            if self.state in ("paused", "by hand"):
                left_ns = deadline_ns - self.clock.now_ns()
                await self._not_by_hand()
                deadline_ns = self.clock.now_ns() + left_ns

    def _adjust_now(self, settings: dict[str, Any]) -> None:
        self.pace = replace(self.pace, **settings)
        self.refresh()

    async def _stroke(self) -> None:
        """Wait for the presenter's next key."""
        while not self._strokes and not self._skip:
            self._news.clear()
            await self._news.wait()
            self._check_jump()
        self._strokes = max(0, self._strokes - 1)

    async def _until(self, condition: Callable[[], bool], within_ns: int) -> bool:
        """Wait until something that the watch sees makes a condition true."""
        deadline_ns = self.clock.now_ns() + within_ns
        while not condition():
            self._check_jump()
            if self._skip:
                return False
            if self.clock.now_ns() >= deadline_ns:
                return await self._grace(condition)
            await _first(self.clock.sleep_until(deadline_ns), self.watch.news())
        return True

    async def _grace(self, condition: Callable[[], bool]) -> bool:
        """Let an app on a virtual clock catch up in real time, once, before a wait counts as missed."""
        if self.live:
            return condition()
        end = asyncio.get_running_loop().time() + GRACE_S
        while not condition() and asyncio.get_running_loop().time() < end:
            await self.stage.settle()
            await asyncio.sleep(0.01)
        return condition()

    async def _until_seen(self, condition: Callable[[], bool], within_ns: int) -> bool:
        """Look at the screen until a condition is true."""
        begun_ns = self.clock.now_ns()
        while True:
            await self.stage.settle()
            if condition():
                return True
            passed_ns = self.clock.now_ns() - begun_ns
            if self._skip or passed_ns >= within_ns:
                return False
            await self._rest(min(self._look_ns(passed_ns), within_ns - passed_ns))

    async def _until_settled(self, settled_ns: int, within_ns: int) -> bool:
        """Look at the screen until nothing has changed for a time."""
        begun_ns = since_ns = self.clock.now_ns()
        seen = ""
        while True:
            await self.stage.settle()
            now_ns = self.clock.now_ns()
            text = self.stage.visible_text()
            if text != seen:
                seen, since_ns = text, now_ns
            if now_ns - since_ns >= settled_ns:
                return True
            passed_ns = now_ns - begun_ns
            if self._skip or passed_ns >= within_ns:
                return False
            await self._rest(min(self._look_ns(passed_ns), within_ns - passed_ns))

    def _look_ns(self, passed_ns: int) -> int:
        """Return when to look again, after so long a wait."""
        return _LOOK_NS if self.live else max(_LOOK_NS, passed_ns // _PATIENCE)


async def _first(*waits: Awaitable[object]) -> None:
    """Return when the first is done; the others are given up."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
