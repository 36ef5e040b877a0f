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
        self._carriage_return = False

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
        self._carriage_return = False

    def drain(self, portion: int = PORTION) -> None:
        """Hand on up to about `portion` characters, pieces of one channel joined."""
        waiting = self._waiting
        parts: list[str] = []
        channel: Channel = "answer"
        size = 0
        while waiting and size < portion:
            item = waiting.popleft()
            if callable(item):
                self._hand_on(parts, channel)
                item()
                continue
            text, its_channel = item
            if parts and its_channel != channel:
                self._hand_on(parts, channel)
            channel = its_channel
            if size + len(text) > portion:
                waiting.appendleft((text[portion - size :], channel))
                text = text[: portion - size]
            size += len(text)
            parts.append(text)
        self._hand_on(parts, channel)

    def _hand_on(self, parts: list[str], channel: Channel) -> None:
        if not parts:
            return
        text = "".join(parts)
        parts.clear()
        if self._carriage_return:
            text = "\r" + text
            self._carriage_return = False
        if "\r" in text:
            # A line of a Windows text ends in two characters, which two pieces may share.
            if text[-1] == "\r" and self._waiting_text():
                self._carriage_return = True
                text = text[:-1]
            text = text.replace("\r\n", "\n")
        if text:
            self._write(sanitize(text), channel)

    def _waiting_text(self) -> bool:
        """Whether the character behind a carriage return may still come."""
        return not self._waiting or not callable(self._waiting[0])
