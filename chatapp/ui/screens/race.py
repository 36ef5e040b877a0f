"""The race on the screen: lanes, their standings, and a prompt that goes to all of them at one start.

What keys and commands do with it is in `chatapp.ui.screens.compare`.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Sequence
from functools import partial

import msgspec
from textual import work
from textual.app import ComposeResult
from textual.containers import Grid
from textual.content import Content
from textual.timer import Timer
from textual.widgets import Static
from textual.worker import Worker

from chatapp.client.connection import ResponseCreate
from chatapp.client.link import Identified, Speaker
from chatapp.client.session import Session
from chatapp.compare.race import departure_spread_ms, freeze, standings
from chatapp.errors import ChatappError, UsageError
from chatapp.log import log_path
from chatapp.stream.answer import Answer
from chatapp.stream.events import BackendInfo, Event, Failed, Finished, Message, Notice, Request, Retell
from chatapp.ui.screens.prompting import PromptScreen
from chatapp.ui.widgets.hint_bar import HintBar
from chatapp.ui.widgets.lane import Lane
from chatapp.ui.widgets.prompt_box import PromptBox
from chatapp.ui.widgets.race_plot import RacePlot, plot_of
from chatapp.ui.widgets.standings import Measure, StandingsPanel, StandingsView

_LOG = logging.getLogger(__name__)

FEWEST, MOST = 2, 4
METER_HZ = 8
REDUCED_HZ = 4

RACE_GROUP = "race"
"""The worker group of what opens the connection and lets the lanes start."""

PLOT_NS = 1_000_000_000
"""While lanes run, their plots are drawn once a second: a plot reads every arrival, a meter only the newest."""


class RaceScreen(PromptScreen):
    """Two to four lanes, their standings, and one prompt box for all: what it shows, and how a prompt is raced."""

    CSS_PATH = "compare.tcss"
    AUTO_FOCUS = "#prompt"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (72, "-normal"), (150, "-wide")]  # noqa: RUF012 - as Textual declares it
    VERTICAL_BREAKPOINTS = [(0, "-low"), (32, "-tall")]  # noqa: RUF012

    def __init__(
        self, session: Session, backends: Sequence[str], *, prompt: str = "", retell: Retell | None = None
    ) -> None:
        if not FEWEST <= len(backends) <= MOST:
            raise UsageError(
                f"compare takes two to four backends, not {len(backends)}",
                hint="chatapp compare --backend sim:cs3/kimi-k2.6 --backend sim:h100x16/kimi-k2.6",
            )
        super().__init__(session)
        self.lanes = [Lane(name, info) for name, info in zip(backends, self._infos(backends), strict=True)]
        self.prompt = prompt
        self.retell = retell
        self.measure: Measure = "text"
        self._meter: Timer | None = None
        self._plotted_ns = 0
        self._asking: set[Lane] = set()
        """Lanes whose request is out: what asks it ends them. The others are ended where they are cancelled."""

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
        yield HintBar(id="hints")

    def on_mount(self) -> None:
        """Ask the gateway what the names stand for, and start where there is a prompt."""
        rate = REDUCED_HZ if self.session.settings.reduced_motion else METER_HZ
        self._meter = self.set_interval(1 / rate, self.refresh_figures, pause=True)
        self.refresh_hints()
        self._begin()

    def on_resize(self) -> None:
        """Say in the top line what there is room for."""
        self.query_one("#top", Static).update(self._top_line())

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
            mark = Content.styled(f"   ◆ {which}", "$simulated")
            whole = mark + Content.styled(": timing from a hardware model", "$simulated")
            line += whole if line.cell_length + whole.cell_length <= self.app.size.width - 2 else mark
        return line

    # The race.

    @property
    def same_text(self) -> bool:
        """Whether all lanes tell the same text: simulated ones do, for one prompt or one text to retell."""
        return all(lane.info.simulated for lane in self.lanes)

    @property
    def running(self) -> bool:
        """Whether any lane waits for its answer."""
        return any(lane.running for lane in self.lanes)

    @property
    def streaming(self) -> bool:
        """Whether any lane waits for its answer."""
        return self.running

    @property
    def current(self) -> Lane:
        """The lane that has the focus, else the first that is shown."""
        shown = [lane for lane in self.lanes if lane.display]
        return next((lane for lane in shown if lane.has_focus_within), shown[0])

    def ask(self, prompt: str) -> None:
        """Send a prompt to all lanes."""
        self.prompt_box.remember(prompt)
        self.retell = None
        self.start(prompt)

    def start(self, prompt: str, *, lanes: Sequence[Lane] | None = None) -> None:
        """Send one prompt to all lanes at once, or to some of them."""
        self.prompt = prompt
        chosen = list(lanes or self.lanes)
        answers = [lane.begin(prompt) for lane in chosen]
        # A function and not its coroutine: one cancelled before its first step leaves nothing that was never awaited.
        race = partial(self._run, prompt, chosen, answers)
        _worker: Worker[None] = self.run_worker(race, group=RACE_GROUP, exit_on_error=False)
        if self._meter is not None:
            self._meter.resume()
        self.refresh_figures()

    async def _run(self, prompt: str, lanes: Sequence[Lane], answers: Sequence[Answer]) -> None:
        """Open the connection first, so that the requests leave together. No lane is left without an end."""
        unasked = list(zip(lanes, answers, strict=True))
        end: Event | None = None
        try:
            speaker = await self.session.speaker()
            while unasked:
                lane, answer = unasked.pop(0)
                if answer.outcome is None:  # not cancelled meanwhile
                    asking = partial(self._ask, speaker, lane, answer, prompt)
                    _worker: Worker[None] = self.run_worker(asking, group=lane_group(lane), exit_on_error=False)
        except ChatappError as exc:
            end = Failed(self.session.clock.now_ns(), "gateway_lost", exc.message, hint=exc.hint)
        except Exception as exc:
            end = unexpected(exc, self.session.clock.now_ns())
        finally:
            for lane, _answer in unasked:
                self.end_unasked(lane, end)

    def end_unasked(self, lane: Lane, end: Event | None = None) -> None:
        """End a lane whose request has not left, as cancelled where nothing else is said."""
        answer = lane.answer
        if answer is not None and lane.running and lane not in self._asking:
            lane.take(end or Finished(self.session.clock.now_ns(), "cancelled"))
            lane.finish()
            self.call_later(self._lane_ended, answer)

    def cancel_lane(self, lane: Lane) -> list[Worker[object]]:
        """Cancel one lane, also before its request has left; return what has to end for that."""
        cancelled = self.workers.cancel_group(self, lane_group(lane))
        self.end_unasked(lane)
        return cancelled

    def cancel_lanes(self) -> list[Worker[object]]:
        """Cancel the race, also while its connection is being opened; return what has to end for that."""
        cancelled = self.workers.cancel_group(self, RACE_GROUP)
        return cancelled + [worker for lane in self.lanes for worker in self.cancel_lane(lane)]

    async def _ask(self, speaker: Speaker, lane: Lane, answer: Answer, prompt: str) -> None:
        self._asking.add(lane)
        retell = self.retell if lane.info.simulated else None
        instructions = self.session.instructions or None
        message = Message("user", prompt)
        recorder, name = self.session.recorder, f"lane {self.lanes.index(lane) + 1}"

        def take(event: Event) -> None:
            lane.take(event)
            if recorder is not None:
                recorder.record(name, event)

        stream: AsyncGenerator[tuple[Event, Identified], None] | None = None
        try:
            if recorder is not None:
                recorder.begin(name, Request((message,), instructions, retell=retell), lane.info)
            create = ResponseCreate(model=lane.backend, input=(message,), instructions=instructions, retell=retell)
            stream = speaker.exchange(create)
            async for event, identified in stream:
                taken: Event = event
                replaced = isinstance(event, Notice) and event.kind == "fallback"
                if isinstance(event, Notice) and replaced:
                    taken = not_raced(event, self.session.clock.now_ns())
                elif identified.info is not None:
                    lane.adopt(self._named(lane, identified.info))
                take(taken)
                if replaced:
                    break
        except ChatappError as exc:
            take(Failed(self.session.clock.now_ns(), getattr(exc, "code", "gateway_lost"), exc.message, exc.hint))
        except Exception as exc:
            take(unexpected(exc, self.session.clock.now_ns()))
        finally:
            try:
                if stream is not None:
                    await stream.aclose()
            finally:
                self._asking.discard(lane)
                if answer.outcome is None:
                    take(Finished(self.session.clock.now_ns(), "cancelled"))
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


def unexpected(exc: Exception, now_ns: int) -> Failed:
    """Return the end of a lane that met an error nobody foresaw; call it where that is handled: it is logged."""
    _LOG.exception("a lane failed")
    return Failed(now_ns, "internal", f"unexpected error: {type(exc).__name__}: {exc}", f"details: {log_path()}")


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
