"""What a run may cost, said before it is begun. An unknown price stays unknown: it is never taken as nothing."""

from __future__ import annotations

import math
from collections.abc import Iterable

import msgspec

from chatapp.bench.schedule import Load
from chatapp.bench.workloads import Workload
from chatapp.errors import UsageError
from chatapp.stream.metrics import Figures

OUTPUT_UNLIMITED = 2_000
"""Output tokens assumed of a request that states no limit; the estimate says so."""


class Price(msgspec.Struct, frozen=True):
    """What a backend charges, in US dollars per million tokens; None where it is not known."""

    input_usd: float | None = None
    output_usd: float | None = None

    def of(self, input_tokens: float, output_tokens: float) -> float | None:
        """Return the dollars for so many tokens; None where a price that matters is not known."""
        if (self.input_usd is None and input_tokens) or (self.output_usd is None and output_tokens):
            return None
        return ((self.input_usd or 0) * input_tokens + (self.output_usd or 0) * output_tokens) / 1e6


FREE = Price(0.0, 0.0)
"""Of simulated, recorded and local backends."""


class Estimate(msgspec.Struct, frozen=True):
    """The most that is expected to be used."""

    requests: int | None
    """None where only a duration bounds them and the server's speed decides."""
    input_tokens: int | None
    output_tokens: int | None
    usd: float | None
    assumed_output: bool = False
    """The workload states no output limit, so a usual length was assumed."""

    @property
    def tokens(self) -> int | None:
        """Input and output together."""
        if self.input_tokens is None or self.output_tokens is None:
            return None
        return self.input_tokens + self.output_tokens

    def __str__(self) -> str:
        if self.requests is None:
            return "unknown number of requests (bounded by time): unknown cost"
        assumed = " (length assumed)" if self.assumed_output else ""
        cost = "unknown cost" if self.usd is None else f"about ${self.usd:.2f}"
        return (
            f"{self.requests} requests, about {self.input_tokens:,} input and {self.output_tokens:,} "
            f"output tokens{assumed}, {cost}"
        )


class Budget(msgspec.Struct, frozen=True):
    """What a run may use."""

    usd: float | None = None
    tokens: int | None = None


def estimate(workload: Workload, loads: Iterable[Load], price: Price, *, input_tokens: int) -> Estimate:
    """Estimate a run.

    Args:
        workload: what is asked.
        loads: all levels, warm-up included.
        price: the backend's.
        input_tokens: of one request, counted.
    """
    counts = [expected_requests(load) for load in loads]
    if None in counts:
        return Estimate(None, None, None, 0.0 if price == FREE else None)
    requests = sum(count for count in counts if count is not None)
    output = workload.output_tokens or OUTPUT_UNLIMITED
    totals = requests * input_tokens, requests * output
    return Estimate(requests, *totals, price.of(*totals), assumed_output=workload.output_tokens is None)


def expected_requests(load: Load) -> int | None:
    """Return how many requests a load sends at most; of random arrivals, how many it hardly ever exceeds."""
    if load.requests is not None:
        return load.requests + load.warmup
    if load.rate is None or load.duration_s is None:
        return None
    mean = load.rate * load.duration_s
    spread = 3 * math.sqrt(mean) if load.arrivals == "poisson" else 1
    return math.ceil(mean + spread) + load.warmup


def check(estimated: Estimate, budget: Budget, price: Price) -> None:
    """Refuse a run whose estimate exceeds what was allowed.

    A run bounded by time only passes: the `Meter` stops it where the budget ends.

    Raises:
        UsageError: it does, or dollars were limited and the price is unknown.
    """
    if budget.tokens is not None and estimated.tokens is not None and estimated.tokens > budget.tokens:
        raise UsageError(
            f"the run needs about {estimated.tokens:,} tokens, more than --max-tokens {budget.tokens:,}",
            hint="fewer requests, a smaller workload, or a higher limit",
        )
    if budget.usd is None:
        return
    if price.of(1, 1) is None:
        raise UsageError(
            f"--max-cost ${budget.usd:g} cannot be kept: the run's cost is unknown",
            hint="state the prices under [backends.NAME] in config.toml, or use --max-tokens",
        )
    if estimated.usd is not None and estimated.usd > budget.usd:
        raise UsageError(
            f"the run costs about ${estimated.usd:.2f}, more than --max-cost ${budget.usd:g}",
            hint="fewer requests, a smaller workload, or a higher limit",
        )


class Meter:
    """Adds up what responses really used, and says when the budget is spent."""

    def __init__(self, budget: Budget, price: Price) -> None:
        self._budget = budget
        self._price = price
        self.input_tokens = 0
        self.output_tokens = 0

    def add(self, figures: Figures) -> None:
        """Take a response's tokens, estimated ones included; failed responses may have cost something too."""
        self.input_tokens += figures.input_tokens or 0
        self.output_tokens += figures.output_tokens or 0

    @property
    def limited(self) -> bool:
        """Whether there is a budget to keep."""
        return self._budget.usd is not None or self._budget.tokens is not None

    @property
    def usd(self) -> float | None:
        """What it has cost so far, where prices are known."""
        return self._price.of(self.input_tokens, self.output_tokens)

    @property
    def spent(self) -> str | None:
        """Which limit has been reached, as a sentence; None while there is room."""
        tokens = self.input_tokens + self.output_tokens
        if self._budget.tokens is not None and tokens >= self._budget.tokens:
            return f"--max-tokens {self._budget.tokens:,} reached"
        if self._budget.usd is not None and self.usd is not None and self.usd >= self._budget.usd:
            return f"--max-cost ${self._budget.usd:g} reached"
        return None
