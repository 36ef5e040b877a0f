"""Server-sent events: bytes in, events out, no I/O.

The decoder follows the WHATWG grammar (https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream):
lines end in LF, CR or CRLF, a blank line dispatches, a colon begins a comment, a byte order mark may lead. It works on
bytes, so a UTF-8 character may be cut anywhere. An event is returned by the very `feed` that brought its last byte:
whoever feeds what one read returned knows that this read completed the event, and may give it that read's time stamp.
"""

from __future__ import annotations

import msgspec

MAX_EVENT_BYTES = 16 << 20
"""One event may carry a whole answer (1 MB has been seen); 16 MiB is no stream any more but a fault or an attack."""

_BOM = b"\xef\xbb\xbf"


class SseEvent(msgspec.Struct, frozen=True, gc=False):
    """One dispatched event."""

    data: bytes
    """The `data` fields joined by LF; UTF-8 as sent."""
    type: str = ""
    """The `event` field; empty means `message`."""
    end: int = 0
    """Offset in the stream of the byte after the one that completed the event."""


class SseOverflowError(ValueError):
    """An event grew beyond the limit: the stream is not usable any further."""


class SseDecoder:
    """Incremental decoder of one event stream.

    Args:
        max_event_bytes: bound on the bytes held for one unfinished event.
    """

    def __init__(self, *, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._limit = max_event_bytes
        self._offset = 0  # stream offset after all bytes fed
        self._started = False
        self._skip_lf = False  # the last line ended in CR: a LF that follows belongs to it
        self._partial: list[bytes] = []  # an unfinished line, in pieces: joining at each feed would be quadratic
        self._partial_bytes = 0
        self._data: list[bytes] = []
        self._data_bytes = 0
        self._type = ""
        self.comments = 0
        """Comment lines seen: keep-alives of proxies and providers."""

    def feed(self, data: bytes) -> list[SseEvent]:
        """Take the bytes of one read and return the events that they completed.

        Raises:
            SseOverflowError: an unfinished event exceeds the limit.
        """
        self._offset += len(data)
        if not self._started:
            data = self._strip_mark(data)
        if self._skip_lf and data:
            self._skip_lf = False
            if data[0] == 0x0A:
                data = data[1:]
        if not data:
            return []
        start = self._offset - len(data)
        lines = data.splitlines(keepends=True)  # for bytes: LF, CR and CRLF, nothing else
        tail = b"" if lines[-1].endswith((b"\n", b"\r")) else lines.pop()
        self._skip_lf = not tail and data.endswith(b"\r")
        events: list[SseEvent] = []
        for line in lines:
            start += len(line)
            if self._partial:
                self._partial.append(line)
                line = b"".join(self._partial)  # noqa: PLW2901 - the whole line, of which `line` was the end
                self._partial.clear()
                self._partial_bytes = 0
            content = line.rstrip(b"\r\n")
            # A CR completes the line; whether a LF follows is known only with the next byte.
            self._take_line(content, start - (len(line) - len(content)) + 1, events)
        if tail:
            self._partial.append(tail)
            self._partial_bytes += len(tail)
            self._check()
        return events

    def _strip_mark(self, data: bytes) -> bytes:
        """Drop a leading byte order mark, which may itself be cut; `feed` of a part of it holds it back."""
        head = b"".join(self._partial) + data
        self._partial.clear()
        self._partial_bytes = 0
        if len(head) < len(_BOM) and _BOM.startswith(head):
            self._partial.append(head)
            return b""
        self._started = True
        return head.removeprefix(_BOM)

    def _take_line(self, line: bytes, end: int, events: list[SseEvent]) -> None:
        if not line:
            if self._data:
                data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
                events.append(SseEvent(data, self._type, end))
            self._data.clear()
            self._data_bytes = 0
            self._type = ""
            return
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
            self._data_bytes += len(value) + 1
            self._check()
        elif name == b"event":
            self._type = value.decode("utf-8", "replace")
        elif not name:
            self.comments += 1
        # `id` and `retry` serve reconnecting, which no chat-completions stream offers; other fields are ignored.

    def _check(self) -> None:
        if self._partial_bytes + self._data_bytes > self._limit:
            raise SseOverflowError(f"an event of more than {self._limit} bytes")
