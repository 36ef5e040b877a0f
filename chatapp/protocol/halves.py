"""Halves of characters that a server cut apart.

JSON writes a character beyond U+FFFF as two escapes, and servers that count in UTF-16 (JavaScript, .NET) cut text
between them. A half by itself is no character: nothing that encodes text as UTF-8 takes it.
"""

from __future__ import annotations

import re

_SURROGATE = re.compile("[\ud800-\udfff]")


class Halves:
    """Joins the halves in one channel's text."""

    def __init__(self) -> None:
        self._held = ""

    def join(self, text: str) -> str:
        """Return the text's whole characters; a first half at its end waits for the next text.

        A half that finds no other becomes U+FFFD, as everywhere in Unicode; at the very end of a stream it is dropped.
        """
        if not self._held and (text.isascii() or _SURROGATE.search(text) is None):
            return text
        text, self._held = self._held + text, ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            text, self._held = text[:-1], text[-1]
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
