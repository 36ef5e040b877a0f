"""Whether this machine was fit to measure: its own CPU, its event loop's lag, and what the arrivals' stamps allow.

A load generator out of CPU reports its own queue as the server's latency, and says nothing: a known tool lost 11 % of
the speed of 100 streams that way. So the watch runs beside the load, and a report states how wrong its figures may be.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Literal

import msgspec

from chatapp.clock import NS_PER_MS, Clock
from chatapp.stream.metrics import Figures
from chatapp.stream.statistics import median, percentile

SAMPLE_NS = 20 * NS_PER_MS

CPU_LIMIT = 0.9
"""Share of one core above which the event loop has no slack left."""

LATENCY_FLOOR_MS = 0.2
"""Errors of latency below this are never held against a run."""

MARK_SHARE = 0.02
REFUSE_SHARE = 0.2
"""A possible error of a figure, as a share of its median, at which it is marked, and at which none is reported."""

Fitness = Literal["fit", "doubtful", "refused"]


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """How the measuring process itself fared."""

    cpu_share: float = 0.0
    """CPU time over wall time, in cores."""
    lag_p50_ms: float | None = None
    lag_p99_ms: float | None = None
    lag_max_ms: float | None = None
    """How late the event loop came to a timer."""
    late_p99_ms: float | None = None
    """How late requests of an open load were sent."""


class Doubt(msgspec.Struct, frozen=True, kw_only=True):
    """How wrong the figures may be because of the measuring side."""

    fitness: Fitness
    latency_error_ms: float
    """By how much first-token latencies may be too long (p99)."""
    speed_error: float
    """By what share output speeds may be off (p99)."""
    reasons: tuple[str, ...] = ()


class Watch:
    """Samples the event loop's lag and counts CPU time while a load runs.

    Args:
        clock: one with precise sleeps, else its own coarseness is taken for lag.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lags_ns: list[int] = []
        self._task: asyncio.Task[None] | None = None
        self._cpu_ns = self._wall_ns = 0

    async def __aenter__(self) -> Watch:
        self._cpu_ns, self._wall_ns = time.process_time_ns(), self._clock.now_ns()
        self._task = asyncio.create_task(self._sample())
        return self

    async def __aexit__(self, *_exc: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait([self._task])
        self._cpu_ns = time.process_time_ns() - self._cpu_ns
        self._wall_ns = self._clock.now_ns() - self._wall_ns

    async def _sample(self) -> None:
        deadline = self._clock.now_ns()
        while True:
            deadline = max(deadline, self._clock.now_ns()) + SAMPLE_NS
            await self._clock.sleep_until(deadline)
            self._lags_ns.append(self._clock.now_ns() - deadline)

    def health(self, lateness_ns: Sequence[int] = ()) -> Health:
        """Return what was seen; `lateness_ns` is how late each request of an open load was sent."""
        lags = self._lags_ns
        return Health(
            cpu_share=self._cpu_ns / self._wall_ns if self._wall_ns else 0.0,
            lag_p50_ms=_ms(median(lags)),
            lag_p99_ms=_ms(percentile(lags, 99)),
            lag_max_ms=_ms(max(lags, default=None)),
            late_p99_ms=_ms(percentile(lateness_ns, 99)),
        )


def judge(health: Health, figures: Sequence[Figures], *, rate: float | None = None) -> Doubt:
    """Say how wrong the figures may be.

    A kernel's stamp is late by no more than its own uncertainty, whatever the process did; a stamp taken by the process
    may be late by the event loop's lag. Figures are marked where their tail may be wrong, and refused where even their
    median is. Simulated ones are never refused: their lateness is this machine's, but no claim about another one.

    Args:
        health: of the measuring process.
        figures: of the successful responses.
        rate: requests per second of an open load.
    """
    reasons: list[str] = []
    latency, speed = _errors(health, figures, 99)
    ttft = median([f.ttft_ms for f in figures if f.ttft_ms is not None])
    if ttft and latency > max(LATENCY_FLOOR_MS, MARK_SHARE * ttft):
        share = latency / ttft
        reasons.append(f"first-token latencies may be up to {latency:.1f} ms too long ({share:.0%} of the median)")
    if speed > MARK_SHARE:
        reasons.append(f"output speeds may be off by up to {speed:.1%}")
    if health.cpu_share > CPU_LIMIT:
        reasons.append(f"this process used {health.cpu_share:.0%} of a core: it may have been the limit")
    late_ms = health.late_p99_ms or 0.0
    if rate and late_ms > max(LATENCY_FLOOR_MS, 100 / rate):  # a tenth of the mean gap
        reasons.append(f"requests were sent up to {late_ms:.1f} ms late (p99): the stated rate was not offered")
    usual_latency, usual_speed = _errors(health, [f for f in figures if not f.simulated], 50)
    refused = usual_speed > REFUSE_SHARE or bool(ttft and usual_latency > max(LATENCY_FLOOR_MS, REFUSE_SHARE * ttft))
    return Doubt(
        fitness="refused" if refused else "doubtful" if reasons else "fit",
        latency_error_ms=latency,
        speed_error=speed,
        reasons=tuple(reasons),
    )


def _errors(health: Health, figures: Sequence[Figures], percent: float) -> tuple[float, float]:
    """Return by how many ms TTFT, and by what share output speed, may be wrong, at a percentile."""
    by_kernel = [f for f in figures if f.arrival_source == "kernel"]
    by_process = [f for f in figures if f.arrival_source in ("process", "schedule")]
    latency = percentile([f.ttft_uncertainty_ms or 0.0 for f in by_kernel], percent) or 0.0
    speed = percentile([f.speed_uncertainty or 0.0 for f in by_kernel], percent) or 0.0
    if by_process:
        lag_ms = (health.lag_p50_ms if percent <= 50 else health.lag_p99_ms) or 0.0
        latency = max(latency, lag_ms)
        lasted = median([f.e2e_ms - f.ttft_ms for f in by_process if f.e2e_ms is not None and f.ttft_ms is not None])
        speed = max(speed, 2 * lag_ms / lasted if lasted else 0.0)
    return latency, speed


def _ms(ns: float | None) -> float | None:
    return None if ns is None else ns / NS_PER_MS
