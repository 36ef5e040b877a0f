"""One lane of a race: a backend, its answer as it comes, and its own meter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widget import Widget

from chatapp.client import wording
from chatapp.stream.answer import Answer
from chatapp.stream.events import BackendInfo, BackendKind, Delta, Event, Failed, Notice
from chatapp.stream.figures import Snapshot
from chatapp.text.sanitize import sanitize_line
from chatapp.ui.widgets.metrics_panel import KIND_MARKS, sparkline
from chatapp.ui.widgets.standings import cut_cells
from chatapp.ui.widgets.stream_pane import AnswerState, StreamPane

_STATES: dict[str, AnswerState] = {
    "done": "done",
    "length": "done",
    "cancelled": "cancelled",
    "truncated": "truncated",
    "failed": "failed",
}


@dataclass(frozen=True, slots=True)
class MeterView:
    """What a lane's meter shows."""

    label: str
    kind: BackendKind
    note: str
    snapshot: Snapshot | None = None


class LaneMeter(Widget):
    """Name and figures of one lane, in two rows."""

    DEFAULT_CSS = """
    LaneMeter { height: 2; padding: 0 1; background: $panel; }
    """
    ALLOW_SELECT = False

    def __init__(self, view: MeterView) -> None:
        super().__init__()
        self.view = view

    def show(self, view: MeterView) -> None:
        """Show these figures; repaints this widget only."""
        if view != self.view:
            self.view = view
            self.refresh(layout=False)

    def render(self) -> Content:
        """Draw the two rows."""
        return Content("\n").join(meter_lines(self.view, max(self.content_size.width, 10)))


def meter_lines(view: MeterView, width: int) -> tuple[Content, Content]:
    """Return the two rows: who, and how fast."""
    mark, colour = KIND_MARKS[view.kind]
    note = "" if view.kind == "live" else sanitize_line(view.note or view.kind)
    label = cut_cells(sanitize_line(view.label), width - 2)
    room = width - 2 - len(label) - 2
    note = cut_cells(note, room) if room >= 6 else ""
    head = Content.assemble((f"{mark} ", colour), (label, "bold"), ("  " + note if note else "", colour))
    snapshot = view.snapshot
    if snapshot is None:
        return head, Content.styled(f"{wording.DASH} tok/s", "$faint")
    if snapshot.phase in ("waiting", "sent"):
        return head, Content.styled(f"{wording.seconds(snapshot.elapsed_ms or 0.0)} …", "$quiet")
    if snapshot.phase == "failed":
        return head, Content.styled("failed", "$error")
    speed = f"{wording.speed(snapshot.shown_tps)} tok/s"
    parts = [f"  TTFT {wording.seconds(snapshot.ttft_ms)}"]
    if snapshot.e2e_ms is not None and snapshot.phase != "streaming":
        parts.append(f"  {wording.seconds(snapshot.e2e_ms)}")
        if snapshot.phase in ("cancelled", "truncated"):
            parts.append(f"  {snapshot.phase}")
    rest = cut_cells("".join(parts), max(width - len(speed), 0))
    room = width - len(speed) - len(rest) - 2
    curve = "  " + sparkline(snapshot.series, min(room, 24))[0] if room >= 8 else ""
    style = "$simulated" if view.kind == "simulated" else "$speed"
    return head, Content.assemble((speed, f"bold {style}"), (rest, "$quiet"), (curve, style))


class Lane(Vertical):
    """A pane with its meter. Its keys work while the pane has the focus."""

    DEFAULT_CSS = """
    Lane { border: round $rule; background: $background; }
    Lane:focus-within { border: round $border; }
    Lane > StreamPane { height: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "lane('retry')", "Ask again"),
        Binding("x", "lane('cancel')", "Cancel"),
        Binding("b", "lane('backend')", "Backend"),
        Binding("z", "lane('zoom')", "Zoom"),
    ]

    class Asked(Message):
        """The reader wants something of this lane only."""

        def __init__(self, lane: Lane, what: str) -> None:
            super().__init__()
            self.lane = lane
            self.what = what

    def __init__(self, backend: str, info: BackendInfo) -> None:
        super().__init__()
        self.backend = backend
        self.info = info
        self.answer: Answer | None = None
        self.meter = LaneMeter(MeterView(info.label, info.kind, info.note))
        self.pane = StreamPane()

    def compose(self) -> ComposeResult:
        """Lay the meter above the text."""
        yield self.meter
        yield self.pane

    def on_descendant_focus(self) -> None:
        """Say in the border what the focused lane's keys do."""
        self.border_subtitle = Content.styled("a again  x cancel  b backend  z zoom", "$quiet")

    def on_descendant_blur(self) -> None:
        """Say it no longer: the keys go elsewhere."""
        self.border_subtitle = ""

    def action_lane(self, what: str) -> None:
        """Pass a key on to the screen."""
        self.post_message(self.Asked(self, what))

    @property
    def running(self) -> bool:
        """Whether an answer is being waited for."""
        return self.answer is not None and self.answer.outcome is None

    def begin(self, prompt: str) -> Answer:
        """Show the prompt and be ready for its answer."""
        self.answer = Answer(self.info)
        self.pane.add_prompt(prompt)
        self.pane.begin_answer(self.info.label, simulated=self.info.simulated)
        return self.answer

    def adopt(self, info: BackendInfo) -> None:
        """Take over what the gateway says is behind the answer."""
        self.info = info
        if self.answer is not None:
            self.answer.info = info

    def take(self, event: Event) -> None:
        """Take the next event of the answer."""
        if self.answer is None:
            return
        self.answer.feed(event)
        if isinstance(event, Delta):
            self.pane.write(event.text, event.channel)
        elif isinstance(event, Notice) and event.kind != "progress":
            self.pane.add_notice(event.message, kind="warning" if event.kind in ("warning", "fallback") else "info")
        elif isinstance(event, Failed):
            self.pane.add_notice(event.message, kind="error", hint=event.hint)

    def finish(self) -> None:
        """Put the figures under the answer."""
        if self.answer is not None and self.answer.outcome is not None:
            note = "simulated" if self.info.simulated else ""
            self.pane.end_answer(
                wording.footer(self.answer.final(), simulated_note=note), state=_STATES[self.answer.outcome]
            )

    def show(self, now_ns: int) -> Snapshot | None:
        """Bring the meter up to date and return the figures behind it."""
        snapshot = self.answer.snapshot(now_ns) if self.answer is not None else None
        self.meter.show(MeterView(self.info.label, self.info.kind, self.info.note, snapshot))
        return snapshot
