"""Redaction after the fact: a copy of a recording without what should not be in it, every interval kept."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from pathlib import Path
from typing import Any

import msgspec

from chatapp.recording.answers import decode_line
from chatapp.recording.format import FORMAT, VERSION, Quantizer, Seal, format_line, seal_line
from chatapp.recording.reader import Recording
from chatapp.recording.sink import open_sink
from chatapp.redaction import Redactor
from chatapp.stream.events import Delta, Request

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
_TIMED = "btdce"
"""Codes whose event has an instant of its own."""


def redact_pieces(pieces: list[str], redactor: Redactor) -> list[str]:
    """Return pieces of one text without the secrets in it, also where one runs over several pieces.

    What replaces a secret goes into the piece in which the secret began.
    """
    spans = redactor.spans("".join(pieces))
    if not spans:
        return pieces
    redacted: list[str] = []
    begin = 0
    for piece in pieces:
        end = begin + len(piece)
        kept, position = [], begin
        for start, stop, replacement in spans:
            if stop <= begin or start >= end:
                continue
            kept.append(piece[position - begin : max(start, position) - begin])
            if start >= begin:
                kept.append(replacement)
            position = min(stop, end)
        kept.append(piece[position - begin :])
        redacted.append("".join(kept))
        begin = end
    return redacted


def redact_recording(recording: Recording, target: Path, redactor: Redactor) -> int:
    """Write a redacted, sealed copy and return the number of redactions.

    Raises:
        UsageError: the target exists or cannot be created.
        FileFormatError: a line of the recording is wrong.
    """
    texts = _redacted_texts(recording, redactor)
    sink = open_sink(target)
    digest = hashlib.sha256()
    events = 0

    def write(line: bytes) -> None:
        sink.write(line)
        digest.update(line)

    try:
        header = msgspec.to_builtins(recording.header)
        write(_encode({**redactor.value(header), "format": FORMAT, "version": VERSION}) + b"\n")
        quantizer = Quantizer(0)
        for line in recording.lines():
            micros, rest = quantizer.step(line.at_ns)
            data: Any = _decode(line.data)
            text = texts.get(line.number)
            if text is None:
                data = redactor.value(data)
            else:
                key = "x" if data.get("x") is not None else "r"
                data = {**redactor.value({k: v for k, v in data.items() if k not in ("x", "r")}), key: text}
            if rest and line.code in _TIMED:
                data["ns"] = data.get("ns", 0) + rest  # the source had a finer interval than ours
            write(format_line(micros, line.code, _encode(data)))
            events += 1
        sink.write(seal_line(Seal(events, redactor.hits, digest.hexdigest())))
    finally:
        sink.close()
    return redactor.hits


def _redacted_texts(recording: Recording, redactor: Redactor) -> dict[int, str]:
    """Return the new texts of text lines by line number: secrets are looked for in whole answers, not in chunks."""
    runs: dict[tuple[str, str], list[tuple[int, str]]] = defaultdict(list)
    texts: dict[int, str] = {}

    def finish(run: list[tuple[int, str]]) -> None:
        redacted = redact_pieces([text for _number, text in run], redactor)
        texts.update(zip((number for number, _text in run), redacted, strict=True))
        run.clear()

    for line in recording.lines():
        entry = decode_line(recording, line)
        if entry is None:
            continue
        if isinstance(entry.item, Request):
            for channel in ("answer", "reasoning"):
                finish(runs[entry.stream, channel])
            for message in entry.item.messages:
                redactor.learn(message.content)
        elif isinstance(entry.item, Delta):
            runs[entry.stream, entry.item.channel].append((line.number, entry.item.text))
    for run in runs.values():
        finish(run)
    return texts
