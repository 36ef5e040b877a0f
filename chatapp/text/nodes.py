"""The pieces of a paragraph, and CommonMark's pairing of emphasis markers."""

from __future__ import annotations

import enum
import unicodedata
from dataclasses import dataclass

REACH = 2000
"""Characters within which emphasis, a code span, a link or a formula must end."""

STRONG, EMPHASIS, STRIKE, LINK, IMAGE, CODE, MATH, HTML = (1 << n for n in range(8))
_NAMES = {
    STRONG: "strong",
    EMPHASIS: "em",
    STRIKE: "strike",
    LINK: "link",
    IMAGE: "image",
    CODE: "code",
    MATH: "math",
    HTML: "html",
}
_styles: dict[int, str] = {}


def style_of(mask: int) -> str:
    """Return the style's name for a set of flags."""
    style = _styles.get(mask)
    if style is None:
        style = _styles[mask] = " ".join(name for flag, name in _NAMES.items() if mask & flag)
    return style


class Kind(enum.Enum):
    """What a node is."""

    TEXT = 1
    """Source text as it stands."""
    ATOM = 2
    """Text that differs from its source: code, an entity, a break."""
    DELIMITER = 3
    """A run of emphasis markers."""
    BRACKET = 4


@dataclass(slots=True)
class Node:
    """A piece of the text, in order."""

    kind: Kind
    at: int
    """Where its source begins."""
    text: str = ""
    mask: int = 0
    href: str = ""
    char: str = ""
    count: int = 0
    """Markers of a delimiter that are not used up."""
    length: int = 0
    """Markers it had."""
    can_open: bool = False
    can_close: bool = False
    inside_word: bool = False

    @property
    def emphasis(self) -> int:
        """What the unused markers would mean."""
        if self.char == "~":
            return STRIKE
        return (STRONG if self.count >= 2 else 0) | (EMPHASIS if self.count % 2 else 0)


def flank(char: str) -> tuple[bool, bool]:
    """Return whether a character is white space (or none), and whether it is punctuation."""
    if not char or char.isspace():
        return True, False
    if char.isalnum():
        return False, False
    return False, char.isascii() or unicodedata.category(char)[0] in "PS"


def match_emphasis(nodes: list[Node], first: int, ranges: list[tuple[int, int]]) -> list[Node]:
    """Pair emphasis markers from a node on, as CommonMark does; return the openers left over."""
    stack: list[int] = []
    floors: dict[tuple[str, bool, int], int] = {}  # below them no opener for such a closer stands: keeps it linear
    for index in range(first, len(nodes)):
        closer = nodes[index]
        if closer.kind is not Kind.DELIMITER:
            continue
        if closer.can_close:
            key = (closer.char, closer.can_open, closer.length % 3)
            while closer.count:
                place = _opener_for(nodes, stack, closer, floors.get(key, -1))
                if place < 0:
                    floors[key] = stack[-1] if stack else index - 1
                    break
                opener = nodes[stack[place]]
                used = 2 if min(opener.count, closer.count) >= 2 else 1
                mask = STRIKE if closer.char == "~" else STRONG if used == 2 else EMPHASIS
                for node in nodes[stack[place] + 1 : index]:
                    node.mask |= mask
                opener.count -= used
                closer.count -= used
                ranges.append((opener.at, closer.at + closer.length - 1))
                del stack[place + (1 if opener.count else 0) :]
        if closer.count and closer.can_open:
            stack.append(index)
    return [nodes[index] for index in stack]


def _opener_for(nodes: list[Node], stack: list[int], closer: Node, floor: int) -> int:
    for place in range(len(stack) - 1, -1, -1):
        if stack[place] <= floor:
            return -1
        opener = nodes[stack[place]]
        if closer.at - opener.at > REACH:
            return -1
        if opener.char != closer.char:
            continue
        both = opener.can_close or closer.can_open
        if both and (opener.length + closer.length) % 3 == 0 and (opener.length % 3 or closer.length % 3):
            continue
        return place
    return -1
