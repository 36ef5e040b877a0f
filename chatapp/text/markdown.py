"""Streaming Markdown: text in, finished blocks and at most one open block out.

Any split of a text gives the same blocks as the whole, at the end and at every prefix. Sans-I/O; the rows of a block
are `chatapp.text.layout`'s business, and are made for what gets on the screen only.

What it reads is CommonMark with GitHub's tables, strike-through and to-do lists, formulas and bare addresses. What it
leaves out, because later text would change what is finished already: reference definitions.
"""

from __future__ import annotations

import re

from chatapp.text.blocks import (
    Block,
    CodeBlock,
    RuleBlock,
    TableBlock,
    TextBlock,
    parse_delimiter,
    split_cells,
)
from chatapp.text.heads import Container, Head, Now, decide, match_containers
from chatapp.text.rows import Span

_BULLETS = ("•", "◦", "▪")
_STRUCTURE = re.compile(r"(?:[ \t>]|[-+*](?=[ \t])|\d{1,9}[.)](?=[ \t]))*")
_PIPES_ONLY = re.compile(r"[-:| ]*")


class MarkdownStream:
    """One Markdown text, growing.

    Args:
        base: the style of plain paragraphs, for texts that are shown dimmed as a whole.
    """

    def __init__(self, base: str = "") -> None:
        self.blocks: list[Block] = []
        """All blocks so far. Those before the last never change; the last may be replaced while it is open."""
        self._base = base
        self._containers: list[Container] = []
        self._path: tuple[Container, ...] = ()
        """The containers of the last block."""
        self._leaf: Block | None = None
        self._fence = ""
        self._fence_indent = 0
        self._line = ""
        self._decided = False
        self._pipes: str | None = None
        self._blank = False

    def feed(self, text: str) -> None:
        """Take in sanitized text, split anyhow."""
        first, *lines = text.split("\n")
        if first:
            self._take(first)
        for line in lines:
            self._end_line()
            if line:
                self._take(line)

    def finish(self) -> None:
        """End the text: what is open or held back becomes what it is."""
        if self._line and not self._decided:
            self._try(complete=True)
        if self._pipes is not None:
            self._release_pipes()
        self._close_leaf()
        self._leave(0)
        self._line = ""
        self._decided = False

    def _take(self, piece: str) -> None:
        if not self._line and not self._decided and self._take_plain(piece):
            return
        if self._decided:
            assert self._leaf is not None  # what has none is decided by a whole line
            self._leaf.append(piece)
        else:
            self._line += piece
            self._try(complete=False)

    def _take_plain(self, piece: str) -> bool:
        """Take what is code or plain text at first sight, as nine of ten lines are; return whether it was.

        Saves the decision, 10 us a line; it comes to the same.
        """
        if self._containers or self._pipes is not None:
            return False
        leaf = self._leaf
        if isinstance(leaf, CodeBlock):
            first = piece.lstrip(" ")[:1]
            if not first or first in "`~" or self._fence[0] not in "`~" or self._fence_indent:
                return False
            leaf.append(piece)
        elif piece[0].isalpha() and (leaf is None or isinstance(leaf, TextBlock)):
            self._write(piece)
        else:
            return False
        self._decided = True
        return True

    def _end_line(self) -> None:
        if not self._decided:
            self._try(complete=True)
        leaf = self._leaf
        if leaf is not None and self._decided:
            leaf.end_line()
            if (isinstance(leaf, TextBlock) and leaf.level) or (isinstance(leaf, CodeBlock) and self._ends_here(leaf)):
                self._close_leaf()
        self._line = ""
        self._decided = False

    def _ends_here(self, leaf: CodeBlock) -> bool:
        if leaf.kind == "math":
            return len(leaf.lines) > 1 and leaf.lines[-1].rstrip().endswith(self._fence)
        if leaf.kind == "html" and self._fence != "blank":
            return re.search(self._fence, leaf.lines[-1], re.IGNORECASE) is not None
        return False

    def _try(self, *, complete: bool) -> None:
        raw = self._line
        line = raw
        code = isinstance(self._leaf, CodeBlock)
        if "\t" in raw and not (code and not self._containers):
            end = _STRUCTURE.match(raw).end()  # type: ignore[union-attr]  # it matches nothing at least
            line = raw[:end].expandtabs(4) + raw[end:]
        now = Now(self._containers, self._leaf, self._fence if code else "", self._fence_indent)
        if self._pipes is not None and not self._after_pipes(line, now, complete=complete):
            return
        now = now._replace(leaf=self._leaf, containers=self._containers)
        head = decide(line, now, complete=complete)
        if head is None:
            return
        self._decided = True
        self._apply(head, line)

    def _after_pipes(self, line: str, now: Now, *, complete: bool) -> bool:
        """Settle a held line of pipes; return whether the line is still to be decided."""
        assert self._pipes is not None  # asked only then
        found = match_containers(line, now, complete=complete)
        if found is None:
            return False
        matched, at = found
        if matched == len(self._containers):
            rest = line[at:]
            if not complete and len(rest) <= 1000 and _PIPES_ONLY.fullmatch(rest):
                return False
            aligns = parse_delimiter(rest) if complete and len(rest) <= 1000 else None
            header = split_cells(self._pipes)
            if aligns and len(aligns) == len(header):
                self._pipes = None
                self._close_leaf()
                self._begin(TableBlock(header=header, aligns=aligns))
                return False
        self._release_pipes()
        return True

    def _release_pipes(self) -> None:
        pipes, self._pipes = self._pipes, None
        self._write(pipes or "")

    def _write(self, text: str) -> None:
        """Go on with the open paragraph, or begin one."""
        leaf = self._leaf
        if isinstance(leaf, TextBlock):
            leaf.continue_line()
        else:
            self._close_leaf()
            leaf = TextBlock(base=self._base)
            self._begin(leaf)
        leaf.append(text)

    def _apply(self, head: Head, line: str) -> None:
        rest = line[head.at :]
        leaf = self._leaf
        lazy = head.kind in ("text", "pipes") and isinstance(leaf, TextBlock) and not head.new
        if lazy and head.kind == "text":
            self._write(rest)
            return
        if lazy and head.matched < len(self._containers):
            self._write(rest)
            return
        inside = head.matched == len(self._containers) and not head.new
        if not inside:
            self._close_leaf()
            self._leave(head.matched)
            self._containers += head.new
        match head.kind:
            case "blank":
                self._close_leaf()
                if self._containers and not self._containers[-1].shown and not self._containers[-1].quote:
                    self._leave(len(self._containers) - 1)  # an item may begin with one empty line, not two
                self._blank = True
            case "empty":
                pass  # what comes next stands beside its marker, if it belongs to it
            case "pipes":
                self._pipes = rest
            case "text":
                self._write(rest)
            case "code_line" | "row":
                assert leaf is not None  # decided by it
                leaf.append(rest)
            case "fence_end":
                self._close_leaf()
            case "setext":
                assert isinstance(leaf, TextBlock)  # decided by it
                leaf.make_heading(head.level)
                self._leaf = None
            case "delimiter":
                assert isinstance(leaf, TextBlock)  # decided by it
                header = split_cells(leaf.first_line or "")
                self._replace(TableBlock(header=header, aligns=parse_delimiter(rest) or []))
            case _:
                self._close_leaf()
                self._open(head, rest)

    def _open(self, head: Head, rest: str) -> None:
        """Begin a block that is neither paragraph nor table."""
        match head.kind:
            case "heading":
                block: Block = TextBlock(base=f"h{head.level}", level=head.level)
            case "rule":
                block, rest = RuleBlock(), ""
            case "fence":
                mark = head.text[: len(head.text) - len(head.text.lstrip(head.text[0]))]
                info = head.text[len(mark) :].strip().split()
                block, rest = CodeBlock(language=info[0][:40] if info else ""), ""
                self._fence, self._fence_indent = mark, head.level
            case "indented":
                block = CodeBlock(indented=True)
                self._fence = "indent"
            case "html":
                block = CodeBlock(of="html")
                self._fence = head.text
            case _:
                block = CodeBlock(of="math")
                self._fence = head.text
        self._begin(block)
        if head.kind == "fence":
            self._decided = False  # its first line of content is the next
            self._line = ""
        elif head.kind == "rule":
            self._close_leaf()
        else:
            block.append(rest)

    def _leave(self, depth: int) -> None:
        """Close containers down to a depth; an item without content gets the row its marker stands on."""
        if any(not container.shown and not container.quote for container in self._containers[depth:]):
            self._begin(TextBlock(base=self._base))
            self._close_leaf()
        del self._containers[depth:]

    def _close_leaf(self) -> None:
        leaf = self._leaf
        if leaf is None:
            return
        leaf.close()
        self._leaf = None

    def _replace(self, block: Block) -> None:
        """Put a block in the place of the last one."""
        old = self.blocks.pop()
        block.first, block.rest, block.gap = old.first, old.rest, old.gap
        self.blocks.append(block)
        self._leaf = block

    def _begin(self, block: Block) -> None:
        """Add a block, with its decoration and the empty row above."""
        first: list[Span] = []
        rest: list[Span] = []
        depth = 0
        for container in self._containers:
            mark, indent = _decoration(container, depth)
            depth += not container.quote
            first.append(indent if container.shown else mark)
            rest.append(indent)
            container.shown = True
        if any(container.quote for container in self._containers) and not block.base:
            block.base = "quote"
        block.first = tuple(first)
        block.rest = tuple(rest)
        path = tuple(self._containers)
        if self.blocks:
            before = self._path
            one_list = {c.list_id for c in before if not c.quote} & {c.list_id for c in path if not c.quote}
            if self._blank or not one_list:
                shared = 0
                while shared < min(len(before), len(path)) and before[shared] is path[shared]:
                    shared += 1
                block.gap = tuple(rest[:shared])
        self._blank = False
        self.blocks.append(block)
        self._path = path
        self._leaf = block


def _decoration(container: Container, depth: int) -> tuple[Span, Span]:
    """Return a container's marker and what stands below it."""
    if container.quote:
        bar = Span("▎ ", "quote.bar")
        return bar, bar
    if container.task:
        return Span(" ☑ " if container.task == "x" else " ☐ ", "list.mark"), Span("   ")
    if container.mark in "-+*":
        return Span(f" {_BULLETS[min(depth, 2)]} ", "list.mark"), Span("   ")
    number = f"{container.number}{container.mark} ".rjust(4)
    return Span(number, "list.mark"), Span(" " * len(number))
