"""The file format `tokcast`, version 1: what a line is, what each code means, and what a reader accepts.

A recording is NDJSON shaped like asciicast v3: the first line is a JSON header, every later line an array
`[interval_s, code, data]` whose interval is relative to the line before. Unknown codes and unknown members are skipped,
lines that begin with `#` are comments. `tokcast.schema.json` beside this module says the same to other tools.

Two rules make figures that are recomputed from a file equal the live ones to the nanosecond:

* An interval has six decimals, and what rounding took off is carried into the next interval, so that a million lines do
  not drift (asciinema 3 does the same).
* An event that has an instant of its own (a chunk's arrival, the request's departure, the end) states it as `ns`: the
  nanoseconds to add to its line's time. It holds the sub-microsecond rest, and lets a line be written after a later one
  of another stream, where it is negative. Left out where it is 0.
"""

from __future__ import annotations

import math
import zlib
from datetime import UTC, datetime
from typing import Any

import msgspec

from chatapp.clock import NS_PER_S, NS_PER_US

FORMAT = "tokcast"
VERSION = 1

MAX_LINE_BYTES = 1 << 20
MAX_DEPTH = 32
MAX_INTERVAL_S = 86_400.0
MAX_BYTES = 2 << 30
"""Unpacked size at which reading stops: 30 million chunks."""
MAX_RATIO = 250
"""A gzip file that unpacks to more than this many times its size is taken for a bomb. Recordings reach 10 to 30."""

CODES: dict[str, str] = {
    "q": "request: messages and parameters; begins an answer on its stream",
    "h": "head: the backend behind the answer",
    "b": "begin: the request left, the zero point of all latencies",
    "t": "text: one upstream chunk, `x` answer or `r` reasoning",
    "u": "usage as the server counted it",
    "v": "what the server says of its own speed",
    "n": "notice to the reader",
    "d": "done",
    "e": "error",
    "c": "cancelled by the reader",
    "m": "marker: a chapter's title",
    "k": "key pressed in the app",
    "i": "text typed in the app",
    "g": "gap: capture stopped here",
    "x": "exit of the app",
    "z": "seal: number of events, redactions, SHA-256 of all lines before it",
}


class Header(msgspec.Struct, frozen=True, omit_defaults=True):
    """The first line. Unknown members are allowed and ignored."""

    format: str
    version: int
    created: str = ""
    """When capture began, UTC, RFC 3339. The only wall-clock time in a file; no figure comes from it."""
    title: str = ""
    app: dict[str, str] = {}
    clock: str = "monotonic"
    idle_time_limit: float | None = None
    """Seconds to which a player may shorten a pause; the lines stay exact."""
    streams: dict[str, dict[str, Any]] = {}
    redaction: dict[str, Any] = {}


class Seal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The last line of a file that was closed in order. Nothing may be added to it: no byte of it is unguarded."""

    events: int
    """Lines before the seal, without header and comments."""
    redacted: int
    sha256: str
    """Over all earlier lines."""
    crc: int | None = None
    """CRC-32 over the seal's own line as it is without this member, since the hash does not cover it."""


def seal_line(seal: Seal) -> bytes:
    """Return the line of a seal, its CRC computed."""
    bare = {"events": seal.events, "redacted": seal.redacted, "sha256": seal.sha256}
    crc = zlib.crc32(format_line(0, "z", msgspec.json.encode(bare)))
    return format_line(0, "z", msgspec.json.encode({**bare, "crc": crc}))


def utc_now() -> str:
    """Return the wall-clock time for a header."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def format_line(micros: int, code: str, data: bytes) -> bytes:
    """Return one line: an interval in whole microseconds, a code, and encoded JSON."""
    return b'[%d.%06d,"%b",%b]\n' % (micros // 1_000_000, micros % 1_000_000, code.encode(), data)


class Quantizer:
    """Turns instants into intervals of whole microseconds whose sum never strays from the instants.

    Args:
        start_ns: the instant that is 0.0 in the file.
    """

    __slots__ = ("line_ns",)

    def __init__(self, start_ns: int) -> None:
        self.line_ns = start_ns
        """The time of the last line as a reader will compute it, counted as `start_ns` is."""

    def step(self, at_ns: int) -> tuple[int, int]:
        """Return the interval in microseconds for an instant, and the `ns` that is left over. Never goes back."""
        ahead = at_ns - self.line_ns
        micros = ahead // NS_PER_US if ahead > 0 else 0
        self.line_ns += micros * NS_PER_US
        return micros, ahead - micros * NS_PER_US


def interval_ns(interval_s: float) -> int:
    """Return an interval as read, in nanoseconds.

    Raises:
        ValueError: it is negative, not finite, or longer than a day.
    """
    if not math.isfinite(interval_s) or not 0 <= interval_s <= MAX_INTERVAL_S:
        raise ValueError(f"interval {interval_s!r} is not between 0 and {MAX_INTERVAL_S:.0f} seconds")
    return round(interval_s * NS_PER_S)


def depth_exceeded(line: bytes) -> bool:
    """Return whether brackets nest deeper than a reader accepts. Cheap for ordinary lines: two counts in C."""
    if line.count(b"[") + line.count(b"{") <= MAX_DEPTH:
        return False
    depth = 0
    in_string = escaped = False
    for byte in line:
        if in_string:
            if escaped:
                escaped = False
            elif byte == 0x5C:  # backslash
                escaped = True
            elif byte == 0x22:  # quote
                in_string = False
        elif byte == 0x22:
            in_string = True
        elif byte in b"[{":
            depth += 1
            if depth > MAX_DEPTH:
                return True
        elif byte in b"]}":
            depth -= 1
    return False
