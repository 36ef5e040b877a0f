"""The definitions of every speed figure, each a function with its formula.

All take arrivals of chunks that carried text: `at_ns[i]` nanoseconds on one monotonic clock, never decreasing, and
`counts[i]` tokens of chunk i (k_i; fractions where an estimate was scaled to the server's usage). `request_ns` is
t_req, taken immediately before the send of the request's last byte. A figure that is not defined is None, shown as a
dash; no function here raises or returns NaN.

Why these formulas: the rate leaves out the first chunk's tokens together with the time before it, because that time is
the first-token latency (queue, prefill, network), and because a first chunk of 20 tokens divided into the time after it
made two known tools err by 23 %. The names follow artificialanalysis.ai/methodology/performance-benchmarking; the
formulas differ from its where chunks hold more than one token.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import sub

from chatapp.stream.events import ServerTiming
from chatapp.stream.figures import Figures, Goodput, Snapshot, TimeShares
from chatapp.stream.pace import Pace

__all__ = [
    "Figures",
    "Goodput",
    "Snapshot",
    "TimeShares",
    "characters_speed",
    "e2e_ns",
    "gaps_ns",
    "meets",
    "output_speed",
    "peak_speed",
    "perceived_speed",
    "quantile",
    "speed_after_first",
    "speed_uncertainty",
    "time_shares",
    "tpot_ns",
    "ttft_ns",
]

NS_PER_S = 1_000_000_000

PEAK_WINDOW_NS = NS_PER_S


def ttft_ns(request_ns: int | None, first_ns: int | None) -> int | None:
    """Time to first token: a_1 - t_req, in ns; first text of any kind, reasoning included.

    The same with the first text outside reasoning is TTFA, time to first answer. None without a request stamp, without
    text, or where the text is stamped before the request (a clock step): a negative latency is not a figure.
    """
    if request_ns is None or first_ns is None or first_ns < request_ns:
        return None
    return first_ns - request_ns


def e2e_ns(request_ns: int | None, at_ns: Sequence[int]) -> int | None:
    """End to end: a_m - t_req, in ns, to the last *text*, not to the end of the stream. None as for `ttft_ns`."""
    return ttft_ns(request_ns, at_ns[-1]) if at_ns else None


def output_speed(at_ns: Sequence[int], counts: Sequence[float]) -> float | None:
    """Output speed: (N - k_1) / (a_m - a_1), tokens per second.

    What arrived after the first chunk, over the time after the first chunk. None for fewer than two chunks, for chunks
    that all arrived at one instant, and where nothing countable came after the first.
    """
    return speed_after_first(at_ns, sum(counts), counts[0]) if at_ns else None


def speed_after_first(at_ns: Sequence[int], total: float, first: float) -> float | None:
    """Return `output_speed` from N and k_1, where the sum is known already."""
    if len(at_ns) < 2 or at_ns[-1] <= at_ns[0] or total <= first:
        return None
    return (total - first) * NS_PER_S / (at_ns[-1] - at_ns[0])


def characters_speed(at_ns: Sequence[int], characters: Sequence[int]) -> float | None:
    """Characters per second: as `output_speed`, in Unicode code points.

    Fair between models that cut text differently: native tokens hold up to 2.3 times more characters in one model than
    in another.
    """
    return output_speed(at_ns, characters)


def tpot_ns(at_ns: Sequence[int], counts: Sequence[float]) -> float | None:
    """Time per output token: (a_m - a_1) / (N - k_1), in ns; the reciprocal of output speed, None where that is."""
    speed = output_speed(at_ns, counts)
    return NS_PER_S / speed if speed else None


def gaps_ns(at_ns: Sequence[int]) -> list[int]:
    """Inter-chunk latencies (ICL): a_i - a_(i-1), in ns, for i = 2..m. Gaps between chunks, not between tokens."""
    return list(map(sub, at_ns[1:], at_ns[:-1]))


def perceived_speed(request_ns: int | None, at_ns: Sequence[int], counts: Sequence[float]) -> float | None:
    """Perceived speed: N / E2E, tokens per second, the wait for the first token included. Visible tokens only."""
    total = e2e_ns(request_ns, at_ns)
    return sum(counts) * NS_PER_S / total if total else None


def peak_speed(at_ns: Sequence[int], counts: Sequence[float], window_ns: int = PEAK_WINDOW_NS) -> float | None:
    """Peak: the highest speed over any window of 1 s, tokens per second.

    Between two arrivals a chunk's tokens count as made evenly, so that bunching makes no peak. An answer shorter than
    one window has its output speed as its peak: the whole answer is its only window. None where that is None.
    """
    pace = Pace(at_ns, window_ns)
    pace.extend(counts)
    pace.settle(len(at_ns))
    return pace.peak


def quantile(ordered: Sequence[float], q: float) -> float | None:
    """The q-quantile (0 to 1) of sorted values, linear between neighbours (type 7 of Hyndman and Fan); None of none."""
    if not ordered:
        return None
    position = q * (len(ordered) - 1)
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


def speed_uncertainty(at_ns: Sequence[int], uncertainty_ns: Sequence[int]) -> float | None:
    """The largest relative error of output speed that the stamps allow: (u_1 + u_m) / (a_m - a_1).

    u_i is how much earlier chunk i may have arrived than its stamp says. None where output speed is not defined.
    """
    if len(at_ns) < 2 or at_ns[-1] <= at_ns[0]:
        return None
    return (uncertainty_ns[0] + uncertainty_ns[-1]) / (at_ns[-1] - at_ns[0])


def time_shares(timing: ServerTiming | None, e2e_s: float | None) -> TimeShares | None:
    """Where the time went, in seconds: the server's queue, prefill and decode, and the rest, network and client.

    rest = E2E - (queue + prefill + decode), each as far as the server says it; None without any. A server that claims
    more than passed here has `rest` None and `overclaim_s` set: one of the two clocks is wrong, and it is not shown as
    negative network time.
    """
    if timing is None or e2e_s is None:
        return None
    parts = (timing.queue_s, timing.prefill_s, timing.decode_s)
    known = [part for part in parts if part is not None]
    claimed = sum(known) if known else timing.total_s
    if claimed is None:
        return None
    rest = e2e_s - claimed
    queue, prefill, decode = parts
    if rest < 0:
        return TimeShares(queue, prefill, decode, rest_s=None, overclaim_s=-rest)
    return TimeShares(queue, prefill, decode, rest_s=rest)


def meets(figures: Figures, limits: Goodput) -> bool:
    """Whether a request counts towards goodput: it succeeded, and each stated limit is met by a defined figure."""
    if figures.error is not None:
        return False
    pairs = (
        (figures.ttft_ms, limits.ttft_ms, 1),
        (figures.tpot_ms, limits.tpot_ms, 1),
        (figures.e2e_ms, limits.e2e_ms, 1),
        (figures.output_speed_tps, limits.output_speed_tps, -1),
    )
    return all(limit is None or (value is not None and value * sign <= limit * sign) for value, limit, sign in pairs)
