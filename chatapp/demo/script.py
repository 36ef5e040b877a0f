"""What a demo script says, as values. `chatapp.demo.parsing` reads them from YAML.

The verbs are those of VHS tapes where one exists there, so that they need no learning. Every step knows the line and
column it stands at, for what goes wrong later.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

FaultKind = Literal["latency", "stall", "disconnect", "reset", "malformed", "status", "slice", "limit"]
EventName = Literal["sent", "first_token", "done", "failed"]
"""`done`: the answer ended, whole, cut or cancelled; `failed`: it broke off."""

STREAMS = "abcd"
"""Names of the streams: `a` is the chat or the first lane of a comparison."""

FIGURES = {
    "ttft_ms": "ttft_ms",
    "ttfa_ms": "ttfa_ms",
    "tps": "output_speed_tps",
    "e2e_ms": "e2e_ms",
    "icl_ms": "icl_ms",
    "icl_p99_ms": "icl_p99_ms",
    "tokens": "output_tokens",
    "characters": "characters",
    "text": "text",
    "outcome": "outcome",
}
"""What `expect` can look at, and what it is called in `chatapp.stream.figures.Figures`."""

COMPARISONS = ("lt", "gt", "le", "ge", "eq", "matches")


class Place(NamedTuple):
    """Where something stands in a file, both from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step."""

    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Chapter(Step):
    """A new chapter begins."""

    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Say(Step):
    """Show a caption until the next one."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Type(Step):
    """Type a text as a person would."""

    text: str
    speed_ns: int | None = None
    """Time between two keys; None takes the script's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key(Step):
    """Press a key; `enter` is one."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest(Step):
    """Let time pass."""

    duration_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait(Step):
    """Wait for something that happens after the last key was pressed."""

    within_ns: int
    event: EventName | None = None
    stream: str = "a"
    screen: re.Pattern[str] | None = None
    settled_ns: int | None = None
    """How long nothing visible must have changed."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """What one figure, or the text, must be like."""

    figure: str
    comparison: str
    value: float | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Expect(Step):
    """The last answer of a stream must be like this."""

    expectations: tuple[Expectation, ...]
    stream: str = "a"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause(Step):
    """Wait for the presenter; a check goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend(Step):
    """Choose what answers in the chat."""

    name: str
    fallback: str = ""
    """What is asked instead where no text has come `within_ns` after Enter."""
    within_ns: int = 2_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Compare(Step):
    """Show several backends side by side."""

    backends: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Play(Step):
    """Show a recording to its end."""

    cassette: Path
    speed: float | None = 1.0
    repace: str = ""
    """A simulated backend that tells the same texts beside it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault(Step):
    """Something goes wrong in the next answer of a stream."""

    kind: FaultKind
    stream: str = "a"
    at_tokens: int = 0
    duration_ns: int = 0
    status: int = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen(Step):
    """The screen must look like this picture."""

    golden: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Adjust(Step):
    """Change the script's settings from here on."""

    settings: dict[str, int | float]


@dataclass(frozen=True, slots=True)
class Pace:
    """The settings of a script."""

    typing_ns: int = 60_000_000
    jitter: float = 0.3
    """How uneven typing is: the standard deviation of a key's delay as a share of it."""
    seed: int = 7
    speed: float = 1.0
    """2 types and rests twice as fast. Answers keep their own pace."""
    cols: int = 100
    rows: int = 30


@dataclass(frozen=True, slots=True)
class Script:
    """A demo."""

    path: Path
    title: str
    steps: tuple[Step, ...]
    pace: Pace = Pace()
    require: tuple[tuple[str, Place], ...] = ()
    """Names that must be there before the first frame: `backend:NAME`, `file:PATH`."""
    summary: str = ""
    """The comment at the head of the file: what the demo is about."""
    chapters: tuple[int, ...] = field(default=())
    """Indexes of the steps that begin a chapter."""

    @property
    def name(self) -> str:
        """The name to type: the file's, without folder and extension."""
        return self.path.stem
