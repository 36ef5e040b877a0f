"""Where a recorder's lines go: a plain file, written line by line, or gzip, written at each sync."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import zlib
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, Protocol

from chatapp.errors import UsageError

_datasync = getattr(os, "fdatasync", os.fsync)  # macOS and Windows have only fsync


class Sink(Protocol):
    """Takes whole lines."""

    name: str
    failed: bool
    """Whether a write failed and nothing more can be added."""

    def write(self, lines: bytes) -> None:
        """Add one line or several.

        Raises:
            OSError: they could not be added; the file ends with the line before.
        """

    def sync(self) -> None:
        """Hand what was written to the disk, without waiting for it.

        Raises:
            OSError: an earlier hand-over failed, or the file is gone.
        """

    def digest(self) -> str:
        """Return the SHA-256 of all bytes so far, uncompressed."""

    def close(self) -> None:
        """Hand everything to the disk, wait for it, and close."""


def open_sink(path: Path) -> Sink:
    """Create a recording's file.

    Raises:
        UsageError: it exists and holds something, or cannot be created; a folder is never made for it.
    """
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o600)
    except FileNotFoundError:
        raise UsageError(
            f"{path}: the folder {str(path.parent)!r} does not exist", hint="create it, or name another"
        ) from None
    except OSError as exc:
        raise UsageError(f"{path}: cannot be written: {exc.strerror or exc}", hint="choose another file") from None
    status = os.fstat(fd)
    if stat.S_ISREG(status.st_mode) and status.st_size:
        os.close(fd)
        raise UsageError(
            f"{path}: exists already; a recording is never overwritten", hint="choose another name, or remove the file"
        )
    return GzipSink(fd, str(path)) if path.suffix == ".gz" else PlainSink(fd, str(path))


_HASHED_AT_ONCE = 256
"""Writes whose bytes are hashed, and compressed, in one go: 0.04 us a line instead of 0.12 (and 1.0 compressed)."""


class PlainSink:
    """One `write` per call on a descriptor opened with O_APPEND, so that a killed process leaves whole lines.

    Syncing takes 0.1 ms on a fast disk and a hundred times that on a slow one, so a thread does it.
    """

    def __init__(self, fd: int, name: str) -> None:
        self.name = name
        self.failed = False
        self._fd = fd
        self._size = 0
        """Bytes in the file, without those of `_pending`."""
        self._hash = hashlib.sha256()
        self._pending: list[bytes] = []
        """What is written and not yet hashed: only the seal needs the hash."""
        self._syncing: Future[None] | None = None
        self._thread: ThreadPoolExecutor | None = None

    def write(self, lines: bytes) -> None:
        """Write whole lines, all of them or none."""
        if self.failed:
            raise OSError("an earlier write failed")
        try:
            written = os.write(self._fd, lines)
            if written != len(lines):
                self._append(lines[written:])
        except OSError:
            self._cut()
            raise
        self._pending.append(lines)
        if len(self._pending) >= _HASHED_AT_ONCE:
            self._settle()

    def _append(self, data: bytes) -> None:
        """Bring bytes into the file; a nearly full disk takes a part of them, and refuses the rest sooner or later."""
        while data:
            data = data[os.write(self._fd, data) :]

    def _settle(self) -> None:
        """Hash what is pending."""
        data = b"".join(self._pending)
        self._pending.clear()
        self._hash.update(data)
        self._size += len(data)

    def _cut(self) -> None:
        """Go back to the last whole line."""
        self.failed = True
        with contextlib.suppress(OSError):  # a device or a pipe cannot be cut
            os.ftruncate(self._fd, self._size + sum(map(len, self._pending)))
            self.failed = False  # what is there is whole, so that a later close may still seal it

    def sync(self) -> None:
        """Start a sync where none is running."""
        if self._syncing is not None:
            if not self._syncing.done():
                return
            self._syncing.result()
        status = os.fstat(self._fd)
        if stat.S_ISREG(status.st_mode) and status.st_nlink == 0:
            raise FileNotFoundError(2, "the file was removed")
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "recording-sync")
        self._syncing = self._thread.submit(_sync_file, self._fd)

    def digest(self) -> str:
        """Return the SHA-256 of all lines so far."""
        self._settle()
        return self._hash.hexdigest()

    def close(self) -> None:
        """Wait for the disk and close."""
        if self._thread is not None:
            self._thread.shutdown(wait=True)
        with contextlib.suppress(OSError):  # the kernel has the lines; nobody is left to tell that the disk has not
            _sync_file(self._fd)
        os.close(self._fd)


class GzipSink(PlainSink):
    """Compressed: about 6 bytes a chunk instead of 50.

    What came since the last sync, at most a second, dies with a killed process. The file is one gzip member; further
    ones may be appended.
    """

    def __init__(self, fd: int, name: str) -> None:
        super().__init__(fd, name)
        self._compressor = zlib.compressobj(6, zlib.DEFLATED, 31)  # 31: with gzip's own header and trailer

    def write(self, lines: bytes) -> None:
        """Take lines; they reach the file with the next full block or sync."""
        if self.failed:
            raise OSError("an earlier write failed")
        self._pending.append(lines)
        if len(self._pending) >= _HASHED_AT_ONCE:
            self._settle()

    def _settle(self) -> None:
        """Hash and compress what is pending."""
        data = b"".join(self._pending)
        self._pending.clear()
        self._hash.update(data)
        self._add(self._compressor.compress(data))

    def _add(self, data: bytes) -> None:
        """Bring compressed bytes into the file."""
        try:
            self._append(data)
        except OSError:
            self._cut()
            raise
        self._size += len(data)

    def _cut(self) -> None:
        """A compressed stream with a hole cannot be continued: it stays failed, and readable up to here."""
        self._pending.clear()
        super()._cut()
        self.failed = True

    def sync(self) -> None:
        """Bring all lines so far into the file, then onto the disk."""
        self._settle()
        self._add(self._compressor.flush(zlib.Z_SYNC_FLUSH))
        super().sync()

    def close(self) -> None:
        """End the gzip member, wait for the disk and close."""
        if not self.failed:
            with contextlib.suppress(OSError):  # a reader takes a member that does not end as a file cut short
                self._settle()
                self._add(self._compressor.flush(zlib.Z_FINISH))
        super().close()


class StreamSink:
    """A binary stream, such as a recording in memory. The stream stays open."""

    failed = False

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self.name = name
        self._stream = stream
        self._hash = hashlib.sha256()

    def write(self, lines: bytes) -> None:
        """Write lines."""
        self._stream.write(lines)
        self._hash.update(lines)

    def sync(self) -> None:
        """Flush."""
        self._stream.flush()

    def digest(self) -> str:
        """Return the SHA-256 of all lines so far."""
        return self._hash.hexdigest()

    def close(self) -> None:
        """Flush."""
        self._stream.flush()


def _sync_file(fd: int) -> None:
    try:
        _datasync(fd)
    except OSError as exc:
        if exc.errno not in (22, 95):  # EINVAL, ENOTSUP: a device or a pipe, which has no disk behind it
            raise
