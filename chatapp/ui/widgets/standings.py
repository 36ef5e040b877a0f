"""The race as bars: who leads, by how much, and what the slow one still needs.

One widget that draws its rows itself, like the metrics panel, and for the same reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rich.cells import cell_len, set_cell_size
from textual.content import Content
from textual.widget import Widget

from chatapp.client import wording
from chatapp.compare.race import FreezeFrame, Standing
from chatapp.stream.events import BackendKind
from chatapp.text.sanitize import sanitize_line
from chatapp.ui.widgets.metrics_panel import KIND_MARKS

Measure = Literal["text", "time"]

_EIGHTHS = " ▏▎▍▌▋▊▉█"
_ENDED = ("done", "length")


@dataclass(frozen=True, slots=True)
class StandingsView:
    """All that the standings show, as one value."""

    labels: tuple[str, ...]
    kinds: tuple[BackendKind, ...]
    standings: tuple[Standing, ...] = ()
    frozen: FreezeFrame | None = None
    spread_ms: float | None = None
    same_text: bool = False
    measure: Measure = "text"


class StandingsPanel(Widget):
    """A line for each lane, and one line of what it means."""

    DEFAULT_CSS = """
    StandingsPanel { height: auto; padding: 0 1; }
    """
    ALLOW_SELECT = False

    def __init__(self, view: StandingsView, *, id: str | None = None) -> None:  # noqa: A002 - Textual's own name
        super().__init__(id=id)
        self.view = view

    def show(self, view: StandingsView) -> None:
        """Show a new state; lays out again only where the number of lanes changed."""
        layout = len(view.labels) != len(self.view.labels)
        if view != self.view:
            self.view = view
            self.refresh(layout=layout)

    def render(self) -> Content:
        """Draw the lanes and the headline."""
        width = max(self.content_size.width, 20)
        lines = [lane_line(self.view, lane, width) for lane in range(len(self.view.labels))]
        return Content("\n").join([headline(self.view, width), *lines])


def cut_cells(text: str, width: int) -> str:
    """Return a text that takes at most `width` cells, an ellipsis in place of what was cut."""
    return text if cell_len(text) <= width else set_cell_size(text, max(width - 1, 0)).rstrip() + "…"


def headline(view: StandingsView, width: int) -> Content:
    """Return the one sentence that says what a viewer sees."""
    if view.frozen is not None:
        sentence = _frozen_sentence(view, view.frozen)
        if cell_len(sentence) > width:
            sentence = _frozen_sentence(view, view.frozen, brief=True)
        return Content.styled(cut_cells(sentence, width), "bold")
    parts = ["same text: only time differs" if view.same_text else "own texts: ranked by speed in cl100k tokens"]
    if view.spread_ms is not None:
        parts.append(f"starts within {wording.seconds(view.spread_ms)}")
    return Content.styled(cut_cells(" · ".join(parts), width), "$quiet")


def _frozen_sentence(view: StandingsView, frozen: FreezeFrame, *, brief: bool = False) -> str:
    names = short_labels(view.labels)
    winner = names[frozen.winner]
    others = [
        (frozen.shares[s.lane], s) for s in view.standings if s.lane != frozen.winner and s.snapshot.phase != "failed"
    ]
    if not others:
        return f"{winner} finished in {wording.seconds(frozen.elapsed_ms)}"
    share, slowest = min(others, key=lambda pair: pair[0])
    name = names[slowest.lane]
    if view.same_text:
        then = f"{name} had {share:.0%}" + ("" if brief else " of it by then")
        and_ = ", " if brief else ", and "
        if slowest.remaining_ms is not None:
            then += f"{and_}needs {wording.seconds(slowest.remaining_ms)} more"
        elif slowest.snapshot.e2e_ms is not None:
            then += f"{and_}took {wording.seconds(slowest.snapshot.e2e_ms)}"
    else:
        written = f"{frozen.characters[slowest.lane]:,} characters"
        then = f"{name} had {written}" if brief else f"{name} had written {written} by then"
    return f"{winner} finished in {wording.seconds(frozen.elapsed_ms)}; {then}"


def short_labels(labels: Sequence[str]) -> list[str]:
    """Return labels without the model where all have the same: `CS-3 · Kimi K2.6` beside `H100 · Kimi K2.6`."""
    clean = [sanitize_line(label) for label in labels]
    parts = [label.rpartition(" · ") for label in clean]
    same = len({tail for _head, _dot, tail in parts}) == 1 and all(head for head, _dot, _tail in parts)
    return [head for head, _dot, _tail in parts] if same else clean


def lane_line(view: StandingsView, lane: int, width: int) -> Content:
    """Return one lane's row: place, name, bar, speed, first token, time, speed-up."""
    mark, colour = KIND_MARKS[view.kinds[lane]]
    standing = view.standings[lane] if lane < len(view.standings) else None
    labels = [sanitize_line(label) for label in view.labels] if width >= 100 else short_labels(view.labels)
    name_width = min(max(len(label) for label in labels), max(10, width // 4))
    name = cut_cells(labels[lane], name_width).ljust(name_width)
    place = str(standing.place) if standing is not None and standing.place is not None else "·"
    figures = _figures(standing, roomy=width >= 100)
    bar_width = max(width - 4 - name_width - 1 - len(figures) - 1, 4)
    share, text = _share(view, standing)
    style = colour if standing is None or standing.place != 1 else "$speed"
    return Content.assemble(
        (f"{place} ", "bold $speed" if place == "1" else "$quiet"),
        (f"{mark} ", colour),
        (name, "$foreground"),
        " ",
        *bar(share, bar_width, style, text),
        " ",
        (figures, "$foreground"),
    )


def _share(view: StandingsView, standing: Standing | None) -> tuple[float, str]:
    """Return the bar's share and the words in it."""
    if standing is None:
        return 0.0, ""
    snapshot = standing.snapshot
    if snapshot.phase == "failed":
        return 0.0, "failed"
    if view.measure == "text":
        cancelled = snapshot.phase in ("cancelled", "truncated")
        return standing.share, snapshot.phase if cancelled else f"{standing.share:.0%}"
    elapsed = snapshot.e2e_ms or snapshot.elapsed_ms
    longest = max(_projected_ms(other) for other in view.standings)
    return (elapsed or 0.0) / longest if longest else 0.0, wording.seconds(elapsed)


def _projected_ms(standing: Standing) -> float:
    snapshot = standing.snapshot
    return (snapshot.e2e_ms or snapshot.elapsed_ms or 0.0) + (standing.remaining_ms or 0.0)


def _figures(standing: Standing | None, *, roomy: bool) -> str:
    if standing is None:
        return f"{wording.DASH:>7} tok/s"
    snapshot = standing.snapshot
    parts = [f"{wording.speed(standing.speed):>7} tok/s"]
    if roomy:
        first = f" #{standing.first_place}" if standing.first_place is not None else ""
        parts.append(f"TTFT {wording.short_seconds(snapshot.ttft_ms):>6}{first:>3}")
    if snapshot.phase in _ENDED:
        parts.append(f"{wording.short_seconds(snapshot.e2e_ms):>6}")
    elif standing.remaining_ms is not None:
        parts.append(f"+{wording.short_seconds(standing.remaining_ms):>5}")
    else:
        parts.append(f"{wording.short_seconds(snapshot.elapsed_ms):>6}")
    parts.append(f"{wording.factor(standing.speedup) if standing.speedup is not None else '':>6}")
    return " ".join(parts)


def bar(share: float, width: int, style: str, text: str = "") -> Sequence[tuple[str, str]]:
    """Return a bar as styled pieces, to an eighth of a column, with `text` after its end where there is room."""
    filled = max(0.0, min(share, 1.0)) * width
    whole = int(filled)
    body = "█" * whole
    if whole < width:
        body += _EIGHTHS[int((filled - whole) * 8)]
    rest = width - len(body)
    label = f" {text}" if text and len(text) + 1 <= rest else ""
    return (body, style), (label.ljust(rest), "$quiet")
