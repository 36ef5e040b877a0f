"""HTTP/1.1's chunked transfer coding (RFC 9112 7.1), decoded without I/O.

The HTTP library under the SDK spends some 30 us on each chunk, which at 20,000 chunks a second is most of a core; this
decoder needs one. It stops before the last chunk, so that the library can see the end of the body itself and keep the
connection.
"""

from __future__ import annotations

MAX_SIZE_LINE = 4096
"""A chunk-size line with extensions; servers send a handful of bytes."""


class ChunkedError(ValueError):
    """The body does not follow the transfer coding."""


class ChunkedDecoder:
    """Incremental decoder of one chunked body."""

    def __init__(self) -> None:
        self._line = b""  # an unfinished size line
        self._left = 0  # bytes of the current chunk's data still to come
        self._closing = b""  # what remains of the CRLF after a chunk's data
        self.fault: ChunkedError | None = None
        """What is wrong with the bytes after those that `feed` returned last; it raises it when called again."""
        self.rest: bytes | None = None
        """From the first byte of the last chunk on; None until it has come."""

    def feed(self, data: bytes) -> bytes:
        """Take the bytes of one read and return the body's bytes in them.

        Raises:
            ChunkedError: this is no chunked body; what came before the fault has been returned.
        """
        if self.fault is not None:
            raise self.fault
        out: list[bytes] = []
        try:
            self._take(data, out)
        except ChunkedError as exc:
            if not out:
                raise
            self.fault = exc
        return out[0] if len(out) == 1 else b"".join(out)

    def _take(self, data: bytes, out: list[bytes]) -> None:
        position = 0
        while position < len(data):
            if self._left:
                piece = data[position : position + self._left]
                out.append(piece)
                position += len(piece)
                self._left -= len(piece)
                if not self._left:
                    self._closing = b"\r\n"
            elif self._closing:
                if len(self._closing) == 2 and data.startswith(b"\r\n", position):
                    self._closing = b""
                    position += 2
                    continue
                if not self._closing.startswith(data[position : position + 1]):
                    raise ChunkedError("a chunk is longer than its size says")
                self._closing = self._closing[1:]
                position += 1
            else:
                end = data.find(b"\n", position)
                line = self._line + (data[position:] if end < 0 else data[position : end + 1])
                if len(line) > MAX_SIZE_LINE:
                    raise ChunkedError("a chunk has no size line")
                if end < 0:
                    self._line = line
                    break
                position = end + 1
                self._line = b""
                self._left = _size(line)
                if not self._left:
                    self.rest = line + data[position:]
                    break


def _size(line: bytes) -> int:
    digits = line.partition(b";")[0].strip()
    # int() alone would accept signs, underscores and 0x.
    if not digits or len(digits) > 16 or digits.strip(b"0123456789abcdefABCDEF"):
        raise ChunkedError(f"not a chunk size: {line[:40]!r}")
    return int(digits, 16)
