"""Speculative decoding: a cheap draft proposes tokens, one pass of the model accepts a run of them."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Speculation:
    """What speculation does to a step."""

    tokens_per_step: float
    """Mean tokens that one pass yields: 1 + accepted."""
    draft_tokens: int
    """Most tokens proposed in a step; the pass runs over 1 + this many positions."""

    stated: bool = True
    """Whether a source states it; else the mean is what was gained, the cost of drafting already taken off."""

    @property
    def positions(self) -> int:
        """Token positions that one pass computes for one conversation."""
        return 1 + self.draft_tokens


NONE = Speculation(1.0, 0)


def speculation(tokens_per_step: float) -> Speculation:
    """Return the speculation with a stated mean; the draft's length is taken as the mean, rounded up.

    Published pairs are near it: 1.92 of 1 draft, 2.58 of 2, 3.01 of 5 (NVIDIA, DeepSeek-R1 on B200).
    """
    if tokens_per_step <= 1:
        return NONE
    return Speculation(tokens_per_step, math.ceil(tokens_per_step))


def expected_tokens(acceptance: float, draft_tokens: int) -> float:
    """Return 1 + a + a^2 + ... + a^k (Leviathan et al. 2023, arXiv 2211.17192, equation 1)."""
    return math.fsum(acceptance**i for i in range(draft_tokens + 1))


def acceptance_for(tokens_per_step: float, draft_tokens: int) -> float:
    """Return the chance of accepting each draft token that yields a mean of `tokens_per_step`; by bisection."""
    if draft_tokens <= 0 or tokens_per_step <= 1:
        return 0.0
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        if expected_tokens(middle, draft_tokens) < tokens_per_step:
            low = middle
        else:
            high = middle
    return high
