"""Names of simulated systems: `SYSTEM[xN]/MODEL`, with or without the scheme `sim:`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from chatapp.errors import UsageError

MAX_COUNT = 8192
"""More than anybody has joined to serve one model, and enough for the smallest chips to hold a trillion parameters."""

_SYSTEM = re.compile(r"^(?P<system>[a-z0-9][a-z0-9._-]*?)(?:x(?P<count>\d+))?$")


@dataclass(frozen=True, slots=True)
class SystemName:
    """A system and how many of it; no count means the smallest number that holds the model."""

    system: str
    count: int | None = None

    def __str__(self) -> str:
        return self.system if self.count is None else f"{self.system}x{self.count}"


@dataclass(frozen=True, slots=True)
class SimulationName:
    """What `sim:h100x16/kimi-k2.6` says."""

    system: SystemName
    model: str

    def __str__(self) -> str:
        return f"sim:{self.system}/{self.model}"


def parse_system(text: str) -> SystemName:
    """Read `h100x16`, `cs3`.

    Raises:
        UsageError: it has no such form, or the count is 0 or absurd.
    """
    found = _SYSTEM.match(text.strip().lower())
    if not found:
        raise UsageError(f"not a system's name: {text!r}", hint="write a system and a count, e.g. h100x16 or cs3")
    if found["count"] is None:
        return SystemName(found["system"])
    count = int(found["count"][:9])
    if not 1 <= count <= MAX_COUNT:
        raise UsageError(
            f"{text!r}: a count must lie between 1 and {MAX_COUNT}",
            hint=f"without a count the smallest number that holds the model is taken: {found['system']}",
        )
    return SystemName(found["system"], count)


def parse_name(name: str) -> SimulationName:
    """Read `sim:SYSTEM[xN]/MODEL`.

    Raises:
        UsageError: it has no such form.
    """
    system, slash, model = name.strip().lower().removeprefix("sim:").partition("/")
    if not slash or not system or not model:
        raise UsageError(
            f"not a simulated backend's name: {name!r}",
            hint="write sim:SYSTEM/MODEL, e.g. sim:cs3/kimi-k2.6; chatapp hardware systems lists them",
        )
    return SimulationName(parse_system(system), model)
