"""Playing a script: one step after another, on a stage, with a presenter's hands on it or with nobody's."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chatapp.clock import NS_PER_S, Clock
from chatapp.demo import script as s
from chatapp.demo.cassettes import open_cassette
from chatapp.demo.conductor import Conductor, MovedError
from chatapp.demo.keyboard import key_delays_ns
from chatapp.demo.pictures import compare_picture, picture_rows
from chatapp.demo.stage import Stage
from chatapp.demo.watch import Watch
from chatapp.errors import ChatappError
from chatapp.recording.reader import Recording

_LOOKS = 60
_BETWEEN_LOOKS_S = 0.05
"""Several frames even on a busy machine: two looks alike mean that nothing is left to paint."""


@dataclass(frozen=True, slots=True)
class Miss:
    """A step that was not as the script says."""

    step: s.Step
    message: str


@dataclass(slots=True)
class Report:
    """How a run went."""

    misses: list[Miss] = field(default_factory=list)
    steps: int = 0
    duration_ns: int = 0
    """On the script's clock."""
    written: list[Path] = field(default_factory=list)
    """Golden pictures that were written anew."""


class Runner(Conductor):
    """Runs one script once. With a presenter, pauses wait, and a miss is shown instead of ending the run.

    Args:
        script, stage, watch, clock, live, hands: as `Conductor` says.
        goldens: compare pictures of the screen; only where the size is the script's own.
        update: write the pictures instead.
    """

    def __init__(
        self,
        script: s.Script,
        stage: Stage,
        watch: Watch,
        clock: Clock,
        *,
        live: bool,
        hands: bool = False,
        goldens: bool = True,
        update: bool = False,
    ) -> None:
        super().__init__(script, stage, watch, clock, live=live, hands=hands)
        self.report = Report()
        self._goldens = goldens
        self._update = update
        self._fallback: s.Backend | None = None
        self._recordings: list[Recording] = []
        self._acts: dict[type[s.Step], Callable[[Any], Awaitable[None]]] = {
            s.Chapter: self._chapter,
            s.Say: self._say,
            s.Type: self._type,
            s.Key: self._key,
            s.Rest: self._do_rest,
            s.Wait: self._wait,
            s.Expect: self._expect,
            s.Pause: self._pause,
            s.Backend: self._backend,
            s.Compare: self._compare,
            s.Play: self._play,
            s.Fault: self._fault,
            s.Screen: self._screen,
            s.Adjust: self._adjust,
        }

    # ------------------------------------------------------------------ the fallback

    async def fall_back(self) -> None:
        """Ask the fallback instead of the backend; says so on screen."""
        rule = self._fallback
        if rule is None or not rule.fallback:
            self._mark = "no fallback in this chapter"
            self.refresh()
            return
        self._fallback = None
        if self.watch.active:
            await self.stage.press("escape")
            await self.stage.settle()
        await self.stage.open_chat(self._fallback_name(rule))
        self._mark = f"{rule.name} did not answer: {rule.fallback} instead"
        self.refresh()
        prompt = self.watch.asked.get("a", "")
        if prompt:
            self.watch.open_window()
            await self.stage.ask(prompt)

    def _fallback_name(self, rule: s.Backend) -> str:
        """Return the fallback, a recording's path relative to the script."""
        scheme, _, rest = rule.fallback.partition(":")
        return f"recording:{self.script.path.parent / rest}" if scheme == "recording" else rule.fallback

    # ------------------------------------------------------------------ running

    async def run(self) -> Report:
        """Run the script to its end; without a presenter, to the first miss."""
        self._start_ns = self.clock.now_ns()
        self._index = 0
        while self._index < len(self.script.steps):
            step = self.script.steps[self._index]
            self._skip = False
            self.refresh()
            try:
                await self._not_by_hand()
                await self._acts[type(step)](step)
                self.report.steps += 1
            except MovedError:
                pass
            except ChatappError as exc:
                self._miss(step, exc.message)
            if self._jump is not None:
                self._index, self._jump = self._jump, None
                await self.stage.reset()
                continue
            if self.report.misses and not self.live:
                break
            self._index += 1
        self.report.duration_ns = self.clock.now_ns() - self._start_ns
        self.state = "ended"
        self._index = min(self._index, len(self.script.steps) - 1)
        self.refresh()
        return self.report

    def _miss(self, step: s.Step, message: str) -> None:
        self.report.misses.append(Miss(step, message))
        self._mark = f"✗ {message}"
        self.refresh()

    # ------------------------------------------------------------------ steps

    async def _chapter(self, step: s.Chapter) -> None:
        self._caption = ""
        self._mark = ""
        self.refresh()

    async def _say(self, step: s.Say) -> None:
        self._caption = step.text
        self.refresh()

    async def _type(self, step: s.Type) -> None:
        delays = key_delays_ns(step.text, self.pace, speed_ns=step.speed_ns, seed=str(self._index))
        deadline_ns = self.clock.now_ns()
        self.typing, self._strokes = True, 0
        try:
            for character, delay_ns in zip(step.text, delays, strict=True):
                if self.hands:
                    await self._stroke()
                await self.stage.type_character(character)
                deadline_ns += delay_ns
                if not self.hands:
                    await self._rest(max(0, deadline_ns - self.clock.now_ns()))
        finally:
            self.typing = False
        await self.stage.settle()

    async def _key(self, step: s.Key) -> None:
        self.watch.open_window()
        await self.stage.press(step.name)
        await self.stage.settle()
        if step.name == "enter" and self._fallback is not None and self._fallback.fallback:
            await self._guard(self._fallback)

    async def _guard(self, rule: s.Backend) -> None:
        """Fall back where no text comes in time."""

        def answered() -> bool:
            answer = self.watch.answers.get("a")
            return answer is not None and (bool(answer.text or answer.reasoning) or answer.failure is not None)

        await self._until(answered, rule.within_ns)
        answer = self.watch.answers.get("a")
        if answer is None or not (answer.text or answer.reasoning):
            await self.fall_back()

    async def _do_rest(self, step: s.Rest) -> None:
        await self._rest(round(step.duration_ns / self.pace.speed))
        await self.stage.settle()

    async def _wait(self, step: s.Wait) -> None:
        if step.event is not None:
            event = step.event
            happened = await self._until(lambda: self.watch.take(event, step.stream), step.within_ns)
            what = f"{event} of stream {step.stream}"
            if event != "failed" and self.watch.failure(step.stream):
                what += f" ({self.watch.failure(step.stream)})"
        elif step.screen is not None:
            pattern = step.screen
            happened = await self._until_seen(
                lambda: pattern.search(self.stage.visible_text()) is not None, step.within_ns
            )
            what = f"/{pattern.pattern}/ on the screen"
        else:
            happened = await self._until_settled(step.settled_ns or 0, step.within_ns)
            what = "a settled screen"
        await self.stage.settle()
        if not happened and not self._skip:
            self._miss(step, f"waited {step.within_ns / NS_PER_S:g} s in vain for {what}")

    async def _expect(self, step: s.Expect) -> None:
        answer = self.watch.answers.get(step.stream)
        if answer is None:
            self._miss(step, f"nothing was asked on stream {step.stream}")
            return
        figures = answer.final()
        for expected in step.expectations:
            name = s.FIGURES[expected.figure]
            actual = answer.text if name == "text" else getattr(figures, name)
            if not _holds(actual, expected):
                shown = "its text" if name == "text" else f"{actual:.1f}" if isinstance(actual, float) else str(actual)
                wanted = f"{expected.comparison} {expected.value}"
                self._miss(step, f"expected {expected.figure} {wanted}, and it is {shown}")

    async def _pause(self, step: s.Pause) -> None:
        if not self.live:
            return
        self.state = "waiting"
        self.refresh()
        while self.state in ("waiting", "by hand"):
            self._news.clear()
            await self._news.wait()
            self._check_jump()

    async def _backend(self, step: s.Backend) -> None:
        self.watch.lanes = ()
        self._fallback = step if step.fallback else None
        await self.stage.open_chat(step.name)
        await self.stage.settle()
        self.close_recordings()

    async def _compare(self, step: s.Compare) -> None:
        self.watch.lanes = step.backends
        self._fallback = None
        await self.stage.open_compare(step.backends)
        await self.stage.settle()
        self.close_recordings()

    async def _play(self, step: s.Play) -> None:
        recording = await open_cassette(step)
        self._recordings.append(recording)  # shown until the script goes elsewhere
        playing = asyncio.ensure_future(self.stage.play(recording, step.speed))
        try:
            while not playing.done() and not self._skip:
                self._news.clear()
                change = asyncio.ensure_future(self._news.wait())
                await asyncio.wait((playing, change), return_when=asyncio.FIRST_COMPLETED)
                change.cancel()
                self._check_jump()
            if playing.done():
                playing.result()
        finally:
            playing.cancel()
            with suppress(asyncio.CancelledError, ChatappError):
                await playing

    def close_recordings(self) -> None:
        """Close what was played, once it is no longer on the screen."""
        while self._recordings:
            self._recordings.pop().close()

    async def _fault(self, step: s.Fault) -> None:
        self.watch.plan_fault(step)

    async def _screen(self, step: s.Screen) -> None:
        if not self._goldens or self.live:
            return
        problem = compare_picture(await self._picture_at_rest(), step.golden, update=self._update)
        if problem:
            self._miss(step, problem)
        elif self._update:
            self.report.written.append(step.golden)

    async def _picture_at_rest(self) -> str:
        """Return the screen once it has painted all it was given: panes drain by frames, in real time."""
        await self.stage.settle()
        picture = self.stage.picture()
        for _ in range(_LOOKS):
            await asyncio.sleep(_BETWEEN_LOOKS_S)
            await self.stage.settle()
            before, picture = picture, self.stage.picture()
            if picture_rows(before) == picture_rows(picture):
                break
        return picture

    async def _adjust(self, step: s.Adjust) -> None:
        self._adjust_now(step.settings)


def _holds(actual: float | str | None, expected: s.Expectation) -> bool:
    if actual is None:
        return False
    if expected.comparison == "matches":
        return re.search(str(expected.value), str(actual), re.MULTILINE) is not None
    if isinstance(actual, str) or isinstance(expected.value, str):
        return str(actual) == str(expected.value)
    return {
        "lt": actual < expected.value,
        "gt": actual > expected.value,
        "le": actual <= expected.value,
        "ge": actual >= expected.value,
        "eq": actual == expected.value,
    }[expected.comparison]
