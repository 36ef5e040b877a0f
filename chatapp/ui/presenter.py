"""An app under a script's hands, and the presenter's keys over it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from textual import events, work

from chatapp.client.session import Session
from chatapp.clock import NS_PER_S
from chatapp.demo.runner import Report, Runner
from chatapp.ui.app import ChatApp
from chatapp.ui.stage import AppStage

_BETWEEN_S = 6.0
"""How long a booth's screen shows the end before the demo begins again."""
_LINE_HZ = 2
BACK = "f12"
_TYPING = frozenset(("space", "comma", "semicolon", "backspace", "slash", "apostrophe"))
"""Keys beside letters and digits that type, where the presenter types; the others keep their meaning."""


class PresenterApp(ChatApp):
    """The chat app, driven by a script. Keys of a person are the presenter's, until she takes the app by hand.

    Args:
        session: what the screens share; its link passes the runner's watch.
        make_runner: makes a runner for this app's stage; None for a check, which drives the stage itself.
        loop: begin again after the end.
        idle_reset_s: begin again where nobody has pressed a key for so long after taking the app by hand.
    """

    def __init__(
        self,
        session: Session,
        *,
        make_runner: Callable[[AppStage], Runner] | None = None,
        loop: bool = False,
        idle_reset_s: float | None = None,
    ) -> None:
        super().__init__(session)
        self.stage = AppStage(self, session)
        self.runner: Runner | None = None
        self.reports: list[Report] = []
        self._make_runner = make_runner
        self._forever = loop
        self._idle_reset_s = idle_reset_s
        self._scripted: set[int] = set()
        self._last_key_ns = 0
        self._again = asyncio.Event()

    def on_mount(self) -> None:
        """Open the first screen and begin."""
        super().on_mount()
        if self._make_runner is not None:
            self._present(self._make_runner)
            self.set_interval(1 / _LINE_HZ, self._tick)

    def press_scripted(self, event: events.Key) -> None:
        """Press a key for the script."""
        self._scripted.add(id(event))
        event.set_sender(self)
        self.post_message(event)

    async def on_event(self, event: events.Event) -> None:
        """Take the presenter's keys out of what comes from the keyboard."""
        if isinstance(event, events.Key) and not event.is_forwarded and self._make_runner is not None:
            if id(event) in self._scripted:
                self._scripted.discard(id(event))
            elif await self._presenter_key(event.key):
                return
        await super().on_event(event)

    # ------------------------------------------------------------------ the show

    @work(exclusive=True, group="demo", exit_on_error=True)
    async def _present(self, make_runner: Callable[[AppStage], Runner]) -> None:
        while True:
            self.runner = make_runner(self.stage)
            self.reports.append(await self.runner.run())
            self._again.clear()
            # Without a loop only a key begins again: the last screen stays for questions.
            with suppress(TimeoutError):
                await asyncio.wait_for(self._again.wait(), _BETWEEN_S if self._forever else None)
            while self.runner.state == "by hand":
                await self._again.wait()
                self._again.clear()
            await self.stage.reset()
            self.runner.close_recordings()

    def on_unmount(self) -> None:
        """Close what was played last."""
        if self.runner is not None:
            self.runner.close_recordings()

    def _tick(self) -> None:
        runner = self.runner
        if runner is None:
            return
        if runner.state not in ("ended", "by hand"):
            runner.refresh()
        idle_ns = self.session.clock.now_ns() - self._last_key_ns
        if runner.state == "by hand" and self._idle_reset_s is not None and idle_ns > self._idle_reset_s * NS_PER_S:
            self._start_again(runner)

    def _start_again(self, runner: Runner) -> None:
        runner.restart()
        self._again.set()

    async def _presenter_key(self, key: str) -> bool:
        """Do what a presenter's key says; False leaves the key to the app."""
        runner = self.runner
        self._last_key_ns = self.session.clock.now_ns()
        if runner is None:
            return False
        if runner.state == "by hand":
            if key == BACK:
                runner.take_over()
                self._again.set()
                return True
            return False
        if runner.hands and runner.typing and (len(key) == 1 or key in _TYPING):
            runner.stroke()
        elif key in ("q", "ctrl+q", "ctrl+c"):
            self.exit()
        elif key in ("t", BACK):
            runner.take_over()
        elif key == "r":
            self._start_again(runner)
        elif key == "h":
            self.stage.hide_line()
        elif runner.state != "ended":
            await self._steer(runner, key)
        return True

    async def _steer(self, runner: Runner, key: str) -> None:
        if key == "space":
            runner.toggle()
        elif key in ("full_stop", "down", "pagedown"):
            runner.next_step()
        elif key in ("right", "right_square_bracket", "n"):
            runner.move_chapter(1)
        elif key in ("left", "left_square_bracket", "p"):
            runner.move_chapter(-1)
        elif key in ("plus", "equals_sign"):
            runner.change_speed(1.5)
        elif key == "minus":
            runner.change_speed(1 / 1.5)
        elif key == "f":
            await runner.fall_back()
