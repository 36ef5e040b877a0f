"""Why a simulated system is as fast as it is: the hardware model's terms, a bar for each, and what would change it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual import work
from textual.content import Content

from chatapp.client import wording
from chatapp.errors import ChatappError
from chatapp.stream.answer import Answer
from chatapp.text.sanitize import sanitize_line
from chatapp.ui.fitting import cut
from chatapp.ui.screens.sheet import Sheet, bar, heading, row, wrap

if TYPE_CHECKING:
    from chatapp.hardware.explain import Explanation, Term

DEFAULT_TOKENS = 1000
"""Input and output tokens of the explained answer where none was measured."""

PLAYED_BACK = (
    "Started with --pace claimed: the answers play the vendor's figure back. "
    "What follows is the model's own prediction, which has not seen it."
)
PLAY_BACK = "The pace here is the model's. chatapp --pace claimed plays the vendor's figure back instead, and says so."


class WhyScreen(Sheet):
    """The explanation of a backend's speed."""

    def __init__(self, backend: str, answer: Answer | None, keys: Sequence[str] = ("f7",)) -> None:
        self.backend = backend
        self.answer = answer
        self._explanation: Explanation | None = None
        self._problem = ""
        super().__init__(
            "Why is it this fast?",
            self._lines,
            hint="Esc closes   chatapp hardware predict shows the same, every number with its source",
            keys=keys,
        )

    @property
    def _played_back(self) -> bool:
        """Whether the pace was not the model's but a vendor's figure (`--pace claimed`)."""
        return self.answer is not None and self.answer.info.detail.get("pace", "model") != "model"

    def on_mount(self) -> None:
        """Ask the hardware model, off the screen's thread: its facts take a moment to load."""
        super().on_mount()
        if self.backend.startswith("sim:"):
            self._explain()

    @work(exit_on_error=False)
    async def _explain(self) -> None:
        from chatapp.hardware.explain import explain

        figures = self.answer.final() if self.answer is not None else None
        into = figures.input_tokens if figures and figures.input_tokens else DEFAULT_TOKENS
        out = figures.output_tokens if figures and figures.output_tokens else DEFAULT_TOKENS
        try:
            self._explanation = await asyncio.to_thread(explain, self.backend, input_tokens=into, output_tokens=out)
        except ChatappError as exc:
            self._problem = f"{exc.message} {exc.hint}"
        self.redraw(force=True)

    def _lines(self, width: int) -> list[Content]:
        if self._problem:
            lines = [Content(""), *wrap(sanitize_line(self._problem), width, "$warning")]
        elif self._explanation is not None:
            lines = explanation_lines(self._explanation, width, played_back=self._played_back)
        elif self.backend.startswith("sim:"):
            lines = [Content(""), Content.styled("asking the hardware model …", "$quiet")]
        else:
            text = (
                "This backend is a real machine: what it does inside is not visible from here. /detail shows where the "
                "time of its last answer went. Choose a simulated system (/backend) to see its speed taken apart."
            )
            lines = [Content(""), *wrap(text, width)]
        return [*lines, *_human_scale(self.answer)]


def explanation_lines(explanation: Explanation, width: int, *, played_back: bool = False) -> list[Content]:
    """Return an explanation as the page's lines.

    Args:
        explanation: by the hardware model.
        width: of the page, in columns.
        played_back: whether the answer it stands beside was paced by a vendor's figure.
    """
    prediction = explanation.prediction
    speed, first = prediction.speed, prediction.ttft
    lines = [Content(""), Content.styled(sanitize_line(explanation.title), "$simulated bold")]
    lines.append(
        Content.assemble(
            (f"{wording.speed(speed.value)} tok/s", "$foreground bold"),
            (f" predicted ({wording.speed(speed.low)} to {wording.speed(speed.high)}), first token after ", "$quiet"),
            (wording.seconds(first.value * 1e3), "$foreground bold"),
        )
    )
    if played_back:
        lines += wrap(PLAYED_BACK, width, "$warning")
    lines += heading("One output token")
    lines += _terms(explanation.token, width)
    lines += heading("Until the first token")
    lines += _terms(explanation.first, width)
    lines += heading("The physical limit")
    lines += wrap(explanation.limit, width)
    for claim in explanation.claims:
        lines += wrap(sanitize_line(claim), width, "$quiet")
    if explanation.claims and not played_back:
        lines += wrap(PLAY_BACK, width, "$quiet")
    if explanation.changes:
        lines += heading("What would change it")
        lines += [
            Content.assemble(
                (f"{wording.factor(change.factor):>8}  ", "$speed"), (cut(change.change, width - 10), "$foreground")
            )
            for change in explanation.changes
        ]
    if explanation.assumptions:
        lines += heading("Assumed, for want of a source")
        for assumption in explanation.assumptions:
            lines += wrap(sanitize_line(assumption), width, "$quiet")
    return lines


def _terms(terms: Sequence[Term], width: int) -> list[Content]:
    lines: list[Content] = []
    room = max(width - 40, 6)
    for term in terms:
        lines.append(
            Content.assemble(
                (f"{cut(term.name, 24):<25}", "$foreground"),
                (f"{wording.seconds(term.seconds * 1e3):>9}", "$foreground"),
                (f"{term.share:>5.0%} ", "$quiet"),
                (bar(term.share, room), "$simulated"),
            )
        )
        lines += [Content.assemble("  ", line) for line in wrap(term.meaning, width - 2, "$quiet")]
    return lines


def _human_scale(answer: Answer | None) -> list[Content]:
    lines = heading("On a human scale")
    figures = answer.final() if answer is not None and answer.outcome is not None else None
    speed = figures.output_speed_tps if figures else None
    if speed:
        lines.append(row("the last answer", wording.factor(speed / wording.READING_TPS), "as fast as people read"))
    if figures is not None and figures.e2e_ms is not None:
        lines.append(row("all of it", wording.seconds(figures.e2e_ms), wording.limit_tag(figures.e2e_ms, felt=True)))
    lines.append(row("people read", f"{wording.READING_TPS:g} tok/s", "238 words a minute (Brysbaert 2019)"))
    lines.append(row("limits felt", "0.1 / 1 / 10 s", "instant, flow, attention (Nielsen 1993)"))
    return lines
