"""Rows of a block at a width, made when they are asked for and never made twice.

A layout counts its rows cheaply (wrapping finds where rows begin, at half a microsecond each) and builds a row's spans
only for `row`. While its block is open, `update` takes in what is new; rows below `stable` are final.
"""

from __future__ import annotations

from bisect import bisect_left

from chatapp.text.block_layout import BlockLayout, Layout
from chatapp.text.blocks import Block, CodeBlock, RuleBlock, TableBlock, TextBlock
from chatapp.text.cells import width_of, wrap
from chatapp.text.highlight import Colours, LineHighlighter
from chatapp.text.rows import Mark, Row, Span, cut_spans

_ALL_COLOURS = Colours()


def layout_of(block: Block, width: int, colours: Colours = _ALL_COLOURS) -> Layout:
    """Return a block's layout at a width of at least one cell."""
    if isinstance(block, TextBlock):
        return TextLayout(block, width)
    if isinstance(block, CodeBlock):
        return CodeLayout(block, width, colours)
    if isinstance(block, TableBlock):
        from chatapp.text.table import TableLayout  # it is a third of this room's code, and half of all texts have none

        return TableLayout(block, width)
    return RuleLayout(block, width)


def estimate(block: Block, width: int) -> int:
    """Return about how many rows a block will have, without reading it."""
    gap = block.gap is not None
    if isinstance(block, CodeBlock):
        return gap + len(block.lines) + bool(block.language)
    if isinstance(block, TableBlock):
        return gap + len(block.lines) + 2
    length = block.length if isinstance(block, TextBlock) else 1
    return gap + max(1, -(-length // max(1, width)))


class TextLayout(BlockLayout):
    """A paragraph or heading, wrapped; goes on where the last full row ended."""

    def __init__(self, block: TextBlock, width: int) -> None:
        super().__init__(block, width)
        self._text = block
        self._ends: list[tuple[int, int]] = []
        self._resume = 0
        self._known = -1
        self._view = ""
        self._view_marks: list[Mark] = []
        self._last: list[tuple[int, int]] = []
        self._underline = False
        self._done = False
        self.update()

    @property
    def height(self) -> int:
        """The number of rows; none while nothing of the text can be shown yet."""
        rows = len(self._ends) + len(self._last)
        return self._gap + rows + self._underline if rows else 0

    @property
    def stable(self) -> int:
        """The number of final rows."""
        return self.height if self._done else self._gap + len(self._ends)

    def update(self) -> None:
        """Take in what was added."""
        inline = self._text.inline
        inline.settle()
        plain = inline.plain
        if len(plain) != self._known:
            rows = wrap(plain, self._room, self._resume)
            self._ends += rows[:-1]
            self._resume = rows[-1][0]
            self._known = len(plain)
        tail, marks = inline.tail()
        base = self._resume
        self._view = plain[base:] + tail
        first = max(0, bisect_left(inline.marks, (base,)) - 1)
        self._view_marks = [
            Mark(max(0, mark.start - base), mark.end - base, mark.style, mark.href)
            for mark in inline.marks[first:]
            if mark.end > base
        ]
        shift = len(plain) - base
        self._view_marks += [Mark(m.start + shift, m.end + shift, m.style, m.href) for m in marks]
        empty = not self._view and not self._ends and self._text.open and not any(s.style for s in self._first)
        self._last = [] if empty else wrap(self._view, self._room)
        self._done = not self._text.open
        self._underline = self._text.level == 1 and self._done and bool(self._view or self._ends)

    def row(self, index: int) -> Row:
        """Return a row."""
        index -= self._gap
        if index < 0:
            return self._gap_row()
        block = self._text
        stable = len(self._ends)
        if index < stable:
            start, end = self._ends[index]
            spans = cut_spans(block.inline.plain, block.inline.marks, start, end, block.base)
            before = block.inline.plain[self._ends[index - 1][1] : start] if index else ""
        elif index - stable < len(self._last):
            start, end = self._last[index - stable]
            spans = cut_spans(self._view, self._view_marks, start, end, block.base)
            if index > stable:
                before = self._view[self._last[index - stable - 1][1] : start]
            else:
                before = block.inline.plain[self._ends[-1][1] : self._resume] if stable else ""
        else:
            left, decoration = self._decorate((), first=False)
            line = Span("━" * self._room, f"{block.base} heading.rule")
            return Row((*left, line), decoration=decoration + self._room)
        spans, decoration = self._decorate(spans, first=index == 0)
        if index == 0 or "\n" in before:
            return Row(spans, decoration=decoration)
        return Row(spans, joint=" " if before else "", decoration=decoration)


class CodeLayout(BlockLayout):
    """Lines as they stand, cut where they are too long; the language's name above."""

    def __init__(self, block: CodeBlock, width: int, colours: Colours) -> None:
        super().__init__(block, width)
        self._code = block
        self._fill = "fence" if block.kind == "code" else block.kind
        self._pad = 1 if block.kind == "code" and self._room > 2 else 0
        self._cells = max(1, self._room - 2 * self._pad)
        self._header = 1 if block.language else 0
        self._rows: list[tuple[int, int, int]] = []
        """Line, first and last character (tabs expanded) of each row."""
        self._lines = 0
        self._partial_from = 0
        self._tail: list[tuple[int, int, int]] = []
        self._colours = colours
        self._highlighter: LineHighlighter | None = None
        self._plain = not block.language or block.kind != "code"
        self._marks: list[list[Mark]] = []
        self.update()

    @property
    def height(self) -> int:
        """The number of rows."""
        return self._gap + self._header + len(self._rows) + len(self._tail)

    @property
    def stable(self) -> int:
        """The number of final rows."""
        return self._gap + self._header + len(self._rows)

    def update(self) -> None:
        """Take in the lines that were added."""
        block = self._code
        for number in range(self._lines, len(block.lines)):
            text = block.lines[number]
            if len(text) <= self._cells and text.isascii() and "\t" not in text and not self._partial_from:
                self._rows.append((number, 0, len(text)))
            else:
                self._rows += [(number, a, b) for a, b in _cut(text.expandtabs(4), self._cells, self._partial_from)]
            self._partial_from = 0
        self._lines = len(block.lines)
        self._tail = []
        if block.partial:
            pieces = _cut(block.partial.expandtabs(4), self._cells, self._partial_from)
            self._rows += [(self._lines, a, b) for a, b in pieces[:-1]]
            self._partial_from, end = pieces[-1]
            self._tail = [(self._lines, self._partial_from, end)]

    def row(self, index: int) -> Row:
        """Return a row."""
        index -= self._gap
        if index < 0:
            return self._gap_row()
        fill = self._fill
        if index < self._header:
            left, _ = self._decorate((), first=True)
            name = self._code.language[: max(0, self._room - 1)]
            lead = Span(" " * max(0, self._room - 1 - width_of(name)), fill)
            tag = Span(f"{name} ", f"{fill} code.language")
            return Row((*left, lead, tag), fill, decoration=self._indent + self._room)
        index -= self._header
        rows = self._rows if index < len(self._rows) else self._tail
        number, start, end = rows[index if rows is self._rows else index - len(self._rows)]
        source = self._code.lines[number] if number < len(self._code.lines) else self._code.partial
        text = source.expandtabs(4)
        marks = self._marks_of(number, text)
        pad = (Span(" ", fill),) if self._pad else ()
        first = index == 0 and not self._header
        left, _decoration = self._decorate(pad, first=first)
        spans = left + cut_spans(text, marks, start, end, fill)
        return Row(spans, fill, joint="" if start else "\n", decoration=sum(len(s.text) for s in left))

    def is_final(self, index: int) -> bool:
        """Whether a row is coloured and never changes."""
        index -= self._gap + self._header
        return index < 0 or (index < len(self._rows) and (self._plain or self._rows[index][0] < len(self._marks)))

    def _marks_of(self, number: int, text: str) -> list[Mark]:
        """Return the colours of a line, as far as they may be made now; those of the lines before it come first."""
        if self._plain:
            return []
        lines = self._code.lines
        language = self._code.language
        while len(self._marks) < min(number + 1, len(lines)):
            if not self._colours.may_colour(language):
                return []
            if self._highlighter is None:
                self._highlighter = LineHighlighter(self._colours.lexer(language))
            self._marks.append(self._highlighter.line(lines[len(self._marks)].expandtabs(4)))
        if number < len(lines):
            return self._marks[number]
        return self._highlighter.peek(text) if self._highlighter and self._colours.may_colour(language) else []


def _cut(text: str, cells: int, start: int) -> list[tuple[int, int]]:
    """Cut a line of code into full rows, from the start of a row."""
    rows: list[tuple[int, int]] = []
    size = len(text)
    if text.isascii():
        rows = [(at, min(at + cells, size)) for at in range(start, size, cells)]
        return rows or [(start, size)]
    at = start
    while at < size:
        end = min(size, at + cells)
        while end > at + 1 and width_of(text[at:end]) > cells:
            end -= max(1, (width_of(text[at:end]) - cells) // 2)
        while end < size and width_of(text[at : end + 1]) <= cells:
            end += 1
        rows.append((at, end))
        at = end
    return rows or [(start, size)]


class RuleLayout(BlockLayout):
    """A line across the pane."""

    def __init__(self, block: Block, width: int) -> None:
        super().__init__(block, width)
        assert isinstance(block, RuleBlock)  # the kinds are closed, see `layout_of`

    @property
    def height(self) -> int:
        """One row."""
        return self._gap + 1

    @property
    def stable(self) -> int:
        """It never changes."""
        return self._gap + 1

    def update(self) -> None:
        """Nothing is ever added."""

    def row(self, index: int) -> Row:
        """Return a row."""
        if index < self._gap:
            return self._gap_row()
        left, decoration = self._decorate((), first=True)
        return Row((*left, Span("─" * self._room, "rule")), decoration=decoration)
