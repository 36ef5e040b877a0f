"""From what arrived to the figures: the snapshot of a moment, and the final ones.

Here the definitions of `metrics` meet the counts of `tally`; nothing is defined here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from chatapp.stream import metrics
from chatapp.stream.counts import TokenCounts
from chatapp.stream.figures import SPEED_LIMIT, TTFT_LIMIT_MS, Figures, Snapshot
from chatapp.stream.merging import spread_arrivals
from chatapp.stream.pace import histogram_quantile
from chatapp.stream.timeline import ANSWER, REASONING

if TYPE_CHECKING:
    from chatapp.stream.answer import Answer

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000

SERIES_BINS = 60
SERIES_BIN_NS = 250_000_000
"""The speed curve on the screen: 15 s in steps of 0.25 s."""

CLOCK_STEP_NS = NS_PER_S
"""A stamp further in the future than this means that a clock was set."""


def _input_tokens(answer: Answer) -> tuple[int | None, bool]:
    if answer.usage is not None and answer.usage.input_tokens is not None:
        return answer.usage.input_tokens, False
    return answer.prompt_estimate, True


def _first_ms(answer: Answer, at_ns: Sequence[int], channel: int | None = None) -> float | None:
    """TTFT, or with a channel the same for that channel's first text."""
    row = answer.timeline.first() if channel is None else answer.first_rows[channel]
    first = None if row is None else at_ns[row]
    return _ms(metrics.ttft_ns(answer.request_ns, first))


def _arrivals(answer: Answer) -> Sequence[int]:
    """Arrivals for the final figures. The process clock cannot tell chunks of one packet from chunks read late."""
    timeline = answer.timeline
    if answer.arrival_source == "process":
        return timeline.at_ns
    return spread_arrivals(timeline.at_ns, timeline.uncertainty_ns)


def take_snapshot(answer: Answer, now_ns: int) -> Snapshot:
    """Return what the screen shows at `now_ns`, on the arrivals' clock."""
    timeline, tally = answer.timeline, answer.tally
    counts = tally.update(answer.usage)
    pace = tally.pace
    # While it streams the stamps as they are: what they leave open is known only from what comes after.
    at_ns = timeline.at_ns if answer.outcome is None else _arrivals(answer)
    rows = len(timeline)
    if rows and at_ns[-1] > now_ns + CLOCK_STEP_NS:
        answer.warn("clock_step: text is stamped in the future; speeds may be wrong")
    scale = tally.scale(counts)
    histogram = pace.gap_histogram()
    e2e = metrics.e2e_ns(answer.request_ns, at_ns)
    uncertain_ms = _first_uncertainty_ms(answer) or 0.0
    uncertain = _stamp_uncertainty(answer) or 0.0
    ttft, ttfa = _first_ms(answer, at_ns), _first_ms(answer, at_ns, ANSWER)
    input_tokens, input_estimated = _input_tokens(answer)
    live = pace.live(now_ns) if answer.outcome is None else None
    return Snapshot(
        phase=answer.phase,
        elapsed_ms=_elapsed_ms(answer, now_ns),
        ttft_ms=ttft,
        ttfa_ms=ttfa if ttfa != ttft else None,
        e2e_ms=_ms(e2e),
        live_tps=_times(live, scale),
        output_speed_tps=_times(_speed(at_ns, tally.total, tally.column), scale),
        peak_tps=_times(pace.peak, scale),
        icl_p50_ms=_ms(histogram_quantile(histogram, 0.5)),
        icl_p99_ms=_ms(histogram_quantile(histogram, 0.99)),
        input_tokens=input_tokens,
        input_estimated=input_estimated,
        output_tokens=counts.output,
        output_estimated=counts.estimated,
        reasoning_tokens=counts.reasoning,
        characters=answer.characters,
        characters_per_s=_speed(at_ns, answer.characters, timeline.characters),
        common_tps=_speed(at_ns, tally.common, timeline.common),
        chunks=rows,
        series=tuple(v * scale for v in pace.series(now_ns, bins=SERIES_BINS, bin_ns=SERIES_BIN_NS)),
        series_bin_ms=SERIES_BIN_NS / NS_PER_MS,
        arrival_source=answer.arrival_source,
        simulated=answer.info.simulated,
        ttft_uncertain_ms=uncertain_ms if uncertain_ms > TTFT_LIMIT_MS else None,
        speed_uncertain=uncertain if uncertain > SPEED_LIMIT else None,
        server_timing=answer.server_timing,
        time_shares=metrics.time_shares(answer.server_timing, None if e2e is None else e2e / NS_PER_S),
        connect_ms=sum(answer.sent.connect_ns.values()) / NS_PER_MS if answer.sent and answer.sent.connect_ns else None,
        warnings=answer.warnings + counts.warnings,
    )


def final_figures(answer: Answer) -> Figures:
    """Return the figures of the whole answer; of a broken one, those of what came."""
    tally = answer.tally
    counts = tally.update(answer.usage)
    timeline, sent = answer.timeline, answer.sent
    at_ns = _arrivals(answer)
    tokens = tally.scaled(counts)
    request_ns = answer.request_ns
    gaps = sorted(metrics.gaps_ns(at_ns))
    uneven = counts.scale_answer != counts.scale_reasoning and None not in answer.first_rows
    uneven = uneven or at_ns is not timeline.at_ns
    peak = metrics.peak_speed(at_ns, tokens) if uneven else _times(tally.pace.peak, tally.scale(counts))
    uncertainty = _speed_uncertainty(answer, counts, tokens)
    first_uncertainty = _first_uncertainty_ms(answer)
    input_tokens, input_estimated = _input_tokens(answer)
    warnings = answer.warnings + counts.warnings
    return Figures(
        outcome=answer.outcome,
        ttft_ms=_first_ms(answer, at_ns),
        ttfa_ms=_first_ms(answer, at_ns, ANSWER),
        output_speed_tps=metrics.output_speed(at_ns, tokens),
        tpot_ms=_ms(metrics.tpot_ns(at_ns, tokens)),
        icl_ms=_ms(metrics.quantile(gaps, 0.5)),
        icl_p99_ms=_ms(metrics.quantile(gaps, 0.99)),
        e2e_ms=_ms(metrics.e2e_ns(request_ns, at_ns)),
        perceived_tps=metrics.perceived_speed(request_ns, at_ns, tokens),
        peak_tps=peak,
        input_tokens=input_tokens,
        input_estimated=input_estimated,
        output_tokens=counts.output,
        reasoning_tokens=counts.reasoning,
        hidden_tokens=counts.hidden,
        cached_tokens=answer.usage.cached_tokens if answer.usage else None,
        characters=answer.characters,
        characters_per_s=metrics.characters_speed(at_ns, timeline.characters),
        common_tokens=tally.common,
        common_tps=metrics.output_speed(at_ns, timeline.common),
        chunks=len(timeline),
        token_count_source=counts.source,
        token_estimate_error=counts.estimate_error,
        arrival_source=answer.arrival_source,
        ttft_uncertainty_ms=first_uncertainty,
        speed_uncertainty=uncertainty,
        doubtful=(first_uncertainty or 0) > TTFT_LIMIT_MS
        or (uncertainty or 0) > SPEED_LIMIT
        or any(warning.startswith(("clock_step", "folded", "late_request")) for warning in warnings),
        connect_ms={name: ns / NS_PER_MS for name, ns in sent.connect_ns.items()} if sent else {},
        connection_reused=sent.reused if sent else None,
        simulated=answer.info.simulated,
        server_timing=answer.server_timing,
        warnings=warnings,
        error=_error(answer),
    )


def _speed_uncertainty(answer: Answer, counts: TokenCounts, tokens: list[float]) -> float | None:
    """Stamps' share, and the share of a first chunk whose count was scaled from another vocabulary's."""
    stamps = _stamp_uncertainty(answer)
    after = sum(tokens) - tokens[0] if tokens else 0.0
    if after <= 0 or answer.tally.stated:
        return stamps
    scale = counts.scale_reasoning if answer.timeline.channel[0] == REASONING else counts.scale_answer
    first = abs(tokens[0] - tokens[0] / scale) / after
    return first + (stamps or 0.0) if stamps is not None or first else None


def _first_uncertainty_ms(answer: Answer) -> float | None:
    """How much earlier the first text may have come; None where it is stamped by the process.

    A process knows only when it read last, which bounds nothing worth saying: that its clock was used is said instead.
    """
    timeline = answer.timeline
    if not len(timeline) or answer.arrival_source == "process":
        return None
    return timeline.uncertainty_ns[0] / NS_PER_MS


def _stamp_uncertainty(answer: Answer) -> float | None:
    if answer.arrival_source == "process":
        return None
    return metrics.speed_uncertainty(answer.timeline.at_ns, answer.timeline.uncertainty_ns)


def _speed(at_ns: Sequence[int], total: int, column: Sequence[int]) -> float | None:
    """Output speed in a column's unit, from its running total: a snapshot must not grow with the answer."""
    return metrics.speed_after_first(at_ns, total, column[0]) if column else None


def _elapsed_ms(answer: Answer, now_ns: int) -> float | None:
    if answer.sent is None:
        return None
    end = answer.finished or answer.failure
    return max(0, (end.at_ns if end else now_ns) - answer.sent.at_ns) / NS_PER_MS


def _error(answer: Answer) -> str | None:
    match answer.outcome:
        case "done" | "length":
            return None
        case "failed":
            assert answer.failure is not None
            return f"{answer.failure.code}: {answer.failure.message}"
        case None:
            return "unfinished: the answer has not ended"
        case outcome:
            return f"{outcome}: the answer is partial"


def _ms(ns: float | None) -> float | None:
    return None if ns is None else ns / NS_PER_MS


def _times(value: float | None, scale: float) -> float | None:
    return None if value is None else value * scale
