"""Side by side: one prompt, two to four backends, one start. The difference is felt before it is read."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence

from textual import on

from chatapp.client.session import Session
from chatapp.errors import UsageError
from chatapp.text.sanitize import sanitize_line
from chatapp.ui.keymap import key_label
from chatapp.ui.screens.prompting import OwnKey
from chatapp.ui.screens.race import RaceScreen
from chatapp.ui.widgets.hint_bar import Hint
from chatapp.ui.widgets.lane import Lane
from chatapp.ui.widgets.race_plot import RacePlot


def open_compare(session: Session, backends: Sequence[str], prompt: str = "") -> CompareScreen:
    """Return the compare screen for these backends; with a prompt it starts at once.

    Raises:
        UsageError: fewer than two backends, or more than four.
    """
    return CompareScreen(session, backends, prompt=prompt)


class CompareScreen(RaceScreen):
    """The race, with its keys, and those commands of the chat that mean something here."""

    OWN_KEYS = (
        OwnKey("escape", "cancel", "Cancel all lanes; with none running, leave", "cancel"),
        OwnKey("ctrl+b", "measure", "Bars: share of the text, or time", "bars"),
        OwnKey("ctrl+e", "zoom", "One lane alone, or all", "zoom"),
        OwnKey("f6", "plots", "Texts, or plots of speed and gaps", "plots"),
    )
    WHILE_STREAMING = RaceScreen.WHILE_STREAMING | {"compare"}
    """The key that opens the comparison closes it, also while lanes run: they are cancelled."""
    ELSEWHERE = "it belongs to the chat; /compare goes back there"

    def hints(self) -> list[Hint]:
        """Return the keys of the comparison; those up to `Tab` fit into 80 columns."""
        cancel, *own = (Hint(key_label(own.key), own.hint, f"screen.{own.action}") for own in self.OWN_KEYS)
        again = dataclasses.replace(self.command_hint("retry"), word="again")
        chat = dataclasses.replace(self.command_hint("compare"), word="chat")
        named = [Hint("Tab", "lane"), chat, self.command_hint("palette"), self.command_hint("help")]
        return [Hint("Enter", "to all"), cancel, again, *own, *named]

    async def action_cancel(self) -> None:
        """Cancel all lanes and keep what came; with none running, leave."""
        if self.running:
            self.cancel_lanes()
        else:
            self.action_leave()

    def action_leave(self) -> None:
        """Go back to the chat, or end the app where compare was all that was asked for."""
        self.cancel_lanes()
        if len(self.app.screen_stack) > 2:
            self.dismiss(None)
        else:
            self.app.exit()

    def action_measure(self) -> None:
        """Switch the bars between share of the text and time."""
        self.measure = "time" if self.measure == "text" else "text"
        self.refresh_figures()

    def action_plots(self) -> None:
        """Show plots in the place of the texts: speed over time and the spread of the gaps; again shows the texts."""
        plots = self.query_one(RacePlot)
        shown = not plots.has_class("-shown")
        plots.set_class(shown, "-shown")
        self.query_one("#lanes").display = not shown
        self._plotted_ns = 0
        self.refresh_figures()

    def action_zoom(self) -> None:
        """Show one lane alone, the focused or the first; again shows all."""
        self._zoom(self.current)

    def _zoom(self, chosen: Lane) -> None:
        zoomed = any(not lane.display for lane in self.lanes)
        for lane in self.lanes:
            lane.display = zoomed or lane is chosen
        self.query_one("#lanes").set_class(not zoomed, "-zoomed")

    @on(Lane.Asked)
    def _lane_asked(self, event: Lane.Asked) -> None:
        lane = event.lane
        if event.what == "zoom":
            self._zoom(lane)
        elif event.what == "cancel":
            self.cancel_lane(lane)
        elif event.what == "retry":
            if self.prompt and not lane.running:
                self.start(self.prompt, lanes=[lane])
        elif not lane.running:
            self._run_guarded(self.command_backend, "")  # other lanes may go on

    # Commands: what they do in the chat, for all lanes or the one that has the focus.

    def command_cancel(self, _argument: str) -> None:
        """Cancel all lanes."""
        self.cancel_lanes()

    async def cancel_answer(self) -> None:
        """Cancel all lanes and wait until they have ended."""
        await asyncio.gather(*(worker.wait() for worker in self.cancel_lanes()), return_exceptions=True)

    def command_retry(self, _argument: str) -> None:
        """Ask the same prompt again in all lanes."""
        if not self.prompt:
            raise UsageError("nothing has been asked yet")
        self.start(self.prompt)

    def command_edit(self, _argument: str) -> None:
        """Put the last prompt back into the box."""
        if not self.prompt:
            raise UsageError("nothing has been asked yet")
        self.prompt_box.set_prompt(self.prompt)
        self.prompt_box.focus()

    def command_copy(self, _argument: str) -> None:
        """Copy the lane's last answer."""
        self.current.pane.copy_answer()

    def command_code(self, _argument: str) -> None:
        """Copy the lane's last code block."""
        self.current.pane.copy_code_block()

    def command_reasoning(self, _argument: str) -> None:
        """Fold or open the reasoning of all lanes."""
        for lane in self.lanes:
            lane.pane.toggle_reasoning()

    async def command_find(self, argument: str) -> None:
        """Search in the lane's text."""
        await self.find_in(self.current.pane, argument)

    async def command_backend(self, argument: str) -> None:
        """Choose what answers in the lane."""
        lane = self.current
        name = await self.choose_backend(argument)
        if name:
            lane.backend = sanitize_line(name)
            lane.answer = None
            lane.pane.clear()
            for each, info in zip(self.lanes, self._infos([each.backend for each in self.lanes]), strict=True):
                each.adopt(info)
            self.refresh_figures()

    def command_compare(self, _argument: str) -> None:
        """Go back: the key that opens the comparison closes it."""
        self.action_leave()

    def command_detail(self, _argument: str) -> None:
        """Show where the lane's time went."""
        from chatapp.ui.screens.detail import DetailScreen

        answer = self.current.answer
        if answer is None:
            raise UsageError("no answer has been measured yet", hint="ask something first")
        self.app.push_screen(DetailScreen(answer, self.session.clock, self.keys.of("detail")))

    def command_why(self, _argument: str) -> None:
        """Explain the speed of the lane's backend."""
        from chatapp.ui.screens.why import WhyScreen

        lane = self.current
        self.app.push_screen(WhyScreen(lane.backend, lane.answer, self.keys.of("why")))
