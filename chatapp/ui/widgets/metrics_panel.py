"""The figures of the answer on screen, live at 4 to 8 Hz and final until the next prompt.

One widget that draws its rows itself: meters as widgets cost as much as the text of four panes (1.4 to 3 ms each,
measured). Rows carry a rank; where the panel is short, the least important ones are left out, never cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from textual.content import Content
from textual.widget import Widget

from chatapp.client import wording
from chatapp.client.wording import DASH
from chatapp.stream.events import BackendKind
from chatapp.stream.figures import Snapshot
from chatapp.text.sanitize import sanitize_line
from chatapp.ui.fitting import columns, cut, wrap
from chatapp.ui.widgets.digits import big, speed_text

_WARNING_LINES = 4
_BARS = " ▁▂▃▄▅▆▇█"

KIND_MARKS: dict[BackendKind, tuple[str, str]] = {
    "live": ("●", "$live"),
    "local": ("●", "$live"),
    "simulated": ("◆", "$simulated"),
    "recorded": ("▶", "$person"),
}
"""Shape and colour both tell kinds apart: colour alone would not, for one reader in twelve."""


@dataclass(frozen=True, slots=True)
class PanelView:
    """All that the panel shows, as one value."""

    label: str = ""
    kind: BackendKind | None = None
    note: str = ""
    """One line beside the marker: `simulated`, `text: local, timing: simulated CS-3`."""
    snapshot: Snapshot | None = None
    stopwatch_ms: float | None = None
    """Since Enter; shown until the first text."""
    extra: tuple[tuple[str, str], ...] = ()
    """More rows, name and value: physical limit, claim, cost."""
    usd: float | None = None


@dataclass(frozen=True, slots=True)
class _Row:
    content: Content
    rank: int
    """0 always stays; the highest leaves first."""
    space_before: bool = False

    @property
    def height(self) -> int:
        """Its lines: a long value is wrapped, and leaves as a whole."""
        return self.content.plain.count("\n") + 1


class MetricsPanel(Widget):
    """The figures, in 24 columns or more."""

    DEFAULT_CSS = """
    MetricsPanel { height: 1fr; padding: 0 1; }
    """
    ALLOW_SELECT = False

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's own name
        super().__init__(id=id)
        self.view = PanelView()

    def show(self, view: PanelView) -> None:
        """Show these figures. Repaints this widget; never lays out the screen again."""
        if view != self.view:
            self.view = view
            self.refresh(layout=False)

    def render(self) -> Content:
        """Draw as many rows as fit."""
        width, height = self.content_size
        rows = panel_rows(self.view, max(width, 1), roomy=height >= 30)
        return Content("\n").join(fit(rows, height))


def panel_rows(view: PanelView, width: int, *, roomy: bool = False) -> list[_Row]:
    """Return the panel's rows in order, for a width in columns."""
    colour = "$simulated" if view.kind == "simulated" else "$speed"
    rows = [*_heading(view, width), *_figure(view, colour)]
    snapshot = view.snapshot
    if snapshot is not None:
        rows += _curve(snapshot.series, width, colour, 3 if roomy else 1)
    rows += _table(view, width)
    return rows


def fit(rows: Sequence[_Row], height: int) -> list[Content]:
    """Return rows and the space between groups, less the least important ones where `height` is short."""
    kept = list(rows)
    spare = height - sum(row.height for row in kept)
    while spare < 0 and any(row.rank for row in kept):
        last = max(range(len(kept)), key=lambda index: (kept[index].rank, index))
        spare += kept.pop(last).height
    lines: list[Content] = []
    for row in kept:
        if row.space_before and spare > 0 and lines:
            lines.append(Content(""))
            spare -= 1
        lines += row.content.split("\n")
    return lines[: max(height, 0)]


def _heading(view: PanelView, width: int) -> list[_Row]:
    if view.kind is None:
        return [_Row(Content.styled(cut(view.label or "no backend yet", width), "$quiet"), 0)]
    mark, colour = KIND_MARKS[view.kind]
    label = Content.assemble((f"{mark} ", colour), (cut(sanitize_line(view.label), width - 2), "bold"))
    note = sanitize_line(view.note or view.kind)
    parts = [note] if columns(note) <= width - 2 else note.split(", ")
    return [_Row(label, 0), *(_Row(Content.assemble("  ", (cut(part, width - 2), colour)), 1) for part in parts)]


def _figure(view: PanelView, colour: str) -> list[_Row]:
    """The big number: a stopwatch until the first text, live speed while it streams, then the mean."""
    snapshot = view.snapshot
    waiting = view.stopwatch_ms is not None and (snapshot is None or snapshot.ttft_ms is None)
    if waiting and view.stopwatch_ms is not None:
        text, unit, style = f"{view.stopwatch_ms / 1000:.1f}", "s to the first token …", "$quiet"
    elif snapshot is None:
        text, unit, style = "-", "tok/s", "$faint"
    else:
        text, style = speed_text(snapshot.shown_tps), colour if snapshot.shown_tps is not None else "$faint"
        unit = "tok/s now" if snapshot.phase == "streaming" else "tok/s"
    rows = [_Row(Content.styled(row, style), 0, space_before=index == 0) for index, row in enumerate(big(text))]
    return [*rows, _Row(Content.styled(unit, "$quiet"), 0)]


def _curve(series: Sequence[float], width: int, colour: str, height: int) -> list[_Row]:
    """The sparkline of speed, the newest part of it."""
    lines = sparkline(series, width, height)
    return [_Row(Content.styled(line, colour), 3 + height - index) for index, line in enumerate(lines)]


def sparkline(series: Sequence[float], width: int, height: int = 1) -> list[str]:
    """Return a curve as rows of block characters, from zero up; resampled to `width` where it is longer."""
    values = [value if value > 0 else 0.0 for value in series]
    if not values:
        return [" " * width] * height
    if len(values) > width:
        edges = [round(index * len(values) / width) for index in range(width + 1)]
        values = [sum(values[a:b]) / (b - a) for a, b in pairwise(edges)]
    top = max(values) or 1.0
    levels = [round(value / top * 8 * height) for value in values]
    return [
        "".join(_BARS[min(max(level - 8 * row, 0), 8)] for level in levels).ljust(width)
        for row in range(height - 1, -1, -1)
    ]


def _table(view: PanelView, width: int) -> list[_Row]:
    snapshot = view.snapshot
    if snapshot is None:
        running = wording.seconds(view.stopwatch_ms) if view.stopwatch_ms is not None else DASH
        names = ("mean", "peak", "in / out", "E2E")
        return [
            _Row(pair("TTFT", running, width), 0, space_before=True),
            *(_Row(pair(name, DASH, width), 5) for name in names),
        ]
    waiting = snapshot.ttft_ms is None and view.stopwatch_ms is not None
    ttft = wording.seconds(view.stopwatch_ms if waiting else snapshot.ttft_ms)
    if waiting:
        ttft += " …"
    elif snapshot.ttft_uncertain_ms is not None:
        ttft = f"{ttft} ±{wording.seconds(snapshot.ttft_uncertain_ms)}"
    rows = [_Row(pair("TTFT", ttft, width), 0, space_before=True)]
    if snapshot.ttfa_ms is not None:
        rows.append(_Row(pair("TTFA", wording.seconds(snapshot.ttfa_ms), width), 2))
    mean = wording.speed(snapshot.output_speed_tps)
    rows += [
        _Row(pair("mean", mean + ("" if snapshot.output_speed_tps is None else " tok/s"), width), 3),
        _Row(pair("peak", wording.speed(snapshot.peak_tps), width), 4),
        _Row(pair("ICL p50", wording.seconds(snapshot.icl_p50_ms), width), 6),
        _Row(pair("ICL p99", wording.seconds(snapshot.icl_p99_ms), width), 6),
        _Row(_tokens(snapshot, width), 3),
        _Row(pair("E2E", wording.seconds(snapshot.e2e_ms), width), 0),
    ]
    ended = snapshot.phase not in ("waiting", "sent", "streaming")
    if ended and snapshot.e2e_ms is not None:
        rows.append(
            _Row(Content.styled(wording.limit_tag(snapshot.e2e_ms, felt=width >= 26).rjust(width), "$quiet"), 5)
        )
    rows += _beside(view, snapshot, width)
    return rows


def _beside(view: PanelView, snapshot: Snapshot, width: int) -> list[_Row]:
    """What sets the figures in relation: reading, the server's own figures, the physical limit, cost."""
    rows: list[_Row] = []
    shown = snapshot.output_speed_tps
    if shown:
        times = wording.factor(shown / wording.READING_TPS)
        rows.append(_Row(pair("reading", f"{times} faster" if width >= 26 else times, width), 7, space_before=True))
    for name, value in view.extra:
        rows.append(_Row(wrapped_pair(sanitize_line(name), sanitize_line(value), width), 6))
    timing = snapshot.server_timing
    if timing is not None:
        if timing.decode_tps is not None:
            rows.append(_Row(pair("server says", wording.speed(timing.decode_tps), width), 6))
        if timing.prefill_s is not None:
            rows.append(_Row(pair("its prefill", wording.seconds(timing.prefill_s * 1000), width), 8))
    if view.usd is not None:
        rows.append(_Row(pair("cost", wording.cost(view.usd), width), 7))
    if snapshot.warnings:
        sentence = snapshot.warnings[0].partition(": ")[2] or snapshot.warnings[0]  # the code before it is for programs
        lines = wrap(sanitize_line(sentence), width - 2)
        lines[0] = f"! {lines[0]}"
        if len(lines) > _WARNING_LINES:
            lines = [*lines[: _WARNING_LINES - 1], cut(f"{lines[_WARNING_LINES - 1]} …", width)]
        rows.append(_Row(Content.styled("\n".join(lines), "$warning"), 4))
    return rows


def _tokens(snapshot: Snapshot, width: int) -> Content:
    into = wording.count(snapshot.input_tokens, estimated=snapshot.input_estimated)
    out = wording.count(snapshot.output_tokens, estimated=snapshot.output_estimated)
    roomy = columns(f"in / out {into} / {out}") <= width
    return pair("in / out", f"{into} / {out}", width) if roomy else pair("in/out", f"{into}/{out}", width)


def pair(name: str, value: str, width: int) -> Content:
    """Return a row with a name to the left and a value to the right."""
    value = cut(value, width)
    name = cut(name, width - columns(value) - 1)
    gap = max(width - columns(name) - columns(value), 0)
    return Content.assemble((name, "$quiet"), " " * gap, (value, "$foreground"))


def wrapped_pair(name: str, value: str, width: int) -> Content:
    """Return a name to the left and a value to the right, on more lines where it is too long for one.

    The name has a line of its own where not even the value's first word fits beside it.
    """
    if columns(name) + 1 + columns(value) <= width:
        return pair(name, value, width)
    beside = width - columns(name) - 1
    word = value.partition(" ")[0]
    if columns(word) > beside:
        lines = wrap(value, width)
        head = Content.styled(cut(name, width), "$quiet")
    else:
        first, *lines = wrap(value, width, first=beside)
        head = pair(name, first, width)
    return Content("\n").join([head, *(pair("", line, width) for line in lines)])
