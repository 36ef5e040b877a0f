"""When which request is sent: pure plans, from which the runner only reads.

Load comes in two kinds. *Closed*: so many requests at once, a new one when one ends; it measures a system at a given
concurrency. *Open*: requests at a rate, whatever is still running; it measures what users of a public service feel, and
it alone shows a queue that grows.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import islice
from typing import Literal

import msgspec

from chatapp.errors import UsageError

NS_PER_S = 1_000_000_000

Arrivals = Literal["poisson", "constant"]


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """One level of load."""

    requests: int | None = None
    """How many; None: as many as `duration_s` allows."""
    duration_s: float | None = None
    """Requests begin within this time; those that have begun are waited for."""
    concurrency: int = 1
    """Requests at once; with a rate, the most at once (0: no limit)."""
    rate: float | None = None
    """Requests per second of an open load; None: closed."""
    arrivals: Arrivals = "poisson"
    warmup: int = 1
    """Requests before the first measured one, one after the other, left out of every figure."""

    def __post_init__(self) -> None:
        if self.requests is None and self.duration_s is None:
            raise UsageError("a load needs a number of requests or a duration")
        for name, value in (("requests", self.requests), ("duration", self.duration_s), ("rate", self.rate)):
            if value is not None and not 0 < value < 1e9:
                raise UsageError(f"{name} must be above 0, not {value:g}")
        if self.concurrency < (0 if self.rate else 1):
            raise UsageError(f"concurrency must be at least 1, not {self.concurrency}")
        if self.warmup < 0:
            raise UsageError(f"warm-up must not be negative: {self.warmup}")

    @property
    def label(self) -> str:
        """The level as a report's row names it."""
        if not self.rate:
            return f"×{self.concurrency}"
        return f"{self.rate:g}/s ×{self.concurrency}" if self.concurrency else f"{self.rate:g}/s"


def sweep(load: Load, concurrencies: tuple[int, ...]) -> tuple[Load, ...]:
    """Return the same load at each concurrency, in the order given."""
    return tuple(msgspec.structs.replace(load, concurrency=level) for level in concurrencies)


def arrival_offsets_ns(load: Load, *, seed: str) -> Iterator[int]:
    """Yield when each request of an open load is sent, in ns since its start. Endless where only time bounds it.

    Poisson arrivals have exponential gaps, as independent users do; constant ones are evenly spaced.
    """
    assert load.rate is not None
    rate = load.rate
    source = random.Random(seed)
    limit_ns = None if load.duration_s is None else round(load.duration_s * NS_PER_S)

    def offsets() -> Iterator[int]:
        elapsed_s, number = 0.0, 0
        while limit_ns is None or elapsed_s * NS_PER_S < limit_ns:
            yield round(elapsed_s * NS_PER_S)
            number += 1
            # Constant arrivals are multiplied out, so that rounding never drifts.
            elapsed_s = elapsed_s + source.expovariate(rate) if load.arrivals == "poisson" else number / rate

    return islice(offsets(), load.requests)


def fair_orders(backends: int, rounds: int) -> list[tuple[int, ...]]:
    """Return for each round the order in which `backends` take their turn.

    Consecutive rounds follow a Latin square balanced for what went before (Williams, 1949): every backend stands in
    every position equally often, and after every other equally often. So neither the time of day nor the load that one
    run leaves behind favours anyone. An odd number of backends needs two squares, the second one mirrored.
    """
    if backends < 1:
        raise UsageError("an order needs at least one backend")
    first: list[int] = [0]
    low, high = 1, backends - 1
    while low <= high:  # 0, 1, n-1, 2, n-2, ...: all differences between neighbours occur once
        first.append(low)
        if high > low:
            first.append(high)
        low, high = low + 1, high - 1
    square = [tuple((place + shift) % backends for place in first) for shift in range(backends)]
    if backends % 2 and backends > 1:
        square += [row[::-1] for row in square]
    return [square[number % len(square)] for number in range(rounds)]


def parse_concurrency(text: str) -> tuple[int, ...]:
    """Read `8` or `1,4,16`.

    Raises:
        UsageError: not whole numbers of at least 1.
    """
    try:
        levels = tuple(int(part) for part in text.split(","))
    except ValueError:
        levels = (0,)
    if any(level < 1 for level in levels):
        raise UsageError(f"--concurrency must be whole numbers of at least 1, like 8 or 1,4,16; not {text!r}")
    return levels
