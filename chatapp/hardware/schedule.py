"""When each token of a simulated answer leaves: a pace and a seed in, absolute offsets out.

The arithmetic is integer nanoseconds from one zero point. A late emission therefore never delays the next one.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Pace:
    """How a system answers one request. All times in seconds.

    A *step* is one pass through the model. With speculative decoding it yields several tokens at once, so that they
    arrive in bursts.
    """

    prefill_s: float
    """Reading the prompt, up to and including the first token's step."""
    step_s: float
    """One step at the start of the answer."""
    step_s_per_token: float = 0.0
    """What each token of context adds to a step: its part of the KV cache is read again every time."""
    tokens_per_step: float = 1.0
    """Mean tokens a step yields: 1 + accepted draft tokens."""
    draft_tokens: int = 0
    """Most tokens a step can add by speculation; 0 without it."""
    queue_s: float = 0.0
    """Waiting for a slot before the prefill."""
    network_s: float = 0.0
    """Half of it on the way there, half on the way back."""
    jitter: float = 0.0
    """Standard deviation of the logarithm of a step's time."""

    @property
    def ttft_s(self) -> float:
        """Time to the first token as a user sees it."""
        return self.network_s + self.queue_s + self.prefill_s

    @property
    def output_speed_tps(self) -> float:
        """Mean tokens a second at the start of the answer."""
        return self.tokens_per_step / self.step_s


@dataclass(frozen=True, slots=True)
class Emission:
    """Tokens that leave together."""

    offset_ns: int
    """Since the request was sent."""
    tokens: int


def acceptance_for(tokens_per_step: float, draft_tokens: int) -> float:
    """Return the chance of accepting each draft token that yields a mean of `tokens_per_step`.

    With an independent chance a, a step of k draft tokens yields 1 + a + a^2 + ... + a^k tokens
    (Leviathan et al. 2023, arXiv 2211.17192, equation 1). Found by bisection; the sum grows with a.
    """
    if draft_tokens <= 0 or tokens_per_step <= 1:
        return 0.0
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        if math.fsum(middle**i for i in range(draft_tokens + 1)) < tokens_per_step:
            low = middle
        else:
            high = middle
    return high


def emissions(pace: Pace, tokens: int, *, seed: int | str) -> Iterator[Emission]:
    """Yield when `tokens` tokens leave, the first at the pace's TTFT.

    The jitter of each step is log-normal with mean 1, so that it moves single tokens and not the mean speed.
    """
    rng = random.Random(seed)
    acceptance = acceptance_for(pace.tokens_per_step, pace.draft_tokens)
    offset = pace.ttft_s * NS_PER_S
    sent = min(1, tokens)
    if tokens > 0:
        yield Emission(round(offset), 1)
    while sent < tokens:
        count = 1
        while count <= pace.draft_tokens and rng.random() < acceptance:
            count += 1
        noise = rng.lognormvariate(-(pace.jitter**2) / 2, pace.jitter) if pace.jitter else 1.0
        offset += (pace.step_s + pace.step_s_per_token * sent) * noise * NS_PER_S
        count = min(count, tokens - sent)
        sent += count
        yield Emission(round(offset), count)
