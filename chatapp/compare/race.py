"""A race: the same prompt to several backends, and where each stands at a moment. Pure.

Speeds of different models are compared in one unit, the common tokenizer, for models cut text differently. Finishing
first only means something where all tell the same text; else the one that writes fastest leads.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

import msgspec

from chatapp.stream.metrics import Snapshot
from chatapp.stream.timeline import Timeline

RUNNING = ("waiting", "sent", "streaming")
WHOLE = ("done", "length")


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Where one lane stands. Times in milliseconds; None is a dash."""

    lane: int
    place: int | None
    """1 for the leader; None before any text and after a failure."""
    first_place: int | None
    """Order of the first tokens."""
    share: float
    """0 to 1: text so far, of the longest so far or of the finished text."""
    speed: float | None
    """Common tokens per second: live while streaming, the mean after."""
    speedup: float | None
    """Times the slowest lane's mean speed; 1 for the slowest itself; None where fewer than two have one."""
    remaining_ms: float | None
    """What a lane still needs for the finished text at its own speed so far; None before anybody has finished."""
    snapshot: Snapshot


class FreezeFrame(msgspec.Struct, frozen=True):
    """The moment the winner finished: what every lane had by then."""

    winner: int
    elapsed_ms: float
    shares: tuple[float, ...]
    """0 to 1 of the winner's text, by lane."""
    characters: tuple[int, ...]


def standings(snapshots: Sequence[Snapshot], *, same_text: bool = False) -> tuple[Standing, ...]:
    """Return where every lane stands, in lane order.

    Args:
        snapshots: one a lane, taken at one moment.
        same_text: all lanes tell the same text, so that finishing first is winning.
    """
    finished = [s.characters for s in snapshots if s.phase in WHOLE and s.characters]
    target = max(finished) if finished else None
    longest = max((s.characters for s in snapshots), default=0)
    means = [s.common_tps for s in snapshots if s.common_tps and s.phase != "failed"]
    slowest = min(means) if len(means) > 1 else None
    places = _places(snapshots, same_text=same_text)
    firsts = _order([(s.ttft_ms, i) for i, s in enumerate(snapshots) if s.ttft_ms is not None])
    return tuple(
        Standing(
            lane=lane,
            place=places.get(lane),
            first_place=firsts.get(lane),
            share=min(1.0, s.characters / (target or longest)) if longest else 0.0,
            speed=_speed(s),
            speedup=s.common_tps / slowest if slowest and s.common_tps and s.phase != "failed" else None,
            remaining_ms=_remaining_ms(s, target),
            snapshot=s,
        )
        for lane, s in enumerate(snapshots)
    )


def freeze(lanes: Sequence[tuple[Timeline, int | None, bool]]) -> FreezeFrame | None:
    """Return the frame at which the first lane finished, exact from the arrivals; None while none has.

    Args:
        lanes: of each its timeline, t_req in ns, and whether its answer is whole.
    """
    ends = [
        (timeline.at_ns[-1] - request_ns, lane)
        for lane, (timeline, request_ns, whole) in enumerate(lanes)
        if whole and request_ns is not None and len(timeline)
    ]
    if not ends:
        return None
    elapsed_ns, winner = min(ends)
    characters = tuple(
        0 if request_ns is None else characters_at(timeline, request_ns + elapsed_ns)
        for timeline, request_ns, _whole in lanes
    )
    total = characters[winner]
    return FreezeFrame(winner, elapsed_ns / 1e6, tuple(min(1.0, c / total) for c in characters), characters)


def characters_at(timeline: Timeline, at_ns: int) -> int:
    """Return how many characters had arrived by a moment, ns on the timeline's clock."""
    rows = bisect_right(timeline.at_ns, at_ns)
    return sum(timeline.characters[:rows])


def departure_spread_ms(request_ns: Sequence[int | None]) -> float | None:
    """Return the time between the first and the last request's departure, in ms; None with fewer than two."""
    known = [ns for ns in request_ns if ns is not None]
    return (max(known) - min(known)) / 1e6 if len(known) > 1 else None


def progress_curve(timeline: Timeline, request_ns: int) -> list[tuple[float, int]]:
    """Return (ms since the request, characters so far) at each arrival: what a replay of the race needs."""
    totals = accumulate(timeline.characters)
    return [((at - request_ns) / 1e6, total) for at, total in zip(timeline.at_ns, totals, strict=True)]


def _speed(snapshot: Snapshot) -> float | None:
    live, native = snapshot.shown_tps, snapshot.output_speed_tps
    if live is None or snapshot.common_tps is None:
        return None
    # Live speed is counted in native tokens: scale it by what a native token is in common ones, so far.
    return live * snapshot.common_tps / native if native else live


def _remaining_ms(snapshot: Snapshot, target: int | None) -> float | None:
    if target is None or snapshot.phase not in RUNNING or not snapshot.characters_per_s:
        return None
    return max(0.0, (target - snapshot.characters) / snapshot.characters_per_s * 1000)


def _places(snapshots: Sequence[Snapshot], *, same_text: bool) -> dict[int, int]:
    running = [(i, s) for i, s in enumerate(snapshots) if s.phase != "failed" and s.characters]
    if not same_text:
        return _order([(-(s.common_tps or 0.0), i) for i, s in running])
    ended = [(s.e2e_ms, i) for i, s in running if s.phase in WHOLE and s.e2e_ms is not None]
    places = _order(ended)
    rest = [(-float(s.characters), i) for i, s in running if i not in places]
    return places | _order(rest, start=len(places) + 1)


def _order(keyed: Sequence[tuple[float, int]], *, start: int = 1) -> dict[int, int]:
    """Return places by lane for (key, lane) pairs, the smallest key first; equal keys share a place."""
    places: dict[int, int] = {}
    before: tuple[float, int] | None = None
    for count, (key, lane) in enumerate(sorted(keyed), start=start):
        place = before[1] if before is not None and before[0] == key else count
        places[lane] = place
        before = (key, place)
    return places
