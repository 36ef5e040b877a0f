"""The session's scoreboard: every backend that answered here, and how many times faster than the slowest it was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from textual.content import Content
from textual.widgets import Static

from chatapp.client import wording
from chatapp.stream.events import BackendKind
from chatapp.stream.figures import Figures
from chatapp.text.sanitize import sanitize_line
from chatapp.ui.fitting import cut
from chatapp.ui.widgets.metrics_panel import KIND_MARKS


@dataclass(slots=True)
class Score:
    """One backend's complete answers in this session."""

    label: str
    kind: BackendKind
    figures: list[Figures] = field(default_factory=list)

    def of(self, name: str) -> float | None:
        """Return the median of a figure over the answers that have it."""
        values = [value for figures in self.figures if (value := getattr(figures, name)) is not None]
        return median(values) if values else None


class Scoreboard(Static):
    """One entry for each backend, the fastest first."""

    DEFAULT_CSS = """
    Scoreboard { height: auto; padding: 0 1; text-wrap: nowrap; text-overflow: clip; }
    """
    ALLOW_SELECT = False

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's own name
        super().__init__(id=id, markup=False)
        self.scores: dict[str, Score] = {}
        self.display = False

    def add(self, backend: str, label: str, kind: BackendKind, figures: Figures) -> None:
        """Count a complete answer; a partial one would compare a part with a whole."""
        if figures.output_speed_tps is None:
            return
        self.scores.setdefault(backend, Score(label, kind)).figures.append(figures)
        self.display = True
        self.refresh_scores()

    def on_resize(self) -> None:
        """Use the width there is."""
        self.refresh_scores()

    def refresh_scores(self) -> None:
        """Draw the board again."""
        width = self.content_size.width or 22
        ordered = sorted(self.scores.values(), key=lambda score: score.of("output_speed_tps") or 0, reverse=True)
        limit = max((self.app.size.height - 18) // 2, 1) if self.is_attached else len(ordered)
        self.update(Content("\n").join(board(ordered[:limit], width)))


def board(ordered: Sequence[Score], width: int) -> list[Content]:
    """Return the lines: a heading, then for each backend its name and its figures, medians where it answered often."""
    slowest = min((score.of("output_speed_tps") or 0 for score in ordered), default=0)
    lines = [
        Content.styled("─" * width, "$rule"),
        Content.styled(_columns("tok/s", "TTFT", "E2E", "×", width), "$quiet"),
    ]
    for score in ordered:
        mark, colour = KIND_MARKS[score.kind]
        often = f" ×{len(score.figures)}" if len(score.figures) > 1 and width >= 28 else ""
        label = sanitize_line(score.label)
        room = width - 2 - len(often)
        lines.append(Content.assemble((f"{mark} ", colour), (cut(label, room), "$foreground"), (often, "$faint")))
        speed = score.of("output_speed_tps")
        ratio = speed / slowest if speed and slowest and len(ordered) > 1 else None
        lines.append(
            Content.styled(
                _columns(
                    wording.short_speed(speed),
                    wording.short_seconds(score.of("ttft_ms")),
                    wording.short_seconds(score.of("e2e_ms")),
                    _times(ratio),
                    width,
                ),
                colour,
            )
        )
    return lines


def _times(ratio: float | None) -> str:
    """Return a factor in at most four columns, so that it keeps its distance from the time before it."""
    if ratio is None:
        return ""
    if ratio >= 999.5:
        return "999+"
    return wording.factor(ratio) if ratio < 9.95 else f"{ratio:.0f}×"


def _columns(speed: str, ttft: str, e2e: str, ratio: str, width: int) -> str:
    inner = width - 5
    first = inner // 3
    second = (inner - first) // 2
    return f"{speed:>{first}}{ttft:>{second}}{e2e:>{inner - first - second}}{ratio:>5}"
