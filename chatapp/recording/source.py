"""The bytes of a recording: unpacked where they are compressed, and cut into whole lines."""

from __future__ import annotations

import gzip
import io
import tempfile
import zlib
from typing import IO

from chatapp.errors import FileFormatError
from chatapp.recording.format import MAX_BYTES, MAX_LINE_BYTES, MAX_RATIO

BLOCK = 1 << 18


def unpack(name: str, raw: IO[bytes], warnings: list[str]) -> IO[bytes]:
    """Unpack gzip data into a temporary file: seeking back in gzip means unpacking from the start.

    Raises:
        FileFormatError: the data is broken, or a bomb.
    """
    raw.seek(0, io.SEEK_END)
    limit = min(MAX_BYTES, max(raw.tell() * MAX_RATIO, 8 << 20))
    raw.seek(0)
    spool: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=64 << 20)  # noqa: SIM115 - closed by the recording
    try:
        with gzip.open(raw, "rb") as unpacked:
            size = 0
            while piece := unpacked.read1(BLOCK):
                size += len(piece)
                if size > limit:
                    raise FileFormatError(name, f"unpacks to more than {limit >> 20} MiB: not read")
                spool.write(piece)
    except EOFError:
        warnings.append("the compressed data is cut off")
    except (zlib.error, gzip.BadGzipFile) as exc:
        spool.close()
        raise FileFormatError(name, f"broken gzip data: {exc}") from None
    except FileFormatError:
        spool.close()
        raise
    return spool


def split_lines(file: IO[bytes], limit: int) -> tuple[list[bytes], bytes | None]:
    """Return the next whole lines and, at the end of the file, what follows the last newline."""
    data = file.read(min(BLOCK, limit))
    if len(data) == BLOCK or len(data) < limit:
        data += file.readline(min(MAX_LINE_BYTES + 1, limit - len(data)))
    lines = io.BytesIO(data).readlines()
    torn = None
    if lines and not lines[-1].endswith(b"\n") and len(lines[-1]) <= MAX_LINE_BYTES:
        torn = lines.pop()
    return lines, torn
