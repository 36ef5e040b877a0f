"""Code colours that never hold up a frame: so many lines at a time, with lexers that are made elsewhere."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from chatapp.text.highlight import Colours, find_lexer

if TYPE_CHECKING:
    from pygments.lexer import Lexer

LINES_WHILE_STREAMING = 12
"""Lines coloured in a frame that took in text: 1 to 2 ms. More code than that in 16 ms nobody reads."""
LINES_WHILE_IDLE = 100
"""Lines coloured in a frame that did not."""


class FrameColours(Colours):
    """Colours as many lines as fit a frame; the rest is shown plain and coloured with the next frames.

    A lexer takes 20 to 50 ms to compile, so that is done in a thread.
    """

    _loading: set[str] = set()  # noqa: RUF012  # shared by all panes on purpose, like the lexers
    _loaded: set[str] = set()  # noqa: RUF012

    def __init__(self) -> None:
        self.waiting = False
        """Whether the last paint showed something plain for now."""
        self._left = LINES_WHILE_IDLE

    def begin_frame(self, *, streaming: bool) -> None:
        """Allow the lines of one frame."""
        self._left = LINES_WHILE_STREAMING if streaming else LINES_WHILE_IDLE

    def begin_paint(self) -> None:
        """Note anew whether something has to wait."""
        self.waiting = False

    def may_colour(self, language: str) -> bool:
        """Whether a further line may be coloured in this frame."""
        if language not in self._loaded:
            self._load(language)
            self.waiting = True
            return False
        if self._left <= 0:
            self.waiting = True
            return False
        self._left -= 1
        return True

    @classmethod
    def _load(cls, language: str) -> None:
        if language in cls._loading:
            return
        cls._loading.add(language)
        threading.Thread(target=cls._make, args=(language,), name=f"lexer {language}", daemon=True).start()

    @classmethod
    def _make(cls, language: str) -> None:
        lexer: Lexer | None = find_lexer(language)
        if lexer is not None:
            next(iter(lexer.get_tokens("x")), None)  # some compile on first use
        cls._loaded.add(language)
