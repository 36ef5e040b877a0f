"""Reading recordings: one pass checks, seals and indexes a file, then any part of it can be read.

A file is foreign input. Nothing in it can make a reader use more memory than a block, loop, or raise anything but
`FileFormatError` with a line number; fuzzed in tests/recording/test_reader.py.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Literal, NamedTuple, Self

import msgspec

from chatapp.clock import NS_PER_S
from chatapp.errors import FileFormatError
from chatapp.recording.format import (
    FORMAT,
    MAX_BYTES,
    MAX_INTERVAL_S,
    MAX_LINE_BYTES,
    VERSION,
    Header,
    Seal,
    depth_exceeded,
    interval_ns,
    seal_line,
)
from chatapp.recording.source import split_lines, unpack

SealState = Literal["sealed", "unsealed", "broken"]

_LineTuple = tuple[float, str, msgspec.Raw]
_lines = msgspec.json.Decoder(_LineTuple)
_header = msgspec.json.Decoder(Header)
_seal = msgspec.json.Decoder(Seal)
_text = msgspec.json.Decoder(str)


class Line(NamedTuple):
    """One line with its time."""

    number: int
    at_ns: int
    """Nanoseconds since the start of the recording."""
    code: str
    data: msgspec.Raw


class Block(NamedTuple):
    """Where reading can begin: a whole number of lines of about 256 KiB."""

    at_ns: int
    """Time of the line before the first of the block."""
    offset: int
    line: int
    """Number of the block's first line."""


class Mark(NamedTuple):
    """A chapter mark."""

    at_ns: int
    line: int
    label: str


class Start(NamedTuple):
    """Where an answer begins."""

    at_ns: int
    line: int
    stream: str


class _Lane(msgspec.Struct):
    """The one member that every `q` line must have."""

    s: str


_lane = msgspec.json.Decoder(_Lane)


class Recording:
    """An open recording. Use `Recording.open`; it is also a context manager."""

    def __init__(self, name: str, file: IO[bytes]) -> None:
        self.name = name
        self.header = Header(FORMAT, VERSION)
        self.blocks: list[Block] = []
        self.marks: list[Mark] = []
        self.starts: list[Start] = []
        self.duration_ns = 0
        self.events = 0
        self.seal: SealState = "unsealed"
        self.redacted: int | None = None
        self.warnings: list[str] = []
        """One line each: torn last line, no seal, hash that differs."""
        self._file = file
        self._end = 0

    @classmethod
    def open(cls, path: Path | str, *, force: bool = False) -> Self:
        """Open a file, check it and index it: 0.7 s for a million lines.

        Args:
            path: a `.tokcast` or `.tokcast.gz` file.
            force: read a file whose content differs from its seal.

        Raises:
            FileFormatError: it cannot be read, is not a recording of a known version, a line is wrong, or its content
                differs from its seal and `force` is not set.
        """
        path = Path(path)
        try:
            raw = path.open("rb")
        except OSError as exc:
            raise FileFormatError(path, f"cannot be read: {exc.strerror or exc}") from None
        return cls.read(str(path), raw, force=force)

    @classmethod
    def read(cls, name: str, file: IO[bytes], *, force: bool = False) -> Self:
        """Check and index an open, seekable file, as `open` does; it is closed with the recording.

        Raises:
            FileFormatError: as `open` says.
        """
        recording = cls(name, file)
        try:
            if file.read(2) == b"\x1f\x8b":
                recording._file = unpack(name, file, recording.warnings)
                file.close()
            recording._file.seek(0)
            recording._scan()
        except OSError as exc:
            recording.close()
            raise FileFormatError(name, f"cannot be read: {exc.strerror or exc}") from None
        except BaseException:
            recording.close()
            raise
        if recording.seal == "broken" and not force:
            recording.close()
            raise FileFormatError(name, recording.warnings[-1], hint="chatapp replay --force shows it all the same")
        return recording

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._file.close()

    @property
    def streams(self) -> list[str]:
        """The streams on which something was asked, in order."""
        return list(dict.fromkeys(start.stream for start in self.starts))

    def block_before(self, at_ns: int) -> int:
        """Return the index of the last block that begins at or before a time."""
        return max(0, bisect_right(self.blocks, at_ns, key=lambda b: b.at_ns) - 1)

    def block_of_line(self, number: int) -> int:
        """Return the index of the block that holds a line."""
        return max(0, bisect_right(self.blocks, number, key=lambda b: b.line) - 1)

    def lines(self, block: int = 0) -> Iterator[Line]:
        """Yield the lines from a block on: neither header nor seal nor comments.

        Raises:
            FileFormatError: a line is wrong; with its number.
        """
        if not self.blocks:
            return
        at_ns, offset, number = self.blocks[block]
        while offset < self._end:
            # Each block is read by its own seek, so that several readers of one recording do not disturb each other.
            self._file.seek(offset)
            lines, unended = split_lines(self._file, self._end - offset)
            if unended is not None:
                lines.append(unended)
            for line, entry in zip(lines, self._decode_all(lines, number), strict=True):
                if entry is not None:
                    at_ns += round(entry[0] * NS_PER_S)
                    if entry[1] != "z":
                        yield Line(number, at_ns, entry[1], entry[2])
                number += 1
                offset += len(line)

    # ------------------------------------------------------------------ the first pass

    def _scan(self) -> None:
        digest = hashlib.sha256()
        offset = self._read_header(digest)
        number, at_ns = 2, 0
        sealed: Seal | None = None
        while True:
            lines, torn = split_lines(self._file, MAX_BYTES)
            if not lines and torn is None:
                break
            if torn is not None and self._whole(torn):
                lines.append(torn)  # edited by hand, without a newline at the end
                torn = None
            if sealed is not None and (lines or torn):
                self._break("there is more after the seal")
                sealed = None
                self._end = offset
                self.duration_ns = at_ns
                return
            self.blocks.append(Block(at_ns, offset, number))
            at_ns, sealed, count = self._scan_block(lines, number, at_ns, digest)
            number += count
            offset += sum(map(len, lines[:count]))
            if count < len(lines):
                self._break("there is more after the seal")
                sealed = None
                break
            if torn is not None:
                self.warnings.append(f"line {number} is cut off and left out")
                break
            if offset > MAX_BYTES:
                raise FileFormatError(self.name, f"larger than {MAX_BYTES >> 30} GiB", line=number)
        self._end = offset
        self.duration_ns = at_ns
        self._check_seal(sealed, digest.hexdigest())

    def _read_header(self, digest: hashlib._Hash) -> int:
        line = self._file.readline(MAX_LINE_BYTES + 1)
        if len(line) > MAX_LINE_BYTES:
            raise FileFormatError(self.name, f"longer than {MAX_LINE_BYTES} bytes", line=1)
        if not line.strip():
            raise FileFormatError(self.name, "empty: not a recording", line=1)
        if depth_exceeded(line):
            raise FileFormatError(self.name, "nested too deeply", line=1)
        try:
            self.header = _header.decode(line)
        except (ValueError, RecursionError) as exc:
            raise FileFormatError(self.name, f"not a recording: {_reason(exc)}", line=1) from None
        if self.header.format != FORMAT:
            raise FileFormatError(self.name, f"not a recording: format {self.header.format[:40]!r}", line=1)
        if self.header.version != VERSION:
            raise FileFormatError(
                self.name,
                f"recording of version {self.header.version}; this chatapp reads version {VERSION}",
                line=1,
                hint="a newer chatapp may read it" if self.header.version > VERSION else "",
            )
        digest.update(line)
        return len(line)

    def _scan_block(
        self, lines: list[bytes], number: int, at_ns: int, digest: hashlib._Hash
    ) -> tuple[int, Seal | None, int]:
        """Take in a block's lines, to the seal if it is there; return time, seal and how many lines were taken."""
        data = b"".join(lines)
        try:
            entries: list[_LineTuple | None] = [*_lines.decode_lines(data)]
            if len(entries) != len(lines):
                raise ValueError
        except (ValueError, RecursionError):
            # A comment, an empty line or an error: line by line says which, and where.
            entries = [self._decode(line, number + i) for i, line in enumerate(lines)]
        for i, entry in enumerate(entries):
            if entry is None:
                continue
            interval, code, raw = entry
            if not 0 <= interval <= MAX_INTERVAL_S:
                self._checked_interval(interval, number + i)
            at_ns += round(interval * NS_PER_S)
            if code == "t":
                self.events += 1
            elif code == "z":
                digest.update(b"".join(lines[:i]))
                return at_ns, self._read_seal(raw, lines[i], number + i), i + 1
            else:
                self.events += 1
                if code == "m":
                    self.marks.append(Mark(at_ns, number + i, self._label(raw, number + i)))
                elif code == "q":
                    self.starts.append(Start(at_ns, number + i, self._stream(raw, number + i)))
                elif code == "g":
                    self.warnings.append(f"line {number + i}: capture stopped here")
        digest.update(data)
        return at_ns, None, len(lines)

    def _decode_all(self, lines: list[bytes], number: int) -> Iterable[_LineTuple | None]:
        """Return the parts of lines; one by one where it must be known which of them is wrong."""
        try:
            entries = _lines.decode_lines(b"".join(lines))
        except (ValueError, RecursionError):
            entries = []
        if len(entries) == len(lines) and not any(map(depth_exceeded, lines)):
            return entries
        return (self._decode(line, number + i) for i, line in enumerate(lines))

    def _whole(self, line: bytes) -> bool:
        try:
            return self._decode(line, 0) is not None
        except FileFormatError:
            return False

    def _decode(self, line: bytes, number: int) -> _LineTuple | None:
        """Return a line's parts, None for comments and empty lines."""
        if len(line) > MAX_LINE_BYTES:
            raise FileFormatError(self.name, f"longer than {MAX_LINE_BYTES} bytes", line=number)
        stripped = line.strip()
        if not stripped or stripped.startswith(b"#"):
            return None
        if depth_exceeded(line):
            raise FileFormatError(self.name, "nested too deeply", line=number)
        try:
            entry: _LineTuple = _lines.decode(line)
        except (ValueError, RecursionError) as exc:
            raise FileFormatError(self.name, f"not a line of a recording: {_reason(exc)}", line=number) from None
        self._checked_interval(entry[0], number)
        return entry

    def _checked_interval(self, interval: float, number: int) -> None:
        try:
            interval_ns(interval)
        except ValueError as exc:
            raise FileFormatError(self.name, str(exc), line=number) from None

    def _stream(self, raw: msgspec.Raw, number: int) -> str:
        try:
            return _lane.decode(raw).s
        except (ValueError, RecursionError) as exc:
            raise FileFormatError(self.name, f"request: {_reason(exc)}", line=number) from None

    def _label(self, raw: msgspec.Raw, number: int) -> str:
        try:
            return _text.decode(raw)
        except ValueError as exc:
            raise FileFormatError(self.name, f"marker: {_reason(exc)}", line=number) from None

    # ------------------------------------------------------------------ the seal

    def _read_seal(self, raw: msgspec.Raw, line: bytes, number: int) -> Seal:
        try:
            seal = _seal.decode(raw)
        except ValueError as exc:
            raise FileFormatError(self.name, f"seal: {_reason(exc)}", line=number) from None
        if seal.crc is not None and seal_line(seal).strip() != line.strip():
            self._break("its seal was changed")
        return seal

    def _check_seal(self, seal: Seal | None, digest: str) -> None:
        if self.seal == "broken":
            return
        if seal is None:
            self.warnings.append("not sealed: capture was interrupted, or the file was cut short")
        elif seal.sha256 != digest:
            self._break("changed after it was sealed: its content has another SHA-256 than its seal")
        elif seal.events != self.events:
            self._break(f"changed after it was sealed: {self.events} events, and its seal says {seal.events}")
        else:
            self.seal = "sealed"
            self.redacted = seal.redacted

    def _break(self, reason: str) -> None:
        self.seal = "broken"
        self.warnings.append(reason)


def _reason(exc: BaseException) -> str:
    return "nested too deeply" if isinstance(exc, RecursionError) else str(exc)[:200]
