"""What a line begins: containers and the kind of its block, decided from as little of the line as settles it.

A decision is made once no further character of the line can change it; until then nothing of the line is shown, so
that a marker which is still forming never flashes.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field
from typing import NamedTuple

from chatapp.text.blocks import Block, CodeBlock, TableBlock, TextBlock, parse_delimiter, split_cells

MAX_DEPTH = 24
"""Containers inside containers; deeper markers are text."""
_LONGEST_HEAD = 1000
"""A line that is undecided for longer is a paragraph."""

_list_ids = itertools.count(1)

_HEADING = re.compile(r"(#{1,6})(?: +|$)")
_HEADING_FORMING = re.compile(r"#{1,6} *")
_FENCE = re.compile(r"(`{3,})([^`]*)$|(~{3,})(.*)$")
_FENCE_FORMING = re.compile(r"`{1,2}|`{3,}[^`]*|~|~{3,}.*|~~")
_SETEXT = re.compile(r"(=+|-+) *")
_RULE = re.compile(r"([-_*])(?: *\1){2,} *")
_RULE_FORMING = re.compile(r"([-_*])(?: *\1)* *")
_ITEM = re.compile(r"(?:([-+*])|(\d{1,9})([.)]))( +|$)")
_ITEM_FORMING = re.compile(r"[-+*] *|\d{1,9}(?:[.)] *)?")
_TASK = re.compile(r"\[([ xX])\] ")
_TASK_FORMING = re.compile(r"\[(?:[ xX](?:\] ?)?)?")
_DELIMITER_FORMING = re.compile(r"[-:| ]+")
_MATH = re.compile(r"(\$\$|\\\[) *")
_MATH_FORMING = re.compile(r"\$\$? *|\\\[? *")
_FENCE_END_FORMING = re.compile(r" {0,3}[`~]* *")

_BLOCK_TAGS = (
    "address|article|aside|base|basefont|blockquote|body|caption|center|col|colgroup|dd|details|dialog|dir|div|dl|dt|"
    "fieldset|figcaption|figure|footer|form|frame|frameset|h[1-6]|head|header|hr|html|iframe|legend|li|link|main|menu|"
    "menuitem|nav|noframes|ol|optgroup|option|p|param|search|section|summary|table|tbody|td|tfoot|th|thead|title|tr|"
    "track|ul"
)
_HTML_UNTIL = (
    (re.compile(r"<(script|pre|style|textarea)(?:[\s>]|$)", re.IGNORECASE), r"</(?:script|pre|style|textarea)>"),
    (re.compile(r"<!--"), r"-->"),
    (re.compile(r"<\?"), r"\?>"),
    (re.compile(r"<!\[CDATA\["), r"\]\]>"),
    (re.compile(r"<![A-Za-z]"), r">"),
)
_HTML_BLOCK = re.compile(rf"</?(?:{_BLOCK_TAGS})(?:[\s>]|/>|$)", re.IGNORECASE)
_TAG_ALONE = re.compile(r"</?[A-Za-z][^<>]{0,200}(?:>\s*)?")
_HTML_ALONE = re.compile(r"</?[A-Za-z][A-Za-z0-9-]*(?:\s[^<>]*)?/?>\s*$")


@dataclass(slots=True, eq=False)
class Container:
    """A block quote or a list item that is open."""

    quote: bool
    indent: int = 0
    """Columns of an item before its content."""
    mark: str = ""
    """What makes items one list: the bullet, or the character behind the number."""
    number: int = 0
    task: str = ""
    """`x` or a space for an item of a to-do list."""
    list_id: int = field(default_factory=lambda: next(_list_ids))
    shown: bool = False
    """Whether its marker stands on a row already."""

    def same_list(self, other: Container) -> bool:
        """Whether two items side by side belong to one list."""
        return not self.quote and not other.quote and self.mark == other.mark


class Head(NamedTuple):
    """The decision about a line."""

    kind: str
    at: int
    """Where the content begins."""
    matched: int = 0
    """How many open containers go on."""
    new: tuple[Container, ...] = ()
    level: int = 0
    text: str = ""
    """An info string, a fence, or what ends a block."""


class Now(NamedTuple):
    """What is open when a line begins."""

    containers: list[Container]
    leaf: Block | None
    fence: str
    """The opening fence of the leaf, or what ends it."""
    fence_indent: int


def match_containers(line: str, now: Now, *, complete: bool) -> tuple[int, int] | None:
    """Return how many containers a line continues and where its content begins; None if more text must decide."""
    at = 0
    matched = 0
    for container in now.containers:
        spaces = _spaces(line, at)
        if at + spaces == len(line) and not complete:
            return None
        blank = at + spaces == len(line)
        if container.quote:
            if spaces > 3 or line[at + spaces : at + spaces + 1] != ">":
                break
            at += spaces + 1
            if at == len(line) and not complete:
                return None
            at += line[at : at + 1] == " "
        elif blank:
            pass
        elif spaces >= container.indent:
            at += container.indent
        else:
            break
        matched += 1
    return matched, at


def decide(line: str, now: Now, *, complete: bool) -> Head | None:  # noqa: PLR0911  # one return per question
    """Return what a line is, None if more of it must be seen.

    Args:
        line: the line from its beginning, tabs of its head expanded.
        now: what is open.
        complete: whether it is all of the line.
    """
    found = match_containers(line, now, complete=complete)
    if found is None:
        return None
    matched, at = found
    inside = matched == len(now.containers)
    if inside and isinstance(now.leaf, CodeBlock) and now.fence:
        return _inside_code(line, at, matched, now, complete=complete)
    new: list[Container] = []
    while True:
        spaces = _spaces(line, at)
        body = line[at + spaces :]
        if not body:
            return Head("empty" if new else "blank", len(line), matched, tuple(new)) if complete else None
        if spaces >= 4:
            if isinstance(now.leaf, TextBlock) and now.leaf.open and not new:
                return Head("text", at + spaces, matched)
            return Head("indented", at + 4, matched, tuple(new))
        at += spaces
        going_on = inside and not new  # the line may belong to the open leaf
        depth = matched + len(new)
        if body[0] == ">" and depth < MAX_DEPTH:
            if len(body) == 1 and not complete:
                return None
            at += 2 if body[1:2] == " " else 1
            new.append(Container(quote=True))
            continue
        head = _leaf_head(body, at, now, going_on=going_on, complete=complete)
        if head is None:
            return None
        if head.kind == "fence":
            head = head._replace(level=spaces)
        if head.kind != "item" or depth >= MAX_DEPTH:
            kind = "text" if head.kind == "item" else head.kind
            return head._replace(kind=kind, at=head.at if kind != "text" else at, matched=matched, new=tuple(new))
        item = _item(body, spaces, now.containers[matched] if not new and not inside else None)
        at += item.indent - spaces
        task = line[at : at + 4]
        if not complete and _TASK_FORMING.fullmatch(task) and len(line) < at + 4:
            return None
        if _TASK.match(task):
            item.task = task[1].lower()
            at += 4
        new.append(item)


def _item(body: str, spaces: int, before: Container | None) -> Container:
    found = _ITEM.match(body)
    assert found is not None  # the caller has just matched it
    bullet, number, mark, behind = found.groups()
    marker = len(body[: found.end()]) - len(behind)
    # Five spaces or more are one and the beginning of indented code.
    indent = spaces + marker + (len(behind) if 1 <= len(behind) <= 4 else 1)
    item = Container(quote=False, indent=indent, mark=bullet or mark, number=int(number or 0))
    if before is not None and item.same_list(before):
        item.list_id = before.list_id
        item.number = before.number + 1 if number else 0
    return item


def _inside_code(  # noqa: PLR0911  # one return per kind of end
    line: str, at: int, matched: int, now: Now, *, complete: bool
) -> Head | None:
    rest = line[at:]
    if now.fence[0] in "`~":
        if not complete and _FENCE_END_FORMING.fullmatch(rest):
            return None
        mark = rest.strip(" ")
        if _spaces(rest, 0) < 4 and len(mark) >= len(now.fence) and not mark.strip(now.fence[0]):
            return Head("fence_end", len(line), matched)
        return Head("code_line", at + min(_spaces(rest, 0), now.fence_indent), matched)
    if not rest.strip(" "):
        if not complete:
            return None
        if now.fence == "blank":
            return Head("blank", len(line), matched)
        if now.fence == "indent":
            return Head("code_line", min(len(line), at + 4), matched)
    if now.fence == "indent":
        if _spaces(rest, 0) >= 4:
            return Head("code_line", at + 4, matched)
        return decide(line, now._replace(fence=""), complete=complete)
    return Head("code_line", at, matched)


def _leaf_head(body: str, at: int, now: Now, *, going_on: bool, complete: bool) -> Head | None:  # noqa: PLR0911, PLR0912  # one question per kind of block, in CommonMark's order
    char = body[0]
    forming = not complete and len(body) <= _LONGEST_HEAD
    complete = complete and len(body) <= _LONGEST_HEAD
    leaf = now.leaf
    paragraph = leaf if isinstance(leaf, TextBlock) and leaf.open and going_on else None
    if paragraph and char in "-:|" and paragraph.first_line and "|" in paragraph.first_line:
        if forming and _DELIMITER_FORMING.fullmatch(body):
            return None
        aligns = parse_delimiter(body) if complete else None
        if aligns and len(aligns) == len(split_cells(paragraph.first_line)):
            return Head("delimiter", at)
    if char == "#":
        if forming and _HEADING_FORMING.fullmatch(body):
            return None
        found = _HEADING.match(body)
        if found:
            return Head("heading", at + found.end(), level=len(found[1]))
    elif char in "`~":
        if forming and _FENCE_FORMING.fullmatch(body):
            return None
        found = _FENCE.match(body)
        if found and complete:
            return Head("fence", at, text=body)
    elif char == "<":
        head = _html_head(body, at, paragraph, forming=forming, complete=complete)
        if head is None or head.kind != "text":
            return head
    elif char in "$\\":
        if forming and _MATH_FORMING.fullmatch(body):
            return None
        if complete and _MATH.fullmatch(body):
            return Head("math", at, text="$$" if char == "$" else "\\]")
    elif char == "|" and not (isinstance(leaf, TableBlock) and going_on):
        if forming or complete:
            return Head("pipes", at) if complete else None
    elif char in "=-_*+" or char.isdigit():
        return _mark_head(body, at, paragraph, forming=forming, complete=complete, going_on=going_on, leaf=leaf)
    if isinstance(leaf, TableBlock) and going_on:
        return Head("row", at)
    return Head("text", at)


def _mark_head(
    body: str,
    at: int,
    paragraph: TextBlock | None,
    *,
    forming: bool,
    complete: bool,
    going_on: bool,
    leaf: Block | None,
) -> Head | None:
    if forming and (
        _RULE_FORMING.fullmatch(body) or _ITEM_FORMING.fullmatch(body) or (paragraph and _SETEXT.fullmatch(body))
    ):
        return None
    if complete:
        if paragraph and _SETEXT.fullmatch(body):
            return Head("setext", at, level=1 if body[0] == "=" else 2)
        if _RULE.fullmatch(body):
            return Head("rule", at)
    found = _ITEM.match(body)
    # To interrupt a paragraph a list must begin with text, and at 1.
    if found and not (paragraph and (found.end() == len(body) or (found[2] and int(found[2]) != 1))):
        return Head("item", at)
    return Head("row" if isinstance(leaf, TableBlock) and going_on else "text", at)


def _html_head(body: str, at: int, paragraph: TextBlock | None, *, forming: bool, complete: bool) -> Head | None:
    if forming and "\n" not in body and not _html_decided(body):
        return None
    for begin, end in _HTML_UNTIL:
        if begin.match(body):
            return Head("html", at, text=end)
    if _HTML_BLOCK.match(body):
        return Head("html", at, text="blank")
    if complete and paragraph is None and _HTML_ALONE.fullmatch(body) and _TAG_ALONE.fullmatch(body):
        return Head("html", at, text="blank")
    return Head("text", at)


def _html_decided(body: str) -> bool:
    """Whether no further character can change what a line that begins with < is."""
    if any(begin.match(body) and not body.endswith(("script", "pre", "style", "textarea")) for begin, _ in _HTML_UNTIL):
        return True
    if re.fullmatch(r"</?[A-Za-z0-9-]*/?|<!\[?[A-Z]*\[?|<!-?", body):
        return False
    # A tag that stands alone on its line begins a block, one followed by text does not.
    return bool(_HTML_BLOCK.match(body)) or not _TAG_ALONE.fullmatch(body)


def _spaces(line: str, at: int) -> int:
    end = at
    while end < len(line) and line[end] == " ":
        end += 1
    return end - at
