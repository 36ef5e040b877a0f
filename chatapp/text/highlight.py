"""Code colours, line by line: each line is lexed once, in order, from the state the line before left.

Pygments lexes whole texts; to colour a growing one that way costs its length with every line. A `RegexLexer` is a
stack of states, though, and the stack at a line's end is all that the next line depends on.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from chatapp.text.rows import Mark

if TYPE_CHECKING:
    from pygments.lexer import Lexer

_LONGEST_LINE = 2000
"""Longer lines are data, and stay plain."""

# By pygments' token names, the most exact first.
_STYLES = {
    "Comment": "comment",
    "Comment.Preproc": "decorator",
    "Keyword": "keyword",
    "Keyword.Constant": "constant",
    "Keyword.Type": "type",
    "Name.Builtin": "builtin",
    "Name.Builtin.Pseudo": "constant",
    "Name.Class": "type",
    "Name.Decorator": "decorator",
    "Name.Exception": "type",
    "Name.Function": "function",
    "Name.Tag": "keyword",
    "Name.Attribute": "attribute",
    "Name.Constant": "constant",
    "Name.Variable": "variable",
    "Literal.String": "string",
    "Literal.String.Escape": "constant",
    "Literal.String.Interpol": "constant",
    "Literal.Number": "number",
    "Literal.Date": "number",
    "Operator": "operator",
    "Operator.Word": "keyword",
    "Generic.Deleted": "deleted",
    "Generic.Inserted": "inserted",
    "Generic.Heading": "keyword",
    "Generic.Subheading": "keyword",
    "Generic.Prompt": "comment",
    "Generic.Output": "output",
}
_C_COMMENTS = frozenset(
    (
        *("C", "C++", "C#", "CSS", "CUDA", "Dart", "Go", "Java", "JavaScript", "Kotlin"),
        *("Objective-C", "PHP", "Rust", "SCSS", "SQL", "Scala", "Swift", "TypeScript"),
    )
)
_XML_COMMENTS = frozenset(("HTML", "XML", "SVG", "Vue"))
"""Languages whose comments pygments matches as one piece, which a single line cannot show it."""


@lru_cache(maxsize=1024)
def _style(token: Any) -> str:
    name = str(token).removeprefix("Token.")
    while name:
        style = _STYLES.get(name)
        if style is not None:
            return f"code.{style}"
        name = name.rpartition(".")[0]
    return ""


@lru_cache(maxsize=64)
def find_lexer(language: str) -> Lexer | None:
    """Return pygments' lexer for the name in a fence, None if it knows none or it is plain text."""
    from pygments.lexers import get_lexer_by_name  # 20 ms: only a text with code needs it
    from pygments.util import ClassNotFound

    try:
        lexer: Lexer = get_lexer_by_name(language.lower(), stripnl=False, ensurenl=True)
    except ClassNotFound:
        return None
    return None if lexer.name == "Text only" else lexer


class Colours:
    """Where layouts get their lexers, and how much may be coloured now. This one: all, at once."""

    def lexer(self, language: str) -> Lexer | None:
        """Return the lexer of a language; asked only where `may_colour` agreed."""
        return find_lexer(language)

    def may_colour(self, language: str) -> bool:
        """Whether a further line may be coloured now; where not, it is shown plain and asked for again."""
        return True


class LineHighlighter:
    """Colours the lines of one code block, in order.

    Args:
        lexer: pygments' lexer of its language, None for none.
    """

    def __init__(self, lexer: Lexer | None) -> None:
        from pygments.lexer import ExtendedRegexLexer, RegexLexer

        self._lexer = lexer
        self._stack: list[str] = ["root"]
        self._states: dict[str, Any] | None = None
        self._brackets = ("", "")
        self._comment = False
        if lexer is None:
            return
        if isinstance(lexer, RegexLexer) and not isinstance(lexer, ExtendedRegexLexer):
            own = type(lexer).get_tokens_unprocessed is RegexLexer.get_tokens_unprocessed
            # Private, as there is no other way to the compiled states; `get_tokens_unprocessed` takes a stack to
            # start from, but does not say where it ended. A lexer that overrides it is lexed line by line, stateless.
            self._states = getattr(lexer, "_tokens") if own or _only_filters(lexer) else None  # noqa: B009
        if lexer.name in _C_COMMENTS:
            self._brackets = ("/*", "*/")
        elif lexer.name in _XML_COMMENTS:
            self._brackets = ("<!--", "-->")

    def line(self, text: str) -> list[Mark]:
        """Return the coloured ranges of the next line, and go on behind it."""
        if self._lexer is None or len(text) > _LONGEST_LINE:
            return []
        marks: list[Mark] = []
        start = 0
        if self._comment:
            closing = self._brackets[1]
            end = text.find(closing)
            start = len(text) if end < 0 else end + len(closing)
            self._comment = end < 0
            if start:
                marks.append(Mark(0, start, "code.comment"))
        if start < len(text):
            try:
                self._lex(text, start, marks)
            except Exception:  # a few of pygments' 590 lexers fail on half a construct: then no colours
                self._lexer = None
                return []
        return marks

    def peek(self, text: str) -> list[Mark]:
        """Return the coloured ranges of a line that is not finished, without going on."""
        stack, comment = list(self._stack), self._comment
        marks = self.line(text)
        self._stack, self._comment = stack, comment
        return marks

    def _lex(self, text: str, start: int, marks: list[Mark]) -> None:
        opening = self._open_comment(text, start)
        if opening >= 0:
            self._comment = True
            if opening > start:
                self._colour(text[:opening], start, marks, self._stack)
            marks.append(Mark(opening, len(text), "code.comment"))
        else:
            self._colour(text, start, marks, self._stack)

    def _colour(self, text: str, start: int, marks: list[Mark], stack: list[str]) -> None:
        assert self._lexer is not None  # `line` has looked
        source = text[start:] + "\n"
        if self._states is not None:
            pieces = _run(self._lexer, self._states, source, stack)
        else:
            pieces = list(self._lexer.get_tokens_unprocessed(source))
        size = len(text)
        for at, token, value in pieces:
            style = _style(token)
            if not style:
                continue
            begin = start + at
            end = min(begin + len(value), size)
            if end > begin:
                if marks and marks[-1].end == begin and marks[-1].style == style:
                    begin = marks.pop().start
                marks.append(Mark(begin, end, style))

    def _open_comment(self, text: str, start: int) -> int:
        """Return where a comment begins that does not end on this line, or -1."""
        begin, close = self._brackets
        opening = text.rfind(begin, start) if begin else -1
        if opening < 0 or text.find(close, opening + len(begin)) >= 0:
            return -1
        marks: list[Mark] = []
        self._colour(text, start, marks, list(self._stack))
        over = next((mark for mark in marks if mark.start <= opening < mark.end), None)
        quoted = over is not None and over.start < opening and over.style in ("code.string", "code.comment")
        return -1 if quoted else opening


def _only_filters(lexer: Lexer) -> bool:
    """Whether a lexer's own method merely renames what the regexes found, so that the states are enough."""
    return lexer.name in {"Python", "C", "C++", "SQL", "Lua", "CSS", "PHP", "Java", "Kotlin", "Ruby"}


def _run(lexer: Lexer, states: dict[str, Any], text: str, stack: list[str]) -> list[tuple[int, Any, str]]:
    """Run a regex lexer over a text from a stack of states, which is left as the text leaves it."""
    out: list[tuple[int, Any, str]] = []
    at = 0
    size = len(text)
    rules = states[stack[-1]]
    while at < size:
        for match, action, change in rules:
            found = match(text, at)
            if not found:
                continue
            if action is not None:
                if isinstance(action, tuple):  # a token's type is a tuple; anything else is called
                    out.append((at, action, found.group()))
                else:
                    out.extend(action(lexer, found))
            at = found.end()
            if change is not None:
                _change(stack, change)
                rules = states[stack[-1]]
            break
        else:
            if text[at] == "\n":
                # As pygments does: a line's end that no rule takes ends every state.
                stack[:] = ["root"]
                rules = states["root"]
            at += 1
    return out


def _change(stack: list[str], change: Any) -> None:
    if isinstance(change, tuple):
        for state in change:
            if state == "#pop":
                if len(stack) > 1:
                    stack.pop()
            elif state == "#push":
                stack.append(stack[-1])
            else:
                stack.append(state)
    elif isinstance(change, int):
        if abs(change) >= len(stack):
            del stack[1:]
        else:
            del stack[change:]
    elif change == "#push":
        stack.append(stack[-1])
    else:
        stack.append(change)
