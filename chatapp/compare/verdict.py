"""A claim and measurements in, a verdict out: decided by the interval of the median, never by the median alone."""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from chatapp.compare.claims import Claim

Outcome = Literal["confirmed", "faster", "slower", "inconclusive", "model only"]

MOST_MORE_RUNS = 1000
"""Above this the honest answer is that more runs will not decide it."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the measurements say of a claim."""

    outcome: Outcome
    value: float
    """The claimed value, in the unit of its metric."""
    low: float
    """The claim's band: measurements between `low` and `high` agree with it."""
    high: float
    median: float | None
    ci95: tuple[float, float] | None
    n: int
    more_runs: int | None
    """How many more runs would decide, as far as the spread so far says; None where decided, or none would."""

    @property
    def confirmed(self) -> bool:
        """Whether the claim holds: measured within its band, or faster."""
        return self.outcome in ("confirmed", "faster")

    @property
    def sentence(self) -> str:
        """The verdict for a reader."""
        return {
            "confirmed": "confirmed: the measured interval lies within the claim's band",
            "faster": "faster than claimed: the whole interval lies beyond the claim's band",
            "slower": "not confirmed, slower: the whole interval lies short of the claim's band",
            "inconclusive": "inconclusive: the interval crosses the edge of the claim's band",
            "model only": "model only, verifies nothing: the timing came from a model, not from a machine",
        }[self.outcome]


def decide(
    claim: Claim, median: float | None, ci95: tuple[float, float] | None, n: int, *, simulated: bool = False
) -> Verdict:
    """Decide a measured claim.

    The band is `value * (1 ± tolerance)`. With the whole 95 % interval of the median inside it the claim is confirmed;
    wholly beyond it on the fast side, faster; wholly on the slow side, slower; else inconclusive. The number of runs
    that would decide follows from the interval's width shrinking with the square root of n: the half-width must come
    below the distance from the median to the nearest edge.

    Args:
        claim: the claim; its kind is not "fit".
        median: of the claim's metric, or the median ratio.
        ci95: its 95 % bootstrap interval; None with too few runs for one.
        n: runs that counted.
        simulated: any of the backends was simulated.
    """
    low, high = claim.value * (1 - claim.tolerance), claim.value * (1 + claim.tolerance)

    def verdict(outcome: Outcome, more: int | None = None) -> Verdict:
        return Verdict(
            outcome=outcome, value=claim.value, low=low, high=high, median=median, ci95=ci95, n=n, more_runs=more
        )

    if simulated:
        return verdict("model only")
    if median is None or ci95 is None:
        return verdict("inconclusive", max(1, 3 - n) if median is not None else None)
    if low <= ci95[0] and ci95[1] <= high:
        return verdict("confirmed")
    if ci95[0] > high:
        return verdict("faster" if claim.higher_is_faster else "slower")
    if ci95[1] < low:
        return verdict("slower" if claim.higher_is_faster else "faster")
    return verdict("inconclusive", _more_runs(median, ci95, n, low, high))


def _more_runs(median: float, ci95: tuple[float, float], n: int, low: float, high: float) -> int | None:
    distance = min(abs(median - low), abs(median - high))
    half_width = max(ci95[1] - median, median - ci95[0])
    if distance <= 0 or half_width <= 0:
        return None
    needed = math.ceil(n * (half_width / distance) ** 2) - n
    return max(1, needed) if needed <= MOST_MORE_RUNS else None
