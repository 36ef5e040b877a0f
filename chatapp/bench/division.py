"""How a level of load is divided among workers, and how what they measured becomes one result again. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from chatapp.bench.health import Health, judge
from chatapp.bench.request import Response
from chatapp.bench.runner import Part, Run
from chatapp.bench.schedule import Load
from chatapp.clock import NS_PER_S
from chatapp.stream.events import BackendInfo


def divide(load: Load, workers: int) -> tuple[Load, ...]:
    """Return each worker's part of a load; fewer parts than workers where there is not enough to do.

    Concurrency and requests add up to the whole. Rates do, too: Poisson streams add up to a Poisson stream, and
    constant ones to a constant stream where worker k begins k gaps of the whole later (`delay_ns`).
    """
    most = min(workers, load.requests or workers, workers if load.rate else load.concurrency)
    places = _even(load.concurrency, most)
    weights = [1] * most if load.rate else places
    requests = None if load.requests is None else _shares(load.requests, weights)
    parts: list[Load] = []
    for index in range(most):
        if requests is not None and not requests[index]:
            continue
        parts.append(
            msgspec.structs.replace(
                load,
                requests=None if requests is None else requests[index],
                concurrency=max(1, places[index]) if load.concurrency else 0,
                rate=load.rate / most if load.rate else None,
            )
        )
    return tuple(parts)


def delay_ns(load: Load, index: int) -> int:
    """Return how much after the common start a worker begins."""
    return round(index / load.rate * NS_PER_S) if load.rate and load.arrivals == "constant" else 0


def _even(total: int, parts: int) -> list[int]:
    whole, rest = divmod(total, parts)
    return [whole + (index < rest) for index in range(parts)]


def _shares(total: int, weights: Sequence[int]) -> list[int]:
    """Divide in proportion; the parts add up to the total, however it rounds."""
    shares: list[int] = []
    seen = given = 0
    for weight in weights:
        seen += weight
        shares.append(round(total * seen / sum(weights)) - given)
        given += shares[-1]
    return shares


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """A worker's result, its start on the common time line."""

    part: Part
    run: Run | None
    """None where the worker was lost."""
    begun_ns: int
    """After the instant at which all were to begin."""


def unite(load: Load, info: BackendInfo, measured: Sequence[Measured], *, partial: str | None) -> Run:
    """Return one level of the responses of all workers: every figure comes from them, none from a worker's averages.

    Args:
        load: the whole.
        info: of the backend.
        measured: of each worker.
        partial: why it is not whole, beside what workers say.
    """
    responses: list[Response] = []
    lasted_s = 0.0
    reasons = [partial] if partial else []
    for one in measured:
        if one.run is None:
            continue
        shift_s = one.begun_ns / NS_PER_S
        lasted_s = max(lasted_s, shift_s + one.run.lasted_s)
        reasons += [one.run.partial] if one.run.partial else []
        responses += [
            msgspec.structs.replace(
                response,
                begun_s=response.begun_s + shift_s,
                ended_s=response.ended_s + shift_s,
                level=load.label,
                worker=one.part.worker,
            )
            for response in one.run.responses
        ]
    responses.sort(key=lambda response: response.begun_s)
    responses = [msgspec.structs.replace(response, number=number) for number, response in enumerate(responses)]
    health = worst(one.run.health for one in measured if one.run is not None)
    return Run(
        info=next((one.run.info for one in measured if one.run is not None), info),
        load=load,
        responses=tuple(responses),
        lasted_s=lasted_s,
        health=health,
        doubt=judge(health, [r.figures for r in responses if r.figures.error is None], rate=load.rate),
        partial="interrupted" if "interrupted" in reasons else "; ".join(dict.fromkeys(reasons)) or None,
        parts=tuple(one.part for one in measured),
    )


def worst(healths: Iterable[Health]) -> Health:
    """Return the worst of each: a report must hold for every response in it."""
    known = list(healths)

    def most(name: str) -> float | None:
        return max((value for one in known if (value := getattr(one, name)) is not None), default=None)

    return Health(
        cpu_share=most("cpu_share") or 0.0,
        lag_p50_ms=most("lag_p50_ms"),
        lag_p99_ms=most("lag_p99_ms"),
        lag_max_ms=most("lag_max_ms"),
        late_p99_ms=most("late_p99_ms"),
    )
