"""Speed while it happens: the live figure, the peak, the curve and the gaps, each updated in the time of the new rows.

The cumulative token curve C(t) is taken as linear between arrivals: a chunk's tokens were made evenly since the chunk
before it. So the speed of 20 tokens every 20 ms is 1,000 tok/s at every moment, and not 0 and then 20,000.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from operator import sub

NS_PER_S = 1_000_000_000

RECENT_GAPS = 64
"""Gaps that say how long a silence is ordinary."""

_BUCKETS_PER_E = 50
"""Histogram buckets for each factor e of gap length: a resolution of 2 %."""


class Pace:
    """The cumulative curve of an answer and what follows from it.

    Args:
        at_ns: the arrivals' column; grows by itself and is never copied.
        window_ns: width of the sliding window of live speed and peak.
    """

    def __init__(self, at_ns: Sequence[int], window_ns: int = NS_PER_S) -> None:
        self._at = at_ns
        self._window = window_ns
        self._total = array("d")
        """C at each arrival: tokens after the first chunk."""
        self._settled = 0
        self._low = 0
        self._highest: float | None = None
        self._gap_rows = 1
        self._gaps: dict[int, int] = {}

    def truncate(self, row: int) -> None:
        """Forget the counts from `row` on: they are about to be given again."""
        del self._total[row:]

    def extend(self, counts: Sequence[float]) -> None:
        """Add the tokens of the next arrivals."""
        total = self._total
        value = total[-1] if total else None
        for count in counts:
            value = 0.0 if value is None else value + count  # the first chunk was made in time unknown
            total.append(value)

    def settle(self, rows: int) -> None:
        """Take the first `rows` counts as final and look for the peak among them.

        The curve is piecewise linear, so the steepest window has an edge on an arrival: those that begin at one and
        those that end at one are all there is to look at.
        """
        at, total, window = self._at, self._total, self._window
        low = self._low
        best = -1.0 if self._highest is None else self._highest
        for row in range(max(self._settled, 1), rows):
            now, before = at[row], at[row - 1]
            while at[low] + window <= now:
                begun = total[low]
                share = (at[low] + window - before) / (now - before)
                best = max(best, total[row - 1] + (total[row] - total[row - 1]) * share - begun)
                low += 1
            if low:
                start = now - window
                share = (start - at[low - 1]) / (at[low] - at[low - 1])
                begun = total[low - 1] + (total[low] - total[low - 1]) * share
                best = max(best, total[row] - begun)
        self._low = low
        self._settled = max(self._settled, rows)
        if best >= 0:
            self._highest = best

    @property
    def peak(self) -> float | None:
        """The highest speed over a window, tokens per second; over the whole answer where that is shorter."""
        if self._highest is not None:
            return self._highest * NS_PER_S / self._window or None
        rows = self._settled
        if rows < 2 or self._at[rows - 1] <= self._at[0]:
            return None
        made: float = self._total[rows - 1] * NS_PER_S / (self._at[rows - 1] - self._at[0])
        return made or None

    def total_at(self, at_ns: float) -> float:
        """Return C(t): tokens after the first chunk made until then."""
        rows = len(self._total)
        row = bisect_right(self._at, at_ns, 0, rows) - 1
        if row < 0:
            return 0.0
        if row >= rows - 1:
            return self._total[-1]
        begin, end = self._at[row], self._at[row + 1]
        return self._total[row] + (self._total[row + 1] - self._total[row]) * (at_ns - begin) / (end - begin)

    def live(self, now_ns: int) -> float | None:
        """Return the speed over the window before now (since the first chunk if that is shorter), tokens per second.

        None before the third chunk. A silence counts once it is longer than the longest of the recent gaps: the pause
        between two chunks is no slowdown, a stall is.
        """
        rows = len(self._total)
        if rows < 3:
            return None
        at = self._at
        recent = at[max(0, rows - RECENT_GAPS - 1) : rows]
        ordinary: int = max(map(sub, recent[1:], recent[:-1]))
        end = max(at[rows - 1], now_ns - ordinary)
        begin = max(at[0], end - self._window)
        if end <= begin:
            return None
        return (self._total[-1] - self.total_at(begin)) * NS_PER_S / (end - begin)

    def series(self, now_ns: int, *, bins: int, bin_ns: int) -> tuple[float, ...]:
        """Return the curve of speed, tokens per second, oldest first: up to `bins` bins that end now or at the end."""
        rows = len(self._total)
        if rows < 2:
            return ()
        end = min(now_ns, self._at[rows - 1])
        first = self._at[0]
        count = min(bins, -((first - end) // bin_ns))  # rounded up
        edges = [max(first, end - step * bin_ns) for step in range(count, -1, -1)]
        totals = [self.total_at(edge) for edge in edges]
        return tuple((totals[i + 1] - totals[i]) * NS_PER_S / (edges[i + 1] - edges[i]) for i in range(count))

    def gap_histogram(self) -> list[tuple[float, int]]:
        """Return the inter-chunk latencies so far as (upper edge in ns, count), ascending; edges 2 % apart."""
        at, gaps = self._at, self._gaps
        for row in range(self._gap_rows, len(at)):
            gap = at[row] - at[row - 1]
            bucket = int(math.log(gap) * _BUCKETS_PER_E) if gap > 0 else -1
            gaps[bucket] = gaps.get(bucket, 0) + 1
        self._gap_rows = max(self._gap_rows, len(at))
        return [(math.exp((b + 1) / _BUCKETS_PER_E) if b >= 0 else 0.0, gaps[b]) for b in sorted(gaps)]


def histogram_quantile(histogram: Sequence[tuple[float, int]], q: float) -> float | None:
    """Return the upper edge of the bucket that holds the q-quantile; None of an empty histogram."""
    rank = q * sum(count for _edge, count in histogram)
    for edge, count in histogram:
        rank -= count
        if rank <= 0:
            return edge
    return None
