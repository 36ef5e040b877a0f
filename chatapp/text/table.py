"""Tables: columns aligned and wrapped to the pane, with light rules.

Widths come from the header and the first rows, so that a long table does not move while it grows; a row that is being
written is fitted into what there is.
"""

from __future__ import annotations

from chatapp.text.block_layout import BlockLayout
from chatapp.text.blocks import Align, TableBlock, split_cells
from chatapp.text.cells import width_of, wrap
from chatapp.text.inline import Inline
from chatapp.text.rows import Mark, Row, Span, cut_spans

_MEASURED_ROWS = 200
_SLACK = 2
"""Cells that a column of a longer table gets on top: the numbers of its rows have grown a digit by then."""
_LONGEST_ROW = 4000
"""Characters of an unfinished row that are shown."""
_SEPARATOR = 3
"""Cells between columns: a space, the rule, a space."""
_NARROWEST = 4
"""Cells below which a column cannot be read; the table is then shown as a list of fields."""

_NONE = -9

Cell = tuple[str, list[Mark]]


class TableLayout(BlockLayout):
    """A table at a width."""

    def __init__(self, block: TableBlock, width: int) -> None:
        super().__init__(block, width)
        self._table = block
        columns = len(block.aligns)
        self._columns = columns
        self._header = _cells(block.header, columns)
        self._cells: list[list[Cell]] = []
        self._natural = [max(1, _natural(cell[0])) for cell in self._header]
        self._words = [_longest_word(cell[0]) for cell in self._header]
        self._widths: list[int] = []
        self._as_fields = self._room < columns * _NARROWEST + (columns - 1) * _SEPARATOR
        self._rows: list[tuple[int, int]] = []
        """Table row (-1 is the header, -2 the rule) and row within it."""
        self._tail: list[tuple[int, int]] = []
        self._partial: list[Cell] = []
        self._laid_out = 0
        self._wrapped_number = _NONE
        self._wrapped_rows: list[list[tuple[int, int]]] = []
        self._done = False
        self._fit()
        self.update()

    @property
    def height(self) -> int:
        """The number of rows."""
        return self._gap + len(self._rows) + len(self._tail)

    @property
    def stable(self) -> int:
        """The number of final rows; none while widths may change."""
        if self._done:
            return self.height
        return self._gap + len(self._rows) if len(self._cells) >= _MEASURED_ROWS else 0

    def update(self) -> None:
        """Take in the rows that were added."""
        block = self._table
        self._done = not block.open
        known = len(self._cells)
        for line in block.lines[known:]:
            cells = _cells(split_cells(line), self._columns)
            if len(self._cells) < _MEASURED_ROWS:
                for column, (text, _marks) in enumerate(cells):
                    self._natural[column] = max(self._natural[column], _natural(text))
                    self._words[column] = max(self._words[column], _longest_word(text))
            self._cells.append(cells)
            if len(self._cells) == _MEASURED_ROWS:
                self._natural = [width + _SLACK for width in self._natural]
                self._words = [width + _SLACK for width in self._words]
        if len(self._cells) > known:
            if known < _MEASURED_ROWS:
                self._fit()
            while self._laid_out < len(self._cells):
                self._rows += self._rows_of(self._laid_out)
                self._laid_out += 1
        self._tail = []
        if block.partial:
            self._partial = _cells(split_cells(block.partial[:_LONGEST_ROW]), self._columns, final=False)
            if any(text for text, _marks in self._partial):
                self._tail = self._rows_of(len(self._cells))

    def _rows_of(self, number: int) -> list[tuple[int, int]]:
        return [(number, line) for line in range(self._lines_of(number))]

    def _fit(self) -> None:
        """Share out the width; lay all out again if that changed."""
        room = self._room - (self._columns - 1) * _SEPARATOR
        widths = fit_columns(self._natural, self._words, room)
        if widths != self._widths:
            self._widths = widths
            self._wrapped_number = _NONE
            self._rows = [] if self._as_fields else [*self._rows_of(-1), (-2, 0)]
            self._laid_out = 0

    def _lines_of(self, number: int) -> int:
        if self._as_fields:
            return sum(len(wrap(self._field(number, column)[0], self._room)) for column in range(self._columns)) + 1
        return max(len(rows) for rows in self._wrapped(number))

    def _row_cells(self, number: int) -> list[Cell]:
        if number == -1:
            return self._header
        return self._cells[number] if number < len(self._cells) else self._partial

    def _wrapped(self, number: int) -> list[list[tuple[int, int]]]:
        if self._wrapped_number != number or number >= len(self._cells):
            cells = self._row_cells(number)
            self._wrapped_rows = [wrap(text, width) for (text, _marks), width in zip(cells, self._widths, strict=True)]
            self._wrapped_number = number if number < len(self._cells) else _NONE
        return self._wrapped_rows

    def _field(self, number: int, column: int) -> Cell:
        name = self._header[column][0].replace("\n", " ")
        text, marks = self._row_cells(number)[column]
        lead = f"{name}: " if name else ""
        shifted = [Mark(m.start + len(lead), m.end + len(lead), m.style, m.href) for m in marks]
        return lead + text, [Mark(0, len(lead), "table.header"), *shifted] if lead else shifted

    def row(self, index: int) -> Row:
        """Return a row."""
        index -= self._gap
        if index < 0:
            return self._gap_row()
        rows = self._rows if index < len(self._rows) else self._tail
        number, line = rows[index if rows is self._rows else index - len(self._rows)]
        if self._as_fields:
            spans = self._field_row(number, line)
        elif number == -2:
            spans = (Span("─┼─".join("─" * width for width in self._widths), "table.rule"),)
        else:
            spans = self._aligned_row(number, line)
        spans, decoration = self._decorate(spans, first=index == 0)
        if number == -2:
            decoration = sum(len(span.text) for span in spans)
        return Row(spans, decoration=decoration)

    def _field_row(self, number: int, line: int) -> tuple[Span, ...]:
        for column in range(self._columns):
            text, marks = self._field(number, column)
            wrapped = wrap(text, self._room)
            if line < len(wrapped):
                start, end = wrapped[line]
                return cut_spans(text, marks, start, end, "table")
            line -= len(wrapped)
        return ()

    def _aligned_row(self, number: int, line: int) -> tuple[Span, ...]:
        base = "table.header" if number == -1 else "table"
        wrapped = self._wrapped(number)
        spans: list[Span] = []
        for column, (text, marks) in enumerate(self._row_cells(number)):
            if column:
                spans.append(Span(" │ ", "table.rule"))
            start, end = wrapped[column][line] if line < len(wrapped[column]) else (0, 0)
            left, right = _padding(self._widths[column] - width_of(text[start:end]), self._table.aligns[column])
            if left:
                spans.append(Span(" " * left, base))
            spans += cut_spans(text, marks, start, end, base)
            if right and column < self._columns - 1:
                spans.append(Span(" " * right, base))
        return tuple(spans)


def fit_columns(natural: list[int], words: list[int], room: int) -> list[int]:
    """Return the widths of columns that share a room.

    Each gets its natural width if all fit. Else no column is cut below its longest word as long as that is possible,
    and what is too wide is taken from the widest first.

    Args:
        natural: the width each column would like.
        words: the width of each column's longest word.
        room: cells for all of them.
    """
    if sum(natural) <= room:
        return list(natural)
    least = [min(n, w) for n, w in zip(natural, words, strict=True)]
    if sum(least) > room:
        least = [min(n, _NARROWEST) for n in natural]
    low, high = 1, max(natural)
    while low < high:  # the greatest limit for the widest columns that fits
        middle = (low + high + 1) // 2
        if sum(max(m, min(n, middle)) for n, m in zip(natural, least, strict=True)) <= room:
            low = middle
        else:
            high = middle - 1
    widths = [max(m, min(n, low)) for n, m in zip(natural, least, strict=True)]
    spare = room - sum(widths)
    for column, (have, wish) in enumerate(zip(widths, natural, strict=True)):
        if spare > 0 and have < wish:
            widths[column] += 1
            spare -= 1
    return widths


def _cells(sources: list[str], columns: int, *, final: bool = True) -> list[Cell]:
    cells: list[Cell] = []
    for source in (sources + [""] * columns)[:columns]:
        inline = Inline()
        inline.append(source)
        if final:
            inline.close()
        inline.settle()
        tail, marks = inline.tail()
        base = len(inline.plain)
        cells.append(
            (inline.plain + tail, inline.marks + [Mark(m.start + base, m.end + base, m.style, m.href) for m in marks])
        )
    return cells


def _natural(text: str) -> int:
    return max(width_of(line) for line in text.split("\n"))


def _longest_word(text: str) -> int:
    return max((width_of(word) if word.isascii() else min(width_of(word), 4) for word in text.split()), default=1)


def _padding(spare: int, align: Align) -> tuple[int, int]:
    spare = max(0, spare)
    if align == "right":
        return spare, 0
    if align == "center":
        return spare // 2, spare - spare // 2
    return 0, spare
