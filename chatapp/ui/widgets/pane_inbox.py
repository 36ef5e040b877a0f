"""What waits for the next frame: pieces of text and other additions, in order, taken out in measured portions."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from chatapp.stream.events import Channel
from chatapp.text.sanitize import sanitize

PORTION = 32_768
"""Characters taken in per frame. Reading them takes up to 10 ms, so a megabyte at once makes no stall of a second."""


class Inbox:
    """A queue between what arrives and what is painted.

    Args:
        write: called with sanitized text and its channel.
    """

    def __init__(self, write: Callable[[str, Channel], None]) -> None:
        self._write = write
        self._waiting: deque[tuple[str, Channel] | Callable[[], None]] = deque()
        self._channel: Channel = "answer"
        self._carriage_return = ""

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def put(self, text: str, channel: Channel) -> None:
        """Add a piece of text. O(1)."""
        self._waiting.append((text, channel))

    def call(self, action: Callable[[], None]) -> None:
        """Add anything else that must keep its place between the pieces."""
        self._waiting.append(action)

    def clear(self) -> None:
        """Forget what waits."""
        self._waiting.clear()
        self._carriage_return = ""

    def drain(self, portion: int = PORTION) -> None:
        """Hand on up to about `portion` characters, pieces of one channel joined."""
        waiting = self._waiting
        parts: list[str] = []
        size = 0
        while waiting and size < portion:
            item = waiting.popleft()
            if callable(item):
                self._hand_on(parts, more=False)
                item()
                continue
            text, channel = item
            if channel != self._channel:
                self._hand_on(parts, more=False)
                self._channel = channel
            if size + len(text) > portion:
                waiting.appendleft((text[portion - size :], channel))
                text = text[: portion - size]
            size += len(text)
            parts.append(text)
        self._hand_on(parts, more=True)

    def _hand_on(self, parts: list[str], *, more: bool) -> None:
        text = self._carriage_return + "".join(parts)
        parts.clear()
        self._carriage_return = ""
        if more and text.endswith("\r"):
            # A line of a Windows text ends in two characters, which two pieces may share.
            self._carriage_return = "\r"
            text = text[:-1]
        if text:
            self._write(sanitize(text.replace("\r\n", "\n")), self._channel)
