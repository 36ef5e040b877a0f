"""Arrivals that were read late: what is known of them, and the likeliest times.

Data that waits in a socket keeps only its latest stamp. Chunks that a busy process reads at once therefore share one
stamp, that of the last of them, and each is marked as uncertain. They did not arrive at once: the likeliest is that
they came evenly since the chunk before. Where the first chunks of an answer were read at once there is none before, and
the answer's own later pace says how far apart they were.

The marks stay: an estimate makes the error smaller, and makes nothing certain.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence


def spread_arrivals(at_ns: Sequence[int], uncertainty_ns: Sequence[int]) -> Sequence[int]:
    """Return arrivals in which chunks that were read at once are spread over the time in which they came.

    Args:
        at_ns: stamps, never decreasing.
        uncertainty_ns: how much earlier each may have arrived; 0 where the stamp is its very arrival, so that chunks of
            one network packet stay together.

    Returns:
        As many stamps, never decreasing; each within its uncertainty, and the last of each reading unchanged.
    """
    if not any(uncertainty_ns):
        return at_ns
    out = array("q", at_ns)
    rows = len(out)
    begin = 0
    while begin < rows:
        end = begin + 1
        while end < rows and at_ns[end] == at_ns[begin]:
            end += 1
        if end - begin > 1 and uncertainty_ns[begin]:
            _spread(out, begin, end, uncertainty_ns)
        begin = end
    return out


def _spread(out: array[int], begin: int, end: int, uncertainty_ns: Sequence[int]) -> None:
    """Spread the rows from `begin` to before `end`, which share one stamp."""
    stamp = out[begin]
    count = end - begin
    if begin:
        step = (stamp - out[begin - 1]) / count
    elif end < len(out):
        step = (out[-1] - stamp) / (len(out) - end)
    else:  # the whole answer in one reading: no pace is known
        return
    earliest = out[begin - 1] if begin else stamp - uncertainty_ns[begin]
    for row in range(begin, end - 1):
        early = min(round(step * (end - 1 - row)), uncertainty_ns[row])
        out[row] = earliest = max(earliest, stamp - early)
