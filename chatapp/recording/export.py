"""A recording for other tools: every arrival as CSV or JSON, and the figures that follow from them."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from typing import Any, TextIO

from chatapp.recording.answers import RecordedAnswer, load_answers
from chatapp.recording.reader import Recording
from chatapp.redaction import REDACTOR
from chatapp.stream.answer import Answer
from chatapp.stream.events import Delta

COLUMNS = (
    "answer",
    "stream",
    "backend",
    "chunk",
    "channel",
    "at_s",
    "since_request_s",
    "gap_s",
    "characters",
    "tokens",
    "uncertainty_s",
    "text",
)
_NS = 1e-9


def measure(recorded: RecordedAnswer) -> Answer:
    """Return the answer with the timeline from which its figures follow."""
    answer = Answer(recorded.info, recorded.request)
    for event in recorded.events:
        answer.feed(event)
    return answer


def summarize(recording: Recording) -> dict[str, Any]:
    """Return the recording's answers with their figures, as `replay --headless --json` writes them."""
    responses = []
    for number, recorded in enumerate(load_answers(recording), start=1):
        answer = measure(recorded)
        responses.append(
            {
                "number": number,
                "stream": recorded.stream,
                "backend": recorded.info.name,
                "label": recorded.info.label,
                "prompt": recorded.request.prompt,
                "started_s": recorded.started_ns * _NS,
                **answer.final().to_json(),
            }
        )
    return {"schema": "chatapp.replay/1", "recording": describe(recording), "responses": responses}


def describe(recording: Recording) -> dict[str, Any]:
    """Return what a file says of itself, and what reading it found."""
    header = recording.header
    return {
        "file": recording.name,
        "title": header.title,
        "created": header.created,
        "app": header.app,
        "duration_s": recording.duration_ns * _NS,
        "events": recording.events,
        "seal": recording.seal,
        "redacted": recording.redacted,
        "chapters": [{"at_s": mark.at_ns * _NS, "label": mark.label} for mark in recording.marks],
        "warnings": list(recording.warnings),
    }


def arrivals(recording: Recording) -> Iterable[dict[str, Any]]:
    """Yield one row for each upstream chunk, answer by answer."""
    for number, recorded in enumerate(load_answers(recording), start=1):
        before: int | None = None
        for chunk, event in enumerate(e for e in recorded.events if isinstance(e, Delta)):
            yield {
                "answer": number,
                "stream": recorded.stream,
                "backend": recorded.info.name,
                "chunk": chunk,
                "channel": event.channel,
                "at_s": _seconds(event.at_ns),
                "since_request_s": _seconds(event.at_ns - recorded.answered_ns),
                "gap_s": _seconds(event.at_ns - before) if before is not None else None,
                "characters": len(event.text),
                "tokens": event.tokens or None,
                "uncertainty_s": _seconds(event.uncertainty_ns),
                "text": REDACTOR.text(event.text),
            }
            before = event.at_ns


def write_csv(recording: Recording, file: TextIO) -> None:
    """Write all arrivals as CSV. Cells that a spreadsheet would take for a formula are quoted with an apostrophe."""
    writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in arrivals(recording):
        writer.writerow({key: _cell(value) for key, value in row.items()})


def export_json(recording: Recording) -> dict[str, Any]:
    """Return figures and all arrivals as one JSON document."""
    return {**summarize(recording), "schema": "chatapp.recording/1", "arrivals": list(arrivals(recording))}


def _seconds(ns: int) -> str:
    """Nanoseconds as exact decimal seconds: a float would lose the last digits after some hours."""
    sign, ns = ("-", -ns) if ns < 0 else ("", ns)
    return f"{sign}{ns // 1_000_000_000}.{ns % 1_000_000_000:09d}"


def _cell(value: Any) -> Any:
    if isinstance(value, str) and value[:1] in ("=", "+", "@", "\t", "\r") and len(value) > 1:
        return "'" + value
    return value
