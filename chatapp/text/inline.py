"""The inside of a paragraph: emphasis, code, links, breaks, as CommonMark reads them, while the text still comes.

What later text cannot change any more is *settled*: appended once to `plain` and `marks` and never looked at again.
The rest, the *pending* tail, is read again with each append; it is short, because a construct that has not ended
within `nodes.REACH` characters is taken for plain text. That is the one difference to CommonMark, and it makes the
cost of an append independent of the length of the paragraph.
"""

from __future__ import annotations

from chatapp.text.nodes import Kind, Node, style_of
from chatapp.text.rows import Mark
from chatapp.text.scan import SPECIAL, Scan, scan

_HIDE = 400
"""How long an opened emphasis is shown as if it were closed, its marker hidden, before the marker shows as text."""
_WAIT = 120
"""How long the label of what may become a link is held back."""


class Inline:
    """One paragraph's text, growing.

    After any appends `plain` and `marks` plus `tail()` depend on the text only, not on how it was split.
    """

    def __init__(self) -> None:
        self.plain = ""
        self.marks: list[Mark] = []
        self._fresh: list[str] = []
        self._pending = ""
        self._before = ""
        self._closed = False

    def append(self, raw: str) -> None:
        """Take in more source text. O(1): it is read when rows are asked for."""
        self._fresh.append(raw)

    def close(self) -> None:
        """Say that no more comes; what is open then is text."""
        self._closed = True

    def settle(self) -> None:
        """Read what came since the last call and settle what can be."""
        if self._fresh:
            self._pending += "".join(self._fresh)
            self._fresh.clear()
        if self._closed:
            self._pending = self._pending.rstrip(" ")
        if not self._pending:
            return
        found = SPECIAL.search(self._pending)
        if found is None and not self._closed:
            self._take_plain(len(self._pending))
            return
        result = scan(self._pending, self._before, final=self._closed)
        limit = len(self._pending) if self._closed else _settled_length(result, self._pending, self._before)
        plain, marks = _flatten(result.nodes, limit, base=len(self.plain), last=self.marks[-1] if self.marks else None)
        if marks and self.marks and marks[0].start == self.marks[-1].start:
            self.marks.pop()  # the first mark continues it
        self.plain += plain
        self.marks += marks
        if limit:
            self._before = self._pending[limit - 1]
            self._pending = self._pending[limit:]

    def tail(self) -> tuple[str, list[Mark]]:
        """Return the pending text as it should look now, marks counted from its own beginning.

        Markers that are open are hidden and act to the end; one that is still forming is held back.
        """
        if not self._pending or self._closed:
            return "", []
        if SPECIAL.search(self._pending) is None:
            return self._pending, []
        result = scan(self._pending, self._before, final=False)
        size = len(self._pending)
        for opener in result.openers:
            if size - opener.at <= _HIDE and not opener.inside_word:
                _act_to_the_end(result.nodes, opener)
        undecided = [node.at for node in result.brackets if node.text and size - node.at <= _WAIT]
        return _flatten(result.nodes, min([size, *undecided]))

    def _take_plain(self, size: int) -> None:
        limit = _without_forming_end(self._pending, size, self._before)
        if limit:
            self.plain += self._pending[:limit]
            self._before = self._pending[limit - 1]
            self._pending = self._pending[limit:]


def _act_to_the_end(nodes: list[Node], opener: Node) -> None:
    mask = opener.emphasis
    seen = False
    for node in nodes:
        if seen:
            node.mask |= mask
        seen = seen or node is opener
    opener.count = 0


def _settled_length(result: Scan, raw: str, before: str) -> int:
    """Return how much of `raw` no later text can change."""
    size = len(raw)
    limit = min([size, result.hold, *(n.at for n in result.openers), *(n.at for n in result.brackets)])
    moved = True
    while moved:
        moved = False
        for opening, closing in result.ranges:
            if opening < limit <= closing:
                limit = opening
                moved = True
    final = next((node for node in reversed(result.nodes) if node.at < limit), None)
    if final is None or final.kind is not Kind.TEXT:
        return limit  # an atom's source may end in spaces that are part of it
    return max(final.at, _without_forming_end(raw, limit, before))


def _without_forming_end(raw: str, limit: int, before: str) -> int:
    """Leave out what a next character can turn into something else: spaces into a hard break, "htt" into an address."""
    if limit == len(raw):
        at = raw.rfind("h", max(0, limit - 7))
        if at >= 0 and ("https://".startswith(raw[at:]) or "http://".startswith(raw[at:])):
            previous = raw[at - 1] if at else before
            return limit if previous.isalnum() else at
    while limit and raw[limit - 1] == " ":
        limit -= 1
    return limit


def _flatten(nodes: list[Node], limit: int, *, base: int = 0, last: Mark | None = None) -> tuple[str, list[Mark]]:
    """Return the nodes that begin before `limit` as text and marks.

    Args:
        nodes: the result of a scan.
        limit: raw position to stop at; only a node of plain text may reach over it.
        base: where the text will stand, for the marks.
        last: the mark before, which the first one may continue.
    """
    parts: list[str] = []
    marks: list[Mark] = []
    at = base
    for node in nodes:
        if node.at >= limit:
            break
        text = node.char * node.count if node.kind is Kind.DELIMITER else node.text
        if node.kind is Kind.TEXT and node.at + len(text) > limit:
            text = text[: limit - node.at]
        if not text:
            continue
        parts.append(text)
        if node.mask:
            style = style_of(node.mask)
            previous = marks[-1] if marks else last
            if previous and previous.end == at and previous.style == style and previous.href == node.href:
                mark = Mark(previous.start, at + len(text), style, node.href)
                if marks:
                    marks[-1] = mark
                else:
                    marks.append(mark)
            else:
                marks.append(Mark(at, at + len(text), style, node.href))
        at += len(text)
    return "".join(parts), marks
