"""Which measurements are fitted and which are kept for testing: a rule with a seed, blind to every result."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from chatapp.hardware.measurements import Measurement

SEED = "20261123"
"""The day the facts were collected; set once, before the first fit."""
SHARE = 1 / 3

RULE = (
    "Within each hardware family, runs (same system, model, chips, precision, batch, lengths, tokens a step) are "
    f"ordered by SHA-256 of '{SEED}:run' and held out whole from the top until at least a third of the rows are. "
    "Claims, and rows that their own source calls faulty, are neither fitted nor counted."
)


def countable(rows: Iterable[Measurement]) -> list[Measurement]:
    """Return the rows that may be fitted or tested on."""
    return [row for row in rows if not row.claim and not row.faulty]


def held_out(rows: Iterable[Measurement]) -> set[str]:
    """Return the ids of the rows that are kept for testing."""
    families: dict[str, dict[str, list[Measurement]]] = {}
    for row in countable(rows):
        families.setdefault(row.setup.system.family, {}).setdefault(row.group, []).append(row)
    held: set[str] = set()
    for runs in families.values():
        wanted = SHARE * sum(len(run) for run in runs.values())
        taken = 0
        for name in sorted(runs, key=lambda run: hashlib.sha256(f"{SEED}:{run}".encode()).hexdigest()):
            if taken >= wanted:
                break
            taken += len(runs[name])
            held.update(row.id for row in runs[name])
    return held
