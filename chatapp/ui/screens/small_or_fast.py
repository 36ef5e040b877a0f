"""Small or fast: what one gives up on GPUs to be fast, beside the full model on wafers, on one page."""

from __future__ import annotations

import asyncio
import datetime
from typing import TYPE_CHECKING

from textual import work
from textual.content import Content

from chatapp.client import wording
from chatapp.errors import ChatappError
from chatapp.text.sanitize import sanitize_line
from chatapp.ui.fitting import cut
from chatapp.ui.screens.sheet import Sheet, bar, heading, wrap

if TYPE_CHECKING:
    from chatapp.hardware.small_or_fast import Row, Tradeoff

INTRODUCTION = (
    "To be fast on GPUs one takes a smaller, a distilled or a quantized model and gives up quality. On wafers the full "
    "model is fast. Speeds are predictions for one user; scores and prices are published, a dash where none is."
)
SPEED_COLUMNS = 13
"""Of `1,234 tok/s` and the space before it."""
SYSTEM_COLUMNS = 10
"""Of `16 × H100`."""


class SmallOrFastScreen(Sheet):
    """The usual trade-off, with numbers."""

    def __init__(self, today: datetime.date | None = None) -> None:
        self.today = today or datetime.datetime.now(tz=datetime.UTC).date()
        self._tradeoff: Tradeoff | None = None
        self._problem = ""
        super().__init__(
            "Small or fast?",
            self._lines,
            hint="Esc closes   chatapp hardware small-or-fast shows the same, --json with every source",
        )

    def on_mount(self) -> None:
        """Ask the hardware model, off the screen's thread: ten predictions take a moment."""
        super().on_mount()
        self._compare()

    @work(exit_on_error=False)
    async def _compare(self) -> None:
        from chatapp.hardware.small_or_fast import tradeoff

        try:
            self._tradeoff = await asyncio.to_thread(tradeoff)
        except ChatappError as exc:
            self._problem = f"{exc.message} {exc.hint}"
        self.redraw(force=True)

    def _lines(self, width: int) -> list[Content]:
        if self._problem:
            return [Content(""), *wrap(sanitize_line(self._problem), width, "$warning")]
        if self._tradeoff is None:
            return [Content(""), Content.styled("asking the hardware model …", "$quiet")]
        return tradeoff_lines(self._tradeoff, width, self.today)


def tradeoff_lines(tradeoff: Tradeoff, width: int, today: datetime.date) -> list[Content]:
    """Return the comparison as the page's lines, the bar for size last."""
    fastest = max(row.prediction.speed.value for row in tradeoff.rows)
    lines = [Content(""), *wrap(INTRODUCTION, width, "$quiet")]
    lines.append(Content(""))
    for row in tradeoff.rows:
        if row.bar:
            lines += heading("The bar for size")
        lines += _row(row, width, today, fastest)
    lines += heading("The software underneath")
    for about in tradeoff.about_stacks(today):
        lines += wrap(sanitize_line(about), width)
    return [*lines, Content(""), Content.styled(tradeoff.legend, "$quiet")]


def _row(row: Row, width: int, today: datetime.date, fastest: float) -> list[Content]:
    """Return a model on a system: name and speed with a bar, then what it costs in quality and money."""
    prediction = row.prediction
    setup, speed = prediction.setup, prediction.speed
    wafer = setup.system.family == "wafer"
    named = max(width * 11 // 20, SYSTEM_COLUMNS + 2)
    name = f"{setup.chips} × {sanitize_line(setup.system.label)}"
    name = f"{cut(name, SYSTEM_COLUMNS):<{SYSTEM_COLUMNS}} {sanitize_line(setup.model.label)}"
    first = Content.assemble(
        (f"{cut(name, named - 1):<{named}}", "$speed bold" if wafer else "$foreground bold"),
        (f"{wording.speed(speed.value) + ' tok/s':>{SPEED_COLUMNS - 1}} ", "$foreground"),
        (bar(speed.value / fastest, max(width - named - SPEED_COLUMNS, 1)), "$speed" if wafer else "$simulated"),
    )
    scores = (f"{score.benchmark} {score.shown(today)}" for score in row.scores)
    price = row.price.shown(today) if row.price else "–"
    interval = f"{wording.speed(speed.low)} to {wording.speed(speed.high)} tok/s"
    parts = [row.kind, f"{row.billions:,.0f} B parameters", interval, *scores, f"M tokens out {price}"]
    detail = wrap(sanitize_line(" · ".join(parts)), width - 2, "$quiet")
    return [first, *(Content.assemble("  ", line) for line in detail)]
