"""Figures of several runs: median, percentiles, and how sure they are.

A mean alone hides the tail, and one number hides that it was measured a few times only. So a summary always carries the
median with a 95 % bootstrap interval, p90, p99 and n.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Sequence

import msgspec

from chatapp.stream.metrics import quantile

RESAMPLES = 2000
SEED = 20251
"""Intervals are seeded: the same runs give the same report."""


class Summary(msgspec.Struct, frozen=True):
    """One figure over several runs. The interval is that of the median; None for fewer than two runs."""

    median: float
    mean: float
    p90: float
    p99: float
    min: float
    max: float
    ci95: tuple[float | None, float | None]
    n: int


class Ratio(msgspec.Struct, frozen=True):
    """The ratio of two medians, with its 95 % bootstrap interval."""

    ratio: float
    ci95: tuple[float | None, float | None]

    @property
    def distinguishable(self) -> bool:
        """Whether the runs suffice to say that the two differ: the interval does not hold 1."""
        low, high = self.ci95
        return low is not None and high is not None and not low <= 1 <= high


def defined(values: Iterable[float | None]) -> list[float]:
    """Return the finite values, ascending; undefined figures are counted by n, never averaged in."""
    return sorted(value for value in values if value is not None and math.isfinite(value))


def median(values: Sequence[float]) -> float | None:
    """Return the median; None of nothing."""
    return quantile(sorted(values), 0.5)


def percentile(values: Sequence[float], percent: float) -> float | None:
    """Return a percentile (0 to 100), linear between neighbours; None of nothing."""
    return quantile(sorted(values), percent / 100)


def summarize(values: Iterable[float | None], *, seed: int = SEED) -> Summary | None:
    """Summarize the defined values; None where there are none."""
    ordered = defined(values)
    if not ordered:
        return None
    at = [quantile(ordered, q) or 0.0 for q in (0.5, 0.9, 0.99)]
    # A sum of floats may leave the range of its terms by rounding, and a mean outside [min, max] looks like a bug.
    mean = min(max(math.fsum(ordered) / len(ordered), ordered[0]), ordered[-1])
    return Summary(
        median=at[0],
        mean=mean,
        p90=at[1],
        p99=at[2],
        min=ordered[0],
        max=ordered[-1],
        ci95=bootstrap_median(ordered, seed=seed),
        n=len(ordered),
    )


def bootstrap_median(ordered: Sequence[float], *, seed: int = SEED) -> tuple[float | None, float | None]:
    """Return the 95 % percentile-bootstrap interval of the median of sorted values.

    Resamples are not drawn value by value: the median of n values drawn from n is the value whose rank is the middle
    order statistic of n uniform numbers, and that has a beta distribution. The result is the same in distribution, at a
    cost that does not depend on n.
    """
    if len(ordered) < 2:
        return None, None
    draw = _median_sampler(ordered, random.Random(seed))
    return _interval([draw() for _ in range(RESAMPLES)])


def compare_medians(a: Iterable[float | None], b: Iterable[float | None], *, seed: int = SEED) -> Ratio | None:
    """Return median(a) / median(b) with its interval; None where either has no values, or b's median is not positive.

    Both sides are resampled independently; resamples in which b's median is not positive are left out.
    """
    left, right = defined(a), defined(b)
    above, below = quantile(left, 0.5), quantile(right, 0.5)
    if above is None or below is None or below <= 0:
        return None
    if min(len(left), len(right)) < 2:
        return Ratio(above / below, (None, None))
    source = random.Random(seed)
    draw_left, draw_right = _median_sampler(left, source), _median_sampler(right, source)
    pairs = [(draw_left(), draw_right()) for _ in range(RESAMPLES)]
    return Ratio(above / below, _interval([x / y for x, y in pairs if y > 0]))


def _median_sampler(ordered: Sequence[float], source: random.Random) -> Callable[[], float]:
    """Return a function that draws the median of a bootstrap resample."""
    n = len(ordered)
    middle = (n + 1) // 2

    def rank(u: float) -> float:
        return ordered[min(int(u * n), n - 1)]

    def draw() -> float:
        lower = source.betavariate(middle, n + 1 - middle)
        if n % 2:
            return rank(lower)
        # The next order statistic, given the lower one: the least of n - middle numbers uniform above it.
        upper = lower + (1 - lower) * source.betavariate(1, n - middle)
        return (rank(lower) + rank(upper)) / 2

    return draw


def _interval(draws: list[float]) -> tuple[float | None, float | None]:
    draws.sort()
    return quantile(draws, 0.025), quantile(draws, 0.975)
