"""The figures of an answer as values: a `Snapshot` while it streams, `Figures` when it is over."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from chatapp.stream.counts import TokenCountSource
from chatapp.stream.events import ArrivalSource, ServerTiming

Outcome = Literal["done", "length", "cancelled", "truncated", "failed"]
"""How an answer ended. Only `done` and `length` are whole answers."""

Phase = Literal["waiting", "sent", "streaming", "done", "length", "cancelled", "truncated", "failed"]

TTFT_LIMIT_MS = 0.2
"""A first-token latency whose stamp is less certain than this is marked."""

SPEED_LIMIT = 0.003
"""An output speed whose stamps or counts leave more than this relative error is marked."""


class TimeShares(msgspec.Struct, frozen=True):
    """Where the time went, in seconds; None where the server did not say."""

    queue_s: float | None
    prefill_s: float | None
    decode_s: float | None
    rest_s: float | None
    """Network and client: what remains of E2E."""
    overclaim_s: float | None = None
    """By how much the server's times exceed what passed here."""


class Goodput(msgspec.Struct, frozen=True):
    """The limits a request must meet to count as good; None where no limit is stated."""

    ttft_ms: float | None = None
    tpot_ms: float | None = None
    e2e_ms: float | None = None
    output_speed_tps: float | None = None


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """What the screen shows, 4 to 8 times a second. Times in milliseconds, speeds per second; None is a dash."""

    phase: Phase
    elapsed_ms: float | None
    """Since the request left, to now or to the end: the stopwatch that runs in TTFT's place until the first text."""
    ttft_ms: float | None
    ttfa_ms: float | None
    """First text outside reasoning; only where it differs from TTFT."""
    e2e_ms: float | None
    live_tps: float | None
    """Speed over the last second, while streaming, from the third chunk on."""
    output_speed_tps: float | None
    """The mean: output speed as defined, so far or in the end."""
    peak_tps: float | None
    icl_p50_ms: float | None
    icl_p99_ms: float | None
    input_tokens: int | None
    input_estimated: bool
    output_tokens: int | None
    output_estimated: bool
    reasoning_tokens: int | None
    characters: int
    characters_per_s: float | None
    common_tps: float | None
    """Speed in the common tokenizer, cl100k."""
    chunks: int
    series: tuple[float, ...]
    """Speed curve, oldest first, one value for each `series_bin_ms`."""
    series_bin_ms: float
    arrival_source: ArrivalSource
    simulated: bool
    ttft_uncertain_ms: float | None
    """Set where TTFT's stamp is less certain than `TTFT_LIMIT_MS`."""
    speed_uncertain: float | None
    """Set, as a share, where the stamps leave more error in output speed than `SPEED_LIMIT`."""
    server_timing: ServerTiming | None
    time_shares: TimeShares | None
    connect_ms: float | None
    """Connection set-up before the request; None on a warm connection."""
    warnings: tuple[str, ...]

    @property
    def shown_tps(self) -> float | None:
        """The big number: live while text streams, the mean when it is over."""
        return self.live_tps if self.phase == "streaming" else self.output_speed_tps


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """The final figures of one answer. Field names are those of the JSON reports; None is a dash."""

    outcome: Outcome | None = None
    ttft_ms: float | None = None
    ttfa_ms: float | None = None
    """First text outside reasoning; equal to `ttft_ms` where there was no reasoning."""
    output_speed_tps: float | None = None
    tpot_ms: float | None = None
    icl_ms: float | None = None
    """Median inter-chunk latency."""
    icl_p99_ms: float | None = None
    e2e_ms: float | None = None
    perceived_tps: float | None = None
    peak_tps: float | None = None
    input_tokens: int | None = None
    input_estimated: bool = True
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    hidden_tokens: int = 0
    cached_tokens: int | None = None
    characters: int = 0
    characters_per_s: float | None = None
    common_tokens: int = 0
    common_tps: float | None = None
    chunks: int = 0
    token_count_source: TokenCountSource = "estimate"
    token_estimate_error: float | None = None
    """Our count over the server's, minus 1."""
    arrival_source: ArrivalSource = "process"
    ttft_uncertainty_ms: float | None = None
    speed_uncertainty: float | None = None
    doubtful: bool = False
    """A stamp or count leaves more error than the limits allow; `warnings` say which."""
    connect_ms: dict[str, float] = {}
    connection_reused: bool | None = None
    simulated: bool = False
    server_timing: ServerTiming | None = None
    warnings: tuple[str, ...] = ()
    error: str | None = None
    """`code: message` where the answer failed, was cut off, or was cancelled."""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        builtins: dict[str, Any] = msgspec.to_builtins(self)
        return builtins
