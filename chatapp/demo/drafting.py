"""A demo script drafted from a recording, so that nobody starts from an empty file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import groupby

from chatapp.recording.answers import RecordedAnswer, load_answers
from chatapp.recording.reader import Recording
from chatapp.stream.events import Delta, Finished

_TOGETHER_NS = 50_000_000
"""Requests of one prompt that left within this of each other were a comparison."""
_LEAST_S = 5


def draft_script(recording: Recording) -> str:
    """Return a script that asks what was asked, of whom it was asked.

    Raises:
        FileFormatError: a line of the recording is wrong.
    """
    title = recording.header.title or "A demo"
    answers = [answer for answer in load_answers(recording) if answer.request.prompt]
    backends = list(dict.fromkeys(answer.info.name for answer in answers))
    lines = [
        f"# Drafted from {recording.name.rpartition('/')[2]}. Add captions (`say`) and what must be true (`expect`).",
        "version: 1",
        f"title: {_text(title)}",
        f"require: [{', '.join(_text(f'backend:{name}') for name in backends)}]",
        "set: {typing: 40ms, jitter: 0.3, seed: 7}",
        "steps:",
    ]
    shown: tuple[str, ...] = ()
    for number, group in enumerate(_together(answers), start=1):
        lines += ["", f"  - chapter: {_text(f'Part {number}')}"] if number > 1 else [f"  - chapter: {_text('Part 1')}"]
        names = tuple(answer.info.name for answer in group)
        if len(names) > 1:
            lines.append(f"  - compare: [{', '.join(map(_text, names))}]")
        elif names != shown:
            lines.append(f"  - backend: {_text(names[0])}")
        shown = names if len(names) == 1 else ()
        lines += [f"  - type: {_text(group[0].request.prompt)}", "  - enter"]
        ended = sorted(zip("abcd", group, strict=False), key=lambda pair: _length_ns(pair[1]))
        lines += [_wait(stream, answer) for stream, answer in ended]
        lines.append("  - pause")
    return "\n".join(lines) + "\n"


def _together(answers: Sequence[RecordedAnswer]) -> list[list[RecordedAnswer]]:
    """Return the answers in groups that were asked at once, each stream in the order of the file."""
    groups: list[list[RecordedAnswer]] = []
    for _prompt, run in groupby(answers, key=lambda answer: answer.request.prompt):
        for answer in run:
            last = groups[-1] if groups else []
            if (
                last
                and last[0].request.prompt == answer.request.prompt
                and answer.stream not in {other.stream for other in last}
                and abs(answer.started_ns - last[0].started_ns) <= _TOGETHER_NS
                and len(last) < len("abcd")
            ):
                last.append(answer)
            else:
                groups.append([answer])
    return groups


def _wait(stream: str, answer: RecordedAnswer) -> str:
    """Return a wait for the answer's end that leaves twice the time it took."""
    within = max(_LEAST_S, round(2 * _length_ns(answer) / 1e9))
    whole = isinstance(answer.events[-1], Finished) if answer.events else False
    event = "done" if whole else "first_token" if any(isinstance(e, Delta) for e in answer.events) else "sent"
    return f"  - wait: {{event: {event}, stream: {stream}, within: {min(within, 600)}s}}"


def _length_ns(answer: RecordedAnswer) -> int:
    return max((getattr(event, "at_ns", 0) for event in answer.events), default=answer.started_ns) - answer.started_ns


def _text(text: str) -> str:
    """Return a text as YAML: JSON's quoting is a part of it."""
    return json.dumps(text, ensure_ascii=False)
