"""Why a simulated system is as fast as it is: the hardware model's terms, a bar for each."""

from __future__ import annotations

from textual.content import Content

from chatapp.client import wording
from chatapp.stream.answer import Answer
from chatapp.text.sanitize import sanitize_line
from chatapp.ui.screens.sheet import Sheet, heading, row, wrap


class WhyScreen(Sheet):
    """The explanation of a backend's speed."""

    def __init__(self, backend: str, answer: Answer | None) -> None:
        super().__init__(
            "Why is it this fast?",
            lambda width: why_lines(backend, answer, width),
            hint="Esc closes   chatapp hardware predict shows the same with every number's source",
        )


def why_lines(backend: str, answer: Answer | None, width: int) -> list[Content]:
    """Return the page's lines."""
    if not backend.startswith("sim:"):
        return [
            Content(""),
            *wrap(
                "This backend is a real machine: what it does inside is not visible from here. F6 shows where the time "
                "of its last answer went. Choose a simulated system (F2) to see its speed taken apart.",
                width,
            ),
            *_human_scale(answer),
        ]
    lines = _explained(backend, width)
    if answer is not None and answer.info.detail:
        lines += heading("What the backend says of itself")
        lines += [row(name, sanitize_line(str(value)), indent=22) for name, value in answer.info.detail.items()]
    return [*lines, *_human_scale(answer)]


def _explained(backend: str, width: int) -> list[Content]:
    try:
        from chatapp.hardware.explain import explain
    except ImportError:
        return [Content(""), *wrap("The hardware model of this build does not explain itself.", width, "$quiet")]
    from chatapp.errors import ChatappError

    try:
        return explanation_lines(explain(backend), width)
    except ChatappError as exc:
        return [Content(""), *wrap(f"{exc.message} {exc.hint}", width, "$warning")]


def explanation_lines(explanation: object, width: int) -> list[Content]:
    """Return an explanation's lines."""
    return [Content(""), *wrap(sanitize_line(str(explanation)), width)]


def _human_scale(answer: Answer | None) -> list[Content]:
    lines = heading("On a human scale")
    figures = answer.final() if answer is not None and answer.outcome is not None else None
    speed = figures.output_speed_tps if figures else None
    if speed:
        lines.append(row("reading", wording.factor(speed / wording.READING_TPS), "as fast as people read", indent=22))
    if figures is not None and figures.e2e_ms is not None:
        lines.append(row("whole answer", wording.limit_tag(figures.e2e_ms, felt=True), indent=22))
    lines.append(row("people read", f"{wording.READING_TPS:g} tok/s", "Brysbaert 2019", indent=22))
    lines.append(row("limits that are felt", "0.1 / 1 / 10 s", "Nielsen 1993", indent=22))
    return lines
