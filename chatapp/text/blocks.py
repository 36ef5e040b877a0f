"""The blocks a Markdown text consists of, flat: a list of forty items is forty paragraphs, each with its bullet.

Flat, because then only the last block can be open, whatever it is nested in, and all before it are finished for good.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from chatapp.text.inline import Inline
from chatapp.text.rows import Mark, Span

Align = Literal["left", "center", "right"]

_HEADING_END = re.compile(r"[ \t]+#*[ \t]*$")
_HEADING_EMPTY = re.compile(r"#*[ \t]*$")
_FIRST_LINE = 1000
"""The length up to which a paragraph's first line is remembered: it may turn out to head a table."""


@dataclass(slots=True, eq=False)
class Block:
    """A leaf of the document, with what stands to the left of it."""

    base: str = ""
    """The style of its text."""
    first: tuple[Span, ...] = ()
    """Decoration of the first row: bullets, bars, indents."""
    rest: tuple[Span, ...] = ()
    """Decoration of the further rows."""
    gap: tuple[Span, ...] | None = None
    """Decoration of an empty row above, None where there is none."""
    open: bool = True

    @property
    def kind(self) -> str:
        """The block's kind, by CommonMark's names."""
        raise NotImplementedError

    def append(self, text: str) -> None:
        """Take in a part of the current line."""

    def end_line(self) -> None:
        """End the current line."""

    def close(self) -> None:
        """Say that no more comes."""
        self.open = False


@dataclass(slots=True, eq=False)
class TextBlock(Block):
    """A paragraph or a heading."""

    level: int = 0
    """1 to 6 for headings."""
    inline: Inline = field(default_factory=Inline)
    first_line: str | None = ""
    """The first line as long as it is the only one, else None."""
    size: int = 0
    _held: str = ""
    _begun: bool = False

    @property
    def kind(self) -> str:
        """`heading` or `paragraph`."""
        return "heading" if self.level else "paragraph"

    @property
    def length(self) -> int:
        """About how many characters it shows."""
        return self.size

    def append(self, text: str) -> None:
        """Take in a part of the current line."""
        if "\t" in text:
            text = text.replace("\t", " ")
        self.size += len(text)
        if self.first_line is not None:
            self.first_line = self.first_line + text if self.size <= _FIRST_LINE else None
        if self.level:
            # "## Title ##": the closing marks are no text, and must not flash.
            text = self._held + text
            end = (None if self._begun else _HEADING_EMPTY.match(text)) or _HEADING_END.search(text)
            self._held = end.group() if end else ""
            text = text[: end.start()] if end else text
        if text:
            self._begun = True
            self.inline.append(text)

    def continue_line(self) -> None:
        """Begin a further line of the paragraph."""
        self.first_line = None
        self.inline.append("\n")

    def make_heading(self, level: int) -> None:
        """Become a heading: the line below was === or ---."""
        self.level = level
        self.base = f"h{level}"
        self.close()

    def close(self) -> None:
        """Say that no more comes."""
        self.open = False
        self.inline.close()

    @classmethod
    def of(cls, text: str, base: str = "", marks: list[Mark] | None = None) -> TextBlock:
        """Return a finished block that shows a text as it stands, not as Markdown.

        Args:
            text: sanitized text; lines end at newlines.
            base: its style.
            marks: styled ranges of it.
        """
        block = cls(base=base, open=False, size=len(text))
        block.inline.close()
        block.inline.plain = text.expandtabs(4)
        block.inline.marks = marks or []
        return block


@dataclass(slots=True, eq=False)
class CodeBlock(Block):
    """Lines that are shown as they stand: fenced or indented code, raw HTML, a displayed formula."""

    of: Literal["code", "html", "math"] = "code"
    language: str = ""
    lines: list[str] = field(default_factory=list)
    """The finished lines."""
    partial: str = ""
    """The line that is being written."""
    indented: bool = False
    """Whether it ends with its last line that is not blank, as code without a fence does."""
    _blank: list[str] = field(default_factory=list)

    @property
    def kind(self) -> str:
        """`code`, `html` or `math`."""
        return self.of

    @property
    def source(self) -> str:
        """The code as it was written."""
        return "\n".join([*self.lines, self.partial] if self.partial else self.lines)

    def append(self, text: str) -> None:
        """Take in a part of the current line."""
        if self._blank and text.strip():
            self.lines += self._blank
            self._blank.clear()
        self.partial += text

    def end_line(self) -> None:
        """End the current line."""
        if self.indented and not self.partial.strip():
            self._blank.append(self.partial)
        else:
            self.lines.append(self.partial)
        self.partial = ""

    def close(self) -> None:
        """Say that no more comes."""
        if self.partial:
            self.end_line()
        self.open = False


@dataclass(slots=True, eq=False)
class TableBlock(Block):
    """A table: a header and rows of cells, each cell a piece of inline text."""

    header: list[str] = field(default_factory=list)
    aligns: list[Align] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    """The finished rows as source."""
    partial: str = ""

    @property
    def kind(self) -> str:
        """`table`."""
        return "table"

    def append(self, text: str) -> None:
        """Take in a part of the current row."""
        self.partial += text

    def end_line(self) -> None:
        """End the current row."""
        if self.partial:
            self.lines.append(self.partial)
        self.partial = ""

    def close(self) -> None:
        """Say that no more comes."""
        self.end_line()
        self.open = False


@dataclass(slots=True, eq=False)
class RuleBlock(Block):
    """A thematic break."""

    @property
    def kind(self) -> str:
        """`rule`."""
        return "rule"


def split_cells(line: str) -> list[str]:
    r"""Return the cells of a table's row; \| is no border, not even in code."""
    line = line.strip()
    line = line.removeprefix("|")
    cells: list[str] = []
    cell = ""
    for piece in re.split(r"(\\\||\|)", line):
        if piece == "|":
            cells.append(cell.strip())
            cell = ""
        else:
            cell += "|" if piece == "\\|" else piece
    if cell.strip():
        cells.append(cell.strip())
    return cells


_DELIMITER_CELL = re.compile(r":?-+:?")


def parse_delimiter(line: str) -> list[Align] | None:
    """Return the alignments of a table's delimiter row, None if the line is none."""
    if "-" not in line or not ("|" in line or ":" in line):
        return None
    aligns: list[Align] = []
    for cell in split_cells(line):
        if not _DELIMITER_CELL.fullmatch(cell):
            return None
        right = cell.endswith(":")
        aligns.append("center" if right and cell.startswith(":") else "right" if right else "left")
    return aligns
