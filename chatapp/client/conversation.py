"""What has been said: turns, the branches they form, and what of it a backend must be told.

A turn is one prompt and its answer. Turns form a tree: editing an earlier prompt, or asking again, adds a sibling and
keeps the old branch. The path from a root to the *tip* is what the screen shows.

A turn that tells an earlier answer again at another system's pace (`told`) is shown, but is not context: its exchange
is in the path already.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from chatapp.stream.events import BackendKind, Message, Retell

Outcome = Literal["done", "length", "cancelled", "truncated", "failed"]
COMPLETE: tuple[Outcome, ...] = ("done", "length")
"""Outcomes of an answer that a server keeps, and that may be told again. The others are partial and marked so."""

REAL_KINDS: tuple[BackendKind, ...] = ("live", "local", "recorded")
TITLE_LIMIT = 60


@dataclass(slots=True)
class Turn:
    """One prompt and its answer, complete, partial or still coming."""

    number: int
    """Counts from 1 within the conversation."""
    parent: int | None
    prompt: str
    backend: str
    """The name a user types, e.g. `sim:cs3/kimi-k2.6`."""
    label: str = ""
    kind: BackendKind | None = None
    text: str = ""
    reasoning: str = ""
    outcome: Outcome | None = None
    """None while the answer is coming."""
    failure: str = ""
    told: str = ""
    """Whose text this answer tells again; empty for an answer of its own."""
    response_id: str = ""
    footer: str = ""
    """The figures as shown under the answer."""
    figures: dict[str, Any] = field(default_factory=dict)
    created: float = field(default_factory=time.time)
    """Seconds since the epoch."""

    @property
    def partial(self) -> bool:
        """Whether the answer broke off."""
        return self.outcome is not None and self.outcome not in COMPLETE

    @property
    def real(self) -> bool:
        """Whether a machine wrote this text, now or in a recording, as its own answer."""
        return self.kind in REAL_KINDS and not self.told


class Conversation:
    """A tree of turns with a current path.

    Args:
        identity: the store's name for it.
        title: as given by a person; empty means the first prompt's first line.
        instructions: the system prompt, for every turn.
    """

    def __init__(self, identity: str = "", *, title: str = "", instructions: str = "") -> None:
        self.identity = identity
        self.instructions = instructions
        self.turns: dict[int, Turn] = {}
        self.tip: int | None = None
        self._title = title
        self._latest_child: dict[int | None, int] = {}

    @property
    def title(self) -> str:
        """The name in lists."""
        if self._title:
            return self._title
        first = next(iter(self.turns.values()), None)
        line = first.prompt.strip().partition("\n")[0] if first else ""
        return line if len(line) <= TITLE_LIMIT else line[: TITLE_LIMIT - 1].rstrip() + "…"

    @title.setter
    def title(self, title: str) -> None:
        self._title = title.strip()

    @property
    def path(self) -> list[Turn]:
        """The turns shown, oldest first."""
        turns: list[Turn] = []
        number = self.tip
        while number is not None:
            turns.append(self.turns[number])
            number = self.turns[number].parent
        turns.reverse()
        return turns

    @property
    def last(self) -> Turn | None:
        """The newest turn of the path."""
        return self.turns[self.tip] if self.tip is not None else None

    def add(self, prompt: str, backend: str, *, told: str = "") -> Turn:
        """Append a turn to the path and return it."""
        turn = Turn(max(self.turns, default=0) + 1, self.tip, prompt, backend, told=told)
        self.restore(turn)
        self.tip = turn.number
        return turn

    def restore(self, turn: Turn) -> None:
        """Put back a turn that was saved. Parents come before children; an unknown parent becomes a root."""
        if turn.parent is not None and turn.parent not in self.turns:
            turn.parent = None
        self.turns[turn.number] = turn
        self._latest_child[turn.parent] = turn.number

    def step_back(self, turn: Turn) -> None:
        """End the path before `turn`, so that the next prompt begins a branch beside it."""
        self.tip = turn.parent

    def siblings(self, turn: Turn) -> list[Turn]:
        """Return the turns that stand in the same place, `turn` among them, oldest first."""
        return [other for other in self.turns.values() if other.parent == turn.parent]

    def walk(self, turn: Turn, step: int) -> bool:
        """Show the branch `step` places beside `turn`, down to where that branch was left. False at the end."""
        siblings = self.siblings(turn)
        index = siblings.index(turn) + step
        if not 0 <= index < len(siblings):
            return False
        number: int | None = siblings[index].number
        self._latest_child[turn.parent] = siblings[index].number
        while number is not None:
            self.tip = number
            number = self._latest_child.get(number)
        return True

    def branch_point(self) -> Turn | None:
        """Return the turn of the path nearest the tip that has siblings."""
        return next((turn for turn in reversed(self.path) if len(self.siblings(turn)) > 1), None)

    def context(self, turn: Turn) -> list[Turn]:
        """Return the earlier turns that a backend must know to answer `turn`."""
        return [earlier for earlier in self._before(turn) if earlier.text and not earlier.told]

    def _before(self, turn: Turn) -> Iterator[Turn]:
        numbers = []
        number = turn.parent
        while number is not None:
            numbers.append(number)
            number = self.turns[number].parent
        for number in reversed(numbers):
            yield self.turns[number]

    def messages(self, turn: Turn) -> tuple[Message, ...]:
        """Return everything that leads to `turn`, its prompt last."""
        messages: list[Message] = []
        for earlier in self.context(turn):
            messages += (Message("user", earlier.prompt), Message("assistant", earlier.text))
        return (*messages, Message("user", turn.prompt))

    def previous_response(self, turn: Turn, known: Collection[str]) -> str | None:
        """Return the response that `turn` follows, where the server still knows it and it holds the whole context.

        Args:
            turn: the turn to be asked.
            known: response ids of completed answers on the same connection.
        """
        context = self.context(turn)
        if not context or context[-1].outcome not in COMPLETE or context[-1].response_id not in known:
            return None
        return context[-1].response_id

    def retell(self, prompt: str, backend: str) -> Retell | None:
        """Return the text that a simulated backend should tell: the newest complete real answer to the same prompt.

        None where the backend is not simulated or no machine has answered that prompt here.
        """
        if not backend.startswith("sim:"):
            return None
        wanted = prompt.strip()
        for turn in sorted(self.turns.values(), key=lambda turn: turn.number, reverse=True):
            if turn.real and turn.outcome in COMPLETE and turn.text and turn.prompt.strip() == wanted:
                return Retell(turn.text, turn.label or turn.backend, turn.reasoning)
        return None

    def last_real(self) -> Turn | None:
        """Return the newest turn of the path that a machine answered completely."""
        return next((t for t in reversed(self.path) if t.real and t.outcome in COMPLETE and t.text), None)
