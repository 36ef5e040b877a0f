"""From a prediction to the pace of a simulated answer."""

from __future__ import annotations

from chatapp.errors import UsageError
from chatapp.hardware.facts import load_facts
from chatapp.hardware.model import Workload, serve, speculation_of
from chatapp.hardware.predict import Prediction
from chatapp.hardware.schedule import Pace

_AHEAD = 1000
"""Tokens of context over which the slowing of decode is measured; it is linear in the context."""


def pace_of(prediction: Prediction) -> Pace:
    """Return the pace that the model predicts: its middle, without the interval."""
    setup, workload, p = prediction.setup, prediction.workload, prediction.parameters
    draft = speculation_of(setup, workload, p)

    def step_at(context: int) -> float:
        there = Workload(max(1, context - 1), 1, workload.batch, workload.tokens_per_step)
        timing = serve(setup, there, p)
        return (timing.tpot_s - timing.interference_s) * timing.tokens_per_step

    first = step_at(workload.input_tokens)
    further = step_at(workload.input_tokens + _AHEAD)
    timing = prediction.timing
    return Pace(
        prefill_s=timing.ttft_s - timing.queue_s,
        step_s=first + timing.interference_s * timing.tokens_per_step,
        step_s_per_token=max(0.0, (further - first) / _AHEAD),
        tokens_per_step=timing.tokens_per_step,
        draft_tokens=draft.draft_tokens,
        queue_s=timing.queue_s,
        network_s=prediction.network_s,
        jitter=load_facts().section("assumptions").number("step_jitter"),
    )


def claimed_pace(prediction: Prediction) -> Pace:
    """Return the pace of the vendor's figures: the largest claimed speed, and the claimed TTFT where there is one.

    Raises:
        UsageError: nothing is claimed for this system and model.
    """
    speeds = [row.value for row in prediction.claims if row.kind == "speed"]
    if not speeds:
        raise UsageError(
            f"no claim is shipped for {prediction.setup.model.label} on {prediction.setup.system.label}",
            hint="pace by the model instead: leave out --pace claimed",
        )
    ttfts = [row.value / 1e3 for row in prediction.claims if row.kind == "ttft"]
    model = pace_of(prediction)
    return Pace(
        prefill_s=max(ttfts[0] - model.network_s, 0.0) if ttfts else model.prefill_s,
        step_s=1 / max(speeds),
        network_s=model.network_s,
        jitter=model.jitter,
    )
