"""A race as plots: each lane's speed over time, and how its gaps between chunks are spread.

All lanes share one time axis and one speed axis, so that what looks higher is faster and what looks longer took longer.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from textual.content import Content
from textual.widget import Widget

from chatapp.client import wording
from chatapp.stream.answer import Answer
from chatapp.stream.events import BackendKind
from chatapp.stream.metrics import gaps_ns, quantile
from chatapp.text.sanitize import sanitize_line
from chatapp.ui.fitting import cut
from chatapp.ui.widgets.metrics_panel import KIND_MARKS

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000

GAP_EDGES_MS = tuple(10 ** (step / 6) for step in range(-6, 19))
"""Of the gaps' histogram: 0.1 ms to 1 s, six bins a decade; shorter and longer ones count into the outer bins."""

_BARS = " ▁▂▃▄▅▆▇█"
_GAP_WIDTH = len(GAP_EDGES_MS) + 1
_BOTH = 72
"""Columns from which both plots stand side by side."""


@dataclass(frozen=True, slots=True)
class LanePlot:
    """What is plotted of one lane."""

    label: str
    kind: BackendKind
    at_ns: tuple[int, ...] = ()
    """Arrivals since the request."""
    counts: tuple[int, ...] = ()
    """Common tokens (cl100k) of each."""


def plot_of(label: str, kind: BackendKind, answer: Answer | None) -> LanePlot:
    """Return what is to be plotted of a lane; its tokens must have been counted, as a snapshot does."""
    if answer is None or answer.request_ns is None:
        return LanePlot(label, kind)
    sent, timeline = answer.request_ns, answer.timeline
    return LanePlot(label, kind, tuple(at - sent for at in timeline.at_ns), tuple(timeline.common))


def speed_bins(plot: LanePlot, span_ns: float, bins: int) -> list[float]:
    """Return tokens a second in each bin of the time axis; a chunk's tokens count as made evenly since the last one."""
    made = [0.0] * bins
    width = span_ns / bins
    for index in range(1, len(plot.at_ns)):
        begin, end, count = plot.at_ns[index - 1], plot.at_ns[index], plot.counts[index]
        first, last = (min(bins - 1, max(0, int(at / width))) for at in (begin, end))
        if first == last:
            made[first] += count
            continue
        for number in range(first, last + 1):
            share = min(end, (number + 1) * width) - max(begin, number * width)
            made[number] += count * max(0.0, share) / (end - begin)
    return [count / width * NS_PER_S for count in made]


def gap_bins(plot: LanePlot) -> list[int]:
    """Return how many gaps fall between the edges, those below the first and above the last included."""
    found = [0] * _GAP_WIDTH
    for gap in gaps_ns(plot.at_ns):
        found[bisect_right(GAP_EDGES_MS, gap / NS_PER_MS)] += 1
    return found


def columns(values: Sequence[float], top: float, height: int) -> list[str]:
    """Return a bar for each value, in rows from the top down."""
    levels = [0 if top <= 0 else math.ceil(value / top * 8 * height - 1e-9) for value in values]
    return ["".join(_BARS[min(max(level - 8 * row, 0), 8)] for level in levels) for row in range(height - 1, -1, -1)]


def plot_lines(plots: Sequence[LanePlot], width: int, height: int) -> list[Content]:
    """Return the rows of all lanes' plots, and the axes below them."""
    both = width >= _BOTH
    room = width - (_GAP_WIDTH + 3 if both else 0)
    span_ns = max((plot.at_ns[-1] for plot in plots if plot.at_ns), default=0)
    if not span_ns:
        return [Content.styled("no text has come yet", "$quiet")]
    speeds = [speed_bins(plot, span_ns, room) for plot in plots]
    top = max(map(max, speeds))
    rows = max(1, (height - 1) // len(plots) - 1)
    lines: list[Content] = []
    for plot, speed in zip(plots, speeds, strict=True):
        mark, colour = KIND_MARKS[plot.kind]
        style = "$simulated" if plot.kind == "simulated" else "$speed"
        lines.append(_head(plot, mark, colour, width))
        bars = columns(speed, top, rows)
        gaps = gap_bins(plot)
        spread = columns(gaps, max(1, *gaps), rows)
        for curve, histogram in zip(bars, spread, strict=True):
            line = Content.styled(curve, style)
            lines.append(Content.assemble(line, ("   ", ""), (histogram, style)) if both else line)
    scale = f"0 to {wording.speed(top)} tok/s over {span_ns / NS_PER_S:.2f} s (cl100k)"
    axis = cut(scale, room).ljust(room)
    lines.append(Content.styled(axis + ("   " + _gap_axis() if both else ""), "$quiet"))
    return lines


def _gap_axis() -> str:
    """Return the edges that are powers of ten, each at its column."""
    cells = [" "] * _GAP_WIDTH
    for text, step in (("0.1", 0), ("1", 6), ("10", 12), ("100 ms", 18)):
        cells[step + 1 : step + 1 + len(text)] = text
    return "".join(cells)[:_GAP_WIDTH]


def _head(plot: LanePlot, mark: str, colour: str, width: int) -> Content:
    gaps = sorted(gaps_ns(plot.at_ns))
    said = ""
    if gaps:
        middle, late = ((quantile(gaps, q) or 0.0) / NS_PER_MS for q in (0.5, 0.99))
        said = f"  TTFT {wording.seconds(plot.at_ns[0] / NS_PER_MS)}  gaps p50 {middle:.1f} ms, p99 {late:.1f} ms"
    if plot.kind != "live":
        said = f"  {plot.kind}{said}"
    label = cut(sanitize_line(plot.label), max(width - 2 - len(said), 8))
    return Content.assemble((f"{mark} ", colour), (label, "bold"), (cut(said, max(width - 10, 0)), "$quiet"))


class RacePlot(Widget):
    """The plots of all lanes, in the place of their texts."""

    DEFAULT_CSS = """
    RacePlot { height: 1fr; padding: 0 1; display: none; }
    RacePlot.-shown { display: block; }
    """
    ALLOW_SELECT = False

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's own name
        super().__init__(id=id)
        self.plots: tuple[LanePlot, ...] = ()

    def show(self, plots: Sequence[LanePlot]) -> None:
        """Show these; repaints this widget only."""
        if tuple(plots) != self.plots:
            self.plots = tuple(plots)
            self.refresh(layout=False)

    def render(self) -> Content:
        """Draw all rows."""
        size = self.content_size
        return Content("\n").join(plot_lines(self.plots, max(size.width, 20), max(size.height, 3)))
