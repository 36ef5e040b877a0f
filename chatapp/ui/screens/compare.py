"""Side by side: one prompt, two to four backends, one start. The difference is felt before it is read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import msgspec
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Grid
from textual.content import Content
from textual.screen import Screen
from textual.timer import Timer
from textual.widgets import Static

from chatapp.client.connection import ResponseCreate
from chatapp.client.link import Speaker
from chatapp.client.session import Session
from chatapp.compare.race import departure_spread_ms, freeze, standings
from chatapp.errors import ChatappError, UsageError
from chatapp.stream.answer import Answer
from chatapp.stream.events import BackendInfo, Event, Failed, Finished, Message, Notice, Request, Retell
from chatapp.text.sanitize import sanitize_line
from chatapp.ui.widgets.lane import Lane
from chatapp.ui.widgets.prompt_box import PromptBox
from chatapp.ui.widgets.race_plot import RacePlot, plot_of
from chatapp.ui.widgets.standings import Measure, StandingsPanel, StandingsView

FEWEST, MOST = 2, 4
METER_HZ = 8
REDUCED_HZ = 4

PLOT_NS = 1_000_000_000
"""While lanes run, their plots are drawn once a second: a plot reads every arrival, a meter only the newest."""


def open_compare(session: Session, backends: Sequence[str], prompt: str = "") -> CompareScreen:
    """Return the compare screen for these backends; with a prompt it starts at once.

    Raises:
        UsageError: fewer than two backends, or more than four.
    """
    return CompareScreen(session, backends, prompt=prompt)


class CompareScreen(Screen[None]):
    """Two to four lanes, their standings, and one prompt box for all."""

    CSS_PATH = "compare.tcss"
    AUTO_FOCUS = "#prompt"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (72, "-normal"), (150, "-wide")]  # noqa: RUF012 - as Textual declares it
    VERTICAL_BREAKPOINTS = [(0, "-low"), (32, "-tall")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel or leave", priority=True),
        Binding("f5", "again", "Ask again", priority=True),
        Binding("ctrl+b", "measure", "Bars: text or time", priority=True),
        Binding("ctrl+e", "zoom", "Zoom", priority=True),
        Binding("f6", "plots", "Texts or plots", priority=True),
        Binding("f4", "leave", "Chat", priority=True),
    ]

    def __init__(
        self, session: Session, backends: Sequence[str], *, prompt: str = "", retell: Retell | None = None
    ) -> None:
        if not FEWEST <= len(backends) <= MOST:
            raise UsageError(
                f"compare takes two to four backends, not {len(backends)}",
                hint="chatapp compare --backend sim:cs3/kimi-k2.6 --backend sim:h100x16/kimi-k2.6",
            )
        super().__init__()
        self.session = session
        self.lanes = [Lane(name, info) for name, info in zip(backends, self._infos(backends), strict=True)]
        self.prompt = prompt
        self.retell = retell
        self.measure: Measure = "text"
        self._meter: Timer | None = None
        self._plotted_ns = 0

    def _infos(self, backends: Sequence[str]) -> list[BackendInfo]:
        """Return what is behind each lane; the same backend twice is told apart by a number."""
        return [
            numbered(self.session.info(name), backends, index) if backends.count(name) > 1 else self.session.info(name)
            for index, name in enumerate(backends)
        ]

    def _named(self, lane: Lane, info: BackendInfo) -> BackendInfo:
        names = [other.backend for other in self.lanes]
        return numbered(info, names, self.lanes.index(lane)) if names.count(lane.backend) > 1 else info

    # Layout.

    def compose(self) -> ComposeResult:
        """Lanes in a grid, standings, prompt, keys."""
        yield Static(self._top_line(), id="top", markup=False)
        with Grid(id="lanes", classes=f"-lanes-{len(self.lanes)}"):
            yield from self.lanes
        yield RacePlot(id="plots")
        yield StandingsPanel(self._view(), id="standings")
        yield PromptBox(id="prompt", placeholder=f"One prompt for all {len(self.lanes)}   Enter sends · ^J new line")
        yield Static(self._hints(), id="hints", markup=False)

    def on_mount(self) -> None:
        """Ask the gateway what the names stand for, and start where there is a prompt."""
        rate = REDUCED_HZ if self.session.settings.reduced_motion else METER_HZ
        self._meter = self.set_interval(1 / rate, self.refresh_figures, pause=True)
        self._begin()

    @work(exit_on_error=False)
    async def _begin(self) -> None:
        try:
            await self.session.refresh_listings()
        except ChatappError as exc:
            self.notify(f"{exc.message}\n{exc.hint}", severity="error", markup=False)
        for lane, info in zip(self.lanes, self._infos([lane.backend for lane in self.lanes]), strict=True):
            lane.adopt(info)
        self.refresh_figures()
        if self.prompt:
            self.start(self.prompt)

    def _top_line(self) -> Content:
        simulated = sum(lane.info.simulated for lane in self.lanes)
        what = f"{len(self.lanes)} backends, one prompt, one start"
        line = Content.assemble(("▌", "$speed"), ("chatapp", "$foreground bold"), ("   compare", "$quiet"))
        line += Content.styled(f"   {what}", "$quiet")
        if simulated:
            which = "all simulated" if simulated == len(self.lanes) else f"{simulated} simulated"
            line += Content.styled(f"   ◆ {which}: timing from a hardware model", "$simulated")
        return line

    def _hints(self) -> Content:
        keys = [
            ("Enter", "to all"),
            ("Esc", "cancel"),
            ("F5", "again"),
            ("^B", "bars"),
            ("^E", "zoom"),
            ("F6", "plots"),
        ]
        keys.append(("Tab", "lane"))  # 78 columns: what a terminal of 80 has room for
        return Content("   ").join(
            [Content.assemble((key, "$footer-key-foreground bold"), (f" {does}", "$quiet")) for key, does in keys]
        )

    # The race.

    @property
    def same_text(self) -> bool:
        """Whether all lanes tell the same text: simulated ones do, for one prompt or one text to retell."""
        return all(lane.info.simulated for lane in self.lanes)

    @property
    def running(self) -> bool:
        """Whether any lane waits for its answer."""
        return any(lane.running for lane in self.lanes)

    @on(PromptBox.Submitted)
    def _submitted(self, event: PromptBox.Submitted) -> None:
        box = self.query_one(PromptBox)
        if self.running:
            box.give_back(event)
            self.notify("Still running: Esc cancels all lanes.", severity="warning")
            return
        box.remember(event.text)
        self.retell = None
        self.start(event.text)

    def start(self, prompt: str, *, lanes: Sequence[Lane] | None = None) -> None:
        """Send one prompt to all lanes at once, or to some of them."""
        self.prompt = prompt
        chosen = list(lanes or self.lanes)
        answers = [lane.begin(prompt) for lane in chosen]
        self.run_worker(self._run(prompt, chosen, answers), group="race", exit_on_error=False)
        if self._meter is not None:
            self._meter.resume()
        self.refresh_figures()

    async def _run(self, prompt: str, lanes: Sequence[Lane], answers: Sequence[Answer]) -> None:
        """Open the connection first, so that the requests leave together."""
        try:
            speaker = await self.session.speaker()
        except ChatappError as exc:
            now = self.session.clock.now_ns()
            for lane in lanes:
                lane.take(Failed(now, "gateway_lost", exc.message, hint=exc.hint))
                lane.finish()
            return
        for lane, answer in zip(lanes, answers, strict=True):
            self.run_worker(self._ask(speaker, lane, answer, prompt), group=lane_group(lane), exit_on_error=False)

    async def _ask(self, speaker: Speaker, lane: Lane, answer: Answer, prompt: str) -> None:
        retell = self.retell if lane.info.simulated else None
        instructions = self.session.instructions or None
        message = Message("user", prompt)
        recorder, name = self.session.recorder, f"lane {self.lanes.index(lane) + 1}"
        if recorder is not None:
            recorder.begin(name, Request((message,), instructions, retell=retell), lane.info)
        create = ResponseCreate(model=lane.backend, input=(message,), instructions=instructions, retell=retell)
        stream = speaker.exchange(create)
        try:
            async for event, identified in stream:
                taken: Event = event
                replaced = isinstance(event, Notice) and event.kind == "fallback"
                if isinstance(event, Notice) and replaced:
                    taken = not_raced(event, self.session.clock.now_ns())
                elif identified.info is not None:
                    lane.adopt(self._named(lane, identified.info))
                lane.take(taken)
                if recorder is not None:
                    recorder.record(name, taken)
                if replaced:
                    break
        except ChatappError as exc:
            lane.take(Failed(self.session.clock.now_ns(), getattr(exc, "code", "gateway_lost"), exc.message, exc.hint))
        finally:
            await stream.aclose()
            if answer.outcome is None:
                lane.take(Finished(self.session.clock.now_ns(), "cancelled"))
            lane.finish()
            self.call_later(self._lane_ended, answer)

    async def _lane_ended(self, answer: Answer) -> None:
        self.refresh_figures()
        if not self.running and self._meter is not None:
            self._meter.pause()
        if answer.failure is not None and answer.failure.code == "gateway_lost" and not self.running:
            await self.session.drop()

    # What is shown.

    def refresh_figures(self) -> None:
        """Repaint meters and standings from one moment."""
        now = self.session.clock.now_ns()
        for lane in self.lanes:
            lane.show(now)
        self.query_one(StandingsPanel).show(self._view(now))
        self.query_one("#top", Static).update(self._top_line())
        self._refresh_plots(now)

    def _refresh_plots(self, now_ns: int) -> None:
        plots = self.query_one(RacePlot)
        if plots.display and (not self.running or now_ns - self._plotted_ns >= PLOT_NS):
            self._plotted_ns = now_ns
            plots.show([plot_of(lane.info.label, lane.info.kind, lane.answer) for lane in self.lanes])

    def _view(self, now_ns: int | None = None) -> StandingsView:
        now = self.session.clock.now_ns() if now_ns is None else now_ns
        answers = [lane.answer for lane in self.lanes]
        begun = [answer for answer in answers if answer is not None]
        labels = tuple(lane.info.label for lane in self.lanes)
        kinds = tuple(lane.info.kind for lane in self.lanes)
        if len(begun) < len(answers):
            return StandingsView(labels, kinds, same_text=self.same_text, measure=self.measure)
        return StandingsView(
            labels,
            kinds,
            standings([answer.snapshot(now) for answer in begun], same_text=self.same_text),
            freeze([(a.timeline, a.request_ns, a.outcome in ("done", "length")) for a in begun]),
            departure_spread_ms([a.request_ns for a in begun]),
            self.same_text,
            self.measure,
        )

    # Keys.

    async def action_cancel(self) -> None:
        """Cancel all lanes and keep what came; with none running, leave."""
        if self.running:
            for lane in self.lanes:
                self.workers.cancel_group(self, lane_group(lane))
        else:
            self.action_leave()

    def action_leave(self) -> None:
        """Go back to the chat, or end the app where compare was all that was asked for."""
        for lane in self.lanes:
            self.workers.cancel_group(self, lane_group(lane))
        if len(self.app.screen_stack) > 2:
            self.dismiss(None)
        else:
            self.app.exit()

    def action_again(self) -> None:
        """Ask the same prompt again in all lanes."""
        if self.prompt and not self.running:
            self.start(self.prompt)

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
        focused = next((lane for lane in self.lanes if lane.has_focus_within), self.lanes[0])
        self._zoom(focused)

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
            self.workers.cancel_group(self, lane_group(lane))
        elif event.what == "retry":
            if self.prompt and not lane.running:
                self.start(self.prompt, lanes=[lane])
        elif not lane.running:
            self._choose_backend(lane)

    def _choose_backend(self, lane: Lane) -> None:
        from chatapp.ui.screens.switcher import Switcher

        def chosen(name: str | None) -> None:
            if name:
                lane.backend = sanitize_line(name)
                lane.answer = None
                lane.pane.clear()
                for each, info in zip(self.lanes, self._infos([each.backend for each in self.lanes]), strict=True):
                    each.adopt(info)
                self.refresh_figures()

        self.app.push_screen(Switcher(self.session), chosen)


def not_raced(notice: Notice, now_ns: int) -> Failed:
    """Return the end of a lane whose backend failed and would be answered for by another one.

    A race compares those that were named: whoever stands in must not be ranked under another's name.
    """
    hint = "name the other backend to race it"
    return Failed(now_ns, "fallback", f"not raced: {notice.message}", hint=hint)


def numbered(info: BackendInfo, backends: Sequence[str], index: int) -> BackendInfo:
    """Return the info of one of several lanes with the same backend, its number in the label."""
    number = list(backends[: index + 1]).count(backends[index])
    return msgspec.structs.replace(info, label=f"{info.label} ({number})")


def lane_group(lane: Lane) -> str:
    """Return the name of a lane's worker group: cancelling it cancels that lane only."""
    return f"lane-{id(lane)}"
