"""Where the time of the last answer went: phases, gaps between chunks, the server's figures beside ours, clocks."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content

from chatapp.client import wording
from chatapp.clock import Clock
from chatapp.stream.answer import Answer
from chatapp.stream.figures import Snapshot
from chatapp.text.sanitize import sanitize_line
from chatapp.ui.screens.sheet import Sheet, bar, heading, row, wrap

HISTOGRAM_ROWS = 12
SOURCES = {
    "kernel": "the kernel's receive time of each packet",
    "process": "the process's clock at each read",
    "schedule": "the hardware model's schedule",
    "recording": "the recording's own stamps",
}


class DetailScreen(Sheet):
    """The detail view of one answer, live while it comes."""

    def __init__(self, answer: Answer, clock: Clock, keys: Sequence[str] = ("f6",)) -> None:
        self.answer = answer
        self.clock = clock
        super().__init__(
            f"Where the time went: {sanitize_line(answer.info.label)}",
            lambda width: detail_lines(answer, answer.snapshot(clock.now_ns()), width),
            keys=keys,
        )

    def on_mount(self) -> None:
        """Keep up with an answer that is still coming."""
        super().on_mount()
        if self.answer.outcome is None:
            self.set_interval(0.5, self._again)

    def _again(self) -> None:
        self.redraw(force=True)


def detail_lines(answer: Answer, snapshot: Snapshot, width: int) -> list[Content]:
    """Return the page's lines."""
    colour = "$simulated" if snapshot.simulated else "$speed"
    lines = _phases(answer, snapshot, width, colour)
    lines += _gaps(answer.gap_histogram(), snapshot, width, colour)
    lines += _beside(snapshot)
    lines += heading("How it was measured")
    lines.append(row("arrivals by", SOURCES.get(snapshot.arrival_source, snapshot.arrival_source)))
    lines.append(row("chunks", f"{snapshot.chunks:,}", f"{snapshot.characters:,} characters"))
    if snapshot.characters_per_s is not None:
        lines.append(
            row(
                "common units",
                f"{snapshot.characters_per_s:,.0f} characters/s",
                f"{wording.speed(snapshot.common_tps)} tok/s in cl100k",
            )
        )
    if snapshot.connect_ms is not None:
        lines.append(row("connecting", wording.seconds(snapshot.connect_ms), "before the request, in no figure"))
    for warning in snapshot.warnings:
        lines += wrap("! " + sanitize_line(warning), width, "$warning")
    if answer.info.note:
        lines += [Content(""), *wrap(sanitize_line(answer.info.note), width, "$quiet")]
    return lines


def _phases(answer: Answer, snapshot: Snapshot, width: int, colour: str) -> list[Content]:
    """A bar for each phase: waiting for the first text, reasoning, the answer; and the server's own split of it."""
    total = snapshot.e2e_ms
    lines = heading("Phases")
    if total is None or snapshot.ttft_ms is None:
        return [*lines, Content.styled("no text yet", "$quiet")]
    phases = [("to first token", snapshot.ttft_ms)]
    begun = snapshot.ttft_ms
    if snapshot.ttfa_ms is not None:
        phases.append(("reasoning", snapshot.ttfa_ms - begun))
        begun = snapshot.ttfa_ms
    phases.append(("answer", total - begun))
    shares = snapshot.time_shares
    lines += [_bar_row(name, ms, total, width, colour) for name, ms in phases]
    lines.append(row("end to end", wording.seconds(total), wording.limit_tag(total, felt=True)))
    if shares is not None:
        lines += heading("As the server splits it")
        named = (
            ("queue", shares.queue_s),
            ("prefill", shares.prefill_s),
            ("decode", shares.decode_s),
            ("network, client", shares.rest_s),
        )
        lines += [_bar_row(name, part * 1000, total, width, "$quiet") for name, part in named if part is not None]
        if shares.overclaim_s is not None:
            text = f"the server claims {wording.seconds(shares.overclaim_s * 1000)} more than passed here"
            lines.append(Content.styled(text, "$warning"))
    return lines


def _bar_row(name: str, ms: float, total: float, width: int, colour: str) -> Content:
    room = max(width - 16 - 10, 4)
    return Content.assemble(
        (f"{name:<16}", "$quiet"), (f"{wording.seconds(ms):>9} ", "$foreground"), (bar(ms / total, room), colour)
    )


def _gaps(histogram: Sequence[tuple[float, int]], snapshot: Snapshot, width: int, colour: str) -> list[Content]:
    """The gaps between chunks, gathered into rows of equal ratio."""
    lines = heading("Gaps between chunks (ICL)")
    if not histogram:
        return [*lines, Content.styled("fewer than two chunks", "$quiet")]
    labelled: dict[str, int] = {}
    for edge, count in gather(histogram, HISTOGRAM_ROWS):
        name = f"to {wording.seconds(edge)}"  # edges that read the same are one row
        labelled[name] = labelled.get(name, 0) + count
    top = max(labelled.values())
    room = max(width - 16 - 10, 4)
    for name, number in labelled.items():
        lines.append(
            Content.assemble(
                (f"{name:<16}", "$quiet"),
                (f"{number:>9,} ", "$foreground"),
                (bar(number / top, room), colour),
            )
        )
    p50, p99 = wording.seconds(snapshot.icl_p50_ms), wording.seconds(snapshot.icl_p99_ms)
    return [*lines, row("p50, p99", f"{p50}, {p99}")]


def gather(histogram: Sequence[tuple[float, int]], rows: int) -> list[tuple[float, int]]:
    """Join the narrow buckets of a histogram into at most `rows` of equal ratio between the ends."""
    positive = [(edge, count) for edge, count in histogram if edge > 0]
    zero = sum(count for edge, count in histogram if edge <= 0)
    if not positive:
        return [(0.0, zero)]
    low, high = positive[0][0], positive[-1][0]
    if len(positive) <= rows:
        gathered = positive
    else:
        ratio = (high / low) ** (1 / rows)
        edges = [low * ratio ** (index + 1) for index in range(rows)]
        edges[-1] = high
        counts = [0] * rows
        index = 0
        for edge, count in positive:
            while edge > edges[index] and index < rows - 1:
                index += 1
            counts[index] += count
        gathered = list(zip(edges, counts, strict=True))
    return [(0.0, zero), *gathered] if zero else gathered


def _beside(snapshot: Snapshot) -> list[Content]:
    timing = snapshot.server_timing
    if timing is None:
        return []
    lines = heading(f"What the server says ({sanitize_line(timing.source)}) beside what was measured here")
    ours = wording.speed(snapshot.output_speed_tps)
    if timing.decode_tps is not None:
        lines.append(row("output speed", f"{wording.speed(timing.decode_tps)} tok/s", f"here {ours}"))
    if timing.prefill_tps is not None:
        lines.append(row("prefill speed", f"{wording.speed(timing.prefill_tps)} tok/s"))
    if timing.total_s is not None:
        here = wording.seconds(snapshot.e2e_ms)
        lines.append(row("total", wording.seconds(timing.total_s * 1000), f"here {here}"))
    return lines
