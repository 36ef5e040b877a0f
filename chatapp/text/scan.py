"""One pass over a piece of paragraph source: nodes, matched emphasis, and what is still undecided at its end."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field

from chatapp.text.nodes import CODE, HTML, IMAGE, LINK, MATH, REACH, Kind, Node, flank, match_emphasis
from chatapp.text.sanitize import sanitize_line

_FORMING = 200
"""Characters within which a tag or an address in angle brackets must end."""
_DOLLAR_REACH = 300

SPECIAL = re.compile(r"[\\`*_~\[\]!<&$\n]|https?://")
"""Where anything but plain text may begin."""

_ESCAPABLE = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
_ENTITY = re.compile(r"&(?:#[xX][0-9a-fA-F]{1,6}|#[0-9]{1,7}|[A-Za-z][A-Za-z0-9]{1,31});")
_ENTITY_FORMING = re.compile(r"&[#A-Za-z0-9]{0,33}")
_AUTOLINK = re.compile(r"<([A-Za-z][A-Za-z0-9+.-]{1,31}:[^\s<>]*|[\w.+-]+@[\w-]+(?:\.[\w-]+)+)>")
_TAG = re.compile(
    r"</?[A-Za-z][A-Za-z0-9-]*(?:\s[^<>]*)?/?>|<!--(?:(?!-->).)*-->|<\?[^<>]*>|<![A-Za-z][^<>]*>", re.DOTALL
)
_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
_TAG_FORMING = re.compile(r"<(?:[/!?A-Za-z][^<>]*)?|<!--(?:(?!-->).)*", re.DOTALL)
_IN_ADDRESS = r"[^\s<>()\[\]\"'`*|\\]"
_ADDRESS = re.compile(rf"https?://{_IN_ADDRESS}*(?:\({_IN_ADDRESS}*\){_IN_ADDRESS}*)*")
_PAREN_FORMING = re.compile(rf"\({_IN_ADDRESS}*")
_DESTINATION = re.compile(
    r"""\(\s*(?:<(?P<angle>[^<>\n]*)>|(?P<bare>(?:\\.|[^\s()\\<]|\((?:\\.|[^\s()\\])*\))*))"""
    r"""(?:\s+(?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|\((?:\\.|[^()\\])*\)))?\s*\)"""
)
_DESTINATION_FORMING = re.compile(
    r"""\(\s*(?:<[^<>\n]*>?|(?:\\.?|[^\s()\\<]|\((?:\\.|[^\s()\\])*\)?)*)"""
    r"""(?:\s+(?:"(?:\\.?|[^"\\])*"?|'(?:\\.?|[^'\\])*'?|\((?:\\.?|[^()\\])*\)?)?)?\s*"""
)
_DOLLARS = re.compile(r"\$(?=[^\s$])[^$\n]*?(?<=[^\s\\])\$(?!\d)")


@dataclass(slots=True)
class Scan:
    """What a pass found."""

    nodes: list[Node] = field(default_factory=list)
    hold: int = 1 << 60
    """The source position from which on nothing is decided."""
    openers: list[Node] = field(default_factory=list)
    """Emphasis that is open at the end."""
    brackets: list[Node] = field(default_factory=list)
    """Brackets that may still become links."""
    ranges: list[tuple[int, int]] = field(default_factory=list)
    """Matched pairs (source positions): to settle up to the middle of one is not allowed."""


def scan(raw: str, before: str, *, final: bool) -> Scan:
    """Read a piece of source.

    Args:
        raw: the source from a place where nothing is open.
        before: the character before it, or empty.
        final: whether the paragraph ends with it.
    """
    return _Scanner(raw, before, final).run()


class _Scanner:
    def __init__(self, raw: str, before: str, final: bool) -> None:
        self.raw = raw
        self.before = before
        self.final = final
        self.result = Scan()
        self.nodes = self.result.nodes
        self.brackets: list[tuple[Node, int]] = []

    def run(self) -> Scan:
        raw = self.raw
        size = len(raw)
        at = 0
        while at < size:
            found = SPECIAL.search(raw, at)
            start = found.start() if found else size
            if start > at:
                self.nodes.append(Node(Kind.TEXT, at, raw[at:start]))
            if start == size:
                break
            next_at = self._special(start, raw[start])
            if next_at < 0:
                self.result.hold = min(self.result.hold, start)
                break
            at = next_at
        openers = match_emphasis(self.nodes, 0, self.result.ranges)
        if not self.final:
            self.result.openers = [node for node in openers if size - node.at <= REACH]
            self.result.brackets = [node for node, _index in self.brackets if size - node.at <= REACH]
        return self.result

    def _special(self, at: int, char: str) -> int:  # noqa: PLR0911  # one return per kind of construct
        """Read the construct at a position; return where the next begins, -1 if more text must decide."""
        if char in "*_~":
            return self._delimiter(at, char)
        if char == "`":
            return self._code(at)
        if char == "\\":
            return self._backslash(at)
        if char == "\n":
            return self._newline(at)
        if char in "[!":
            return self._open_bracket(at, char)
        if char == "]":
            return self._close_bracket(at)
        if char == "<":
            return self._angle(at)
        if char == "&":
            return self._entity(at)
        if char == "$":
            return self._dollar(at)
        return self._address(at)

    def _text(self, at: int, text: str) -> int:
        self.nodes.append(Node(Kind.TEXT, at, text))
        return at + len(text)

    def _atom(self, at: int, text: str, mask: int = 0, href: str = "") -> None:
        self.nodes.append(Node(Kind.ATOM, at, text, mask, href))

    def _rest_open(self, at: int, text: str, mask: int) -> int:
        """Show the rest as if what began at a position were closed at the end."""
        self._atom(at, text, mask)
        self.result.hold = min(self.result.hold, at)
        return len(self.raw)

    def _delimiter(self, at: int, char: str) -> int:
        raw = self.raw
        end = at + 1
        while end < len(raw) and raw[end] == char:
            end += 1
        if end == len(raw) and not self.final:
            return -1
        if char == "~" and end - at != 2:
            return self._text(at, raw[at:end])
        previous = raw[at - 1] if at else self.before
        following = raw[end] if end < len(raw) else ""
        space_before, mark_before = flank(previous)
        space_after, mark_after = flank(following)
        left = not space_after and (not mark_after or space_before or mark_before)
        right = not space_before and (not mark_before or space_after or mark_after)
        if char == "_":
            can_open = left and (not right or mark_before)
            can_close = right and (not left or mark_after)
        else:
            can_open, can_close = left, right
        self.nodes.append(
            Node(
                Kind.DELIMITER,
                at,
                char=char,
                count=end - at,
                length=end - at,
                can_open=can_open,
                can_close=can_close,
                inside_word=not space_before and not mark_before,
            )
        )
        return end

    def _code(self, at: int) -> int:
        raw = self.raw
        end = at + 1
        while end < len(raw) and raw[end] == "`":
            end += 1
        if end == len(raw) and not self.final:
            return -1
        ticks = raw[at:end]
        stop = end
        while True:
            stop = raw.find(ticks, stop, at + REACH)
            if stop < 0:
                break
            after = stop + len(ticks)
            while after < len(raw) and raw[after] == "`":
                after += 1
            if after - stop == len(ticks):
                if after == len(raw) and not self.final:
                    return self._rest_open(at, _code_text(raw[end:stop]), CODE)  # the closing run may still grow
                self._atom(at, _code_text(raw[end:stop]), CODE)
                return after
            stop = after
        if self.final or len(raw) - at > REACH:
            return self._text(at, ticks)
        return self._rest_open(at, raw[end:].rstrip("`").replace("\n", " "), CODE)

    def _backslash(self, at: int) -> int:
        raw = self.raw
        if at + 1 == len(raw):
            return self._text(at, "\\") if self.final else -1
        following = raw[at + 1]
        if following in "([":
            return self._formula(at, "\\)" if following == "(" else "\\]")
        if following == "\n":
            return self._hard_break(at, at + 2)
        if following in _ESCAPABLE:
            self._atom(at, following)
            return at + 2
        return self._text(at, "\\")

    def _formula(self, at: int, closing: str) -> int:
        raw = self.raw
        stop = raw.find(closing, at + 2, at + REACH)
        if stop >= 0:
            self._atom(at, raw[at : stop + 2], MATH)
            return stop + 2
        if self.final or len(raw) - at > REACH:
            if raw[at] == "$":
                return self._text(at, "$$")
            self._atom(at, raw[at + 1])
            return at + 2
        return self._rest_open(at, raw[at:].rstrip("\\$ \n"), MATH)

    def _dollar(self, at: int) -> int:
        raw = self.raw
        if at + 1 == len(raw):
            return self._text(at, "$") if self.final else -1
        if raw[at + 1] == "$":
            return self._formula(at, "$$")
        found = _DOLLARS.match(raw, at, at + _DOLLAR_REACH)
        if found and (found.end() < len(raw) or self.final) and found.end() < at + _DOLLAR_REACH:
            self._atom(at, found.group(), MATH)
            return found.end()
        if not self.final and len(raw) - at <= _DOLLAR_REACH:
            self.result.hold = min(self.result.hold, at)  # not settled, but shown as it stands
        return self._text(at, "$")

    def _skip_spaces(self, at: int) -> int:
        while at < len(self.raw) and self.raw[at] == " ":
            at += 1
        return at

    def _hard_break(self, at: int, end: int) -> int:
        end = self._skip_spaces(end)
        if end == len(self.raw) and not self.final:
            return -1  # more spaces may come, and they belong to it
        self._atom(at, "\n")
        return end

    def _newline(self, at: int) -> int:
        end = self._skip_spaces(at + 1)
        if end == len(self.raw):
            if not self.final:
                return -1
            return end
        hard = False
        if self.nodes and self.nodes[-1].kind is Kind.TEXT:
            last = self.nodes[-1]
            stripped = last.text.rstrip(" ")
            hard = len(last.text) - len(stripped) >= 2
            last.text = stripped
        self._atom(at, "\n" if hard else " ")
        return end

    def _open_bracket(self, at: int, char: str) -> int:
        raw = self.raw
        text = "["
        if char == "!":
            if at + 1 == len(raw) and not self.final:
                return -1
            if raw[at + 1 : at + 2] != "[":
                return self._text(at, "!")
            text = "!["
        node = Node(Kind.BRACKET, at, text)
        self.brackets.append((node, len(self.nodes)))
        self.nodes.append(node)
        return at + len(text)

    def _close_bracket(self, at: int) -> int:
        raw = self.raw
        if not self.brackets or at - self.brackets[-1][0].at > REACH:
            self.brackets.clear()
            return self._text(at, "]")
        bracket, index = self.brackets[-1]
        if at + 1 == len(raw) and not self.final:
            return -1
        if raw[at + 1 : at + 2] == "(":
            found = _DESTINATION.match(raw, at + 1, at + 1 + REACH)
            if found:
                self._link(bracket, index, found)
                return found.end()
            if not self.final and len(raw) - at <= REACH and _DESTINATION_FORMING.fullmatch(raw, at + 1):
                for node in self.nodes[index + 1 :]:
                    node.mask |= LINK
                bracket.text = ""
                return -1
        self.brackets.pop()
        return self._text(at, "]")

    def _link(self, bracket: Node, index: int, found: re.Match[str]) -> None:
        image = bracket.text == "!["
        target = found["angle"] if found["angle"] is not None else found["bare"]
        target = sanitize_line(html.unescape(re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", target)))
        href = safe_address(target)
        match_emphasis(self.nodes, index + 1, self.result.ranges)
        label = "".join(node.text for node in self.nodes[index + 1 :])
        for node in self.nodes[index + 1 :]:
            if node.kind is Kind.DELIMITER:
                node.kind, node.text = Kind.ATOM, node.char * node.count
            node.mask |= IMAGE if image else LINK
            node.href = href
        bracket.kind, bracket.text = Kind.ATOM, ""
        self.result.ranges.append((bracket.at, found.end() - 1))
        if _misleads(label, href):
            self._atom(found.start(), f" ({href})", HTML)
        self.brackets.pop()
        if not image:
            self.brackets.clear()  # no link inside a link

    def _angle(self, at: int) -> int:
        raw = self.raw
        end = at + _FORMING
        found = _AUTOLINK.match(raw, at, end)
        if found:
            target = sanitize_line(found[1])
            self._atom(at, target, LINK, safe_address(target))
            return found.end()
        found = _BREAK.match(raw, at, end)
        if found:
            return self._hard_break(at, found.end())
        found = _TAG.match(raw, at, end)
        if found:
            self._atom(at, found.group().replace("\n", " "), HTML)
            return found.end()
        if not self.final and len(raw) - at < _FORMING and _TAG_FORMING.fullmatch(raw, at):
            return -1
        return self._text(at, "<")

    def _entity(self, at: int) -> int:
        found = _ENTITY.match(self.raw, at)
        if found:
            # Cleaned again: &#27; would be an escape character.
            self._atom(at, sanitize_line(html.unescape(found.group())))
            return found.end()
        if not self.final and _ENTITY_FORMING.fullmatch(self.raw, at):
            return -1
        return self._text(at, "&")

    def _address(self, at: int) -> int:
        raw = self.raw
        found = _ADDRESS.match(raw, at, at + REACH)
        previous = raw[at - 1] if at else self.before
        if found is None or previous.isalnum():
            return self._text(at, "http")
        end = found.end()
        forming = end == len(raw) or _PAREN_FORMING.fullmatch(raw, end)
        if forming and not self.final and len(raw) - at < REACH:
            return self._rest_open(at, raw[at:], LINK)
        target = found.group().rstrip(".,;:!?_~&$")
        self._atom(at, target, LINK, safe_address(target))
        return at + len(target)


def _code_text(text: str) -> str:
    text = text.replace("\n", " ")
    if len(text) > 2 and text[0] == text[-1] == " " and not text.isspace():
        return text[1:-1]
    return text


def safe_address(target: str) -> str:
    """Return an address that a click may open, or an empty string: only http and https leave the terminal."""
    return target if target[:8].lower().startswith(("http://", "https://")) and " " not in target else ""


def _misleads(label: str, href: str) -> bool:
    """Whether a link's text looks like one address while it leads to another."""
    if not href or "." not in label or " " in label.strip():
        return False
    shown = re.sub(r"^https?://(?:www\.)?", "", label.strip().lower()).split("/")[0]
    host = re.sub(r"^https?://(?:www\.)?", "", href.lower()).split("/")[0]
    return shown != host and re.fullmatch(r"[\w-]+(?:\.[\w-]+)*\.[a-z]{2,}", shown) is not None and "@" not in shown
