"""Steps, prefills and requests put together from the terms, and serving at a load. Seconds throughout."""

from __future__ import annotations

from dataclasses import dataclass

from chatapp.hardware import terms
from chatapp.hardware.memory import batch_limit
from chatapp.hardware.parameters import Parameters
from chatapp.hardware.speculative import NONE, Speculation, speculation
from chatapp.hardware.terms import Setup

Parts = dict[str, float]
"""Seconds by term, in the order in which a reader follows them."""

HOSTED = ("wafer", "lpu", "rdu")
"""Families whose published speeds are nearly all of hosted services, with speculation that nobody states."""
DRAFT_PARAMS = 8e9
"""Assumption (range 2e9 to 2e10): the size of model at which half of speculation's gain is left."""

DRAFT_SHARE = 0.06
"""What one draft token costs of a step where no row of the family tells (see priors.py)."""

_ROUNDS = 60
"""Of the fixed-point iteration for waiting times; it settles to 1e-6 within 40 at the highest loads."""


@dataclass(frozen=True, slots=True)
class Workload:
    """What is asked of a system at the same time."""

    input_tokens: int
    output_tokens: int
    batch: int = 1
    """Requests in flight, in a closed loop: one that ends is followed by the next."""
    tokens_per_step: float | None = None
    """1 without speculative decoding; None where it is not stated."""

    @property
    def middle(self) -> float:
        """Context in the middle of the answer."""
        return self.input_tokens + self.output_tokens / 2


@dataclass(frozen=True, slots=True)
class Timing:
    """How a request goes at a load."""

    step: Parts
    """One decode step, speculation included, without neighbours' prefills."""
    prefill: Parts
    tokens_per_step: float
    tpot_s: float
    """Time per output token, neighbours' prefills included."""
    interference_s: float
    """The part of it that neighbours' prefills take."""
    queue_s: float
    """Waiting before the prefill."""
    ttft_s: float
    running: int
    """Conversations decoded at once: the batch, or what memory holds."""
    output_tokens: int
    input_tokens: int

    @property
    def speed_tps(self) -> float:
        """Output speed of one user."""
        return 1 / self.tpot_s

    @property
    def e2e_s(self) -> float:
        """First to last: TTFT and the rest of the answer."""
        return self.ttft_s + (self.output_tokens - 1) * self.tpot_s

    def throughput_tps(self, batch: int) -> float:
        """Output tokens a second of all users together."""
        return batch * self.output_tokens / (self.ttft_s + self.output_tokens * self.tpot_s)


def speculation_of(setup: Setup, workload: Workload, p: Parameters) -> Speculation:
    """Return the stated speculation; where a hosted wafer, LPU or RDU states none, what the family's gain implies.

    Formula: gain ^ (a / (a + 8e9)), a being the active parameters: a draft of some billion parameters costs a small
    model about what it saves.
    """
    if workload.tokens_per_step is not None:
        return speculation(workload.tokens_per_step)
    if setup.endpoint and setup.system.family in HOSTED:
        active = setup.model.active_params
        gain = max(1.0, p["unstated_gain"] ** (active / (active + DRAFT_PARAMS)))
        return Speculation(gain, max(1, round(gain)), stated=False)
    return NONE


def step_parts(setup: Setup, sequences: float, context: float, draft: Speculation, p: Parameters) -> Parts:
    """Return the terms of one decode step for that many conversations of that context."""
    parts = _pass_parts(setup, sequences, context, draft, p)
    if draft.stated and draft.draft_tokens:
        share = p.values.get("draft_share", DRAFT_SHARE)
        parts["proposing draft tokens"] = draft.draft_tokens * share * sum(parts.values())
    return parts


def _pass_parts(setup: Setup, sequences: float, context: float, draft: Speculation, p: Parameters) -> Parts:
    tokens = sequences * draft.positions
    if setup.system.spatial:
        return {
            "layers": terms.layer_time(setup, p),
            "chip to chip": terms.hop_time(setup, p),
            "weights and cache from SRAM": terms.sram_time(setup, 1, context),
            "service": p["token_s"] if setup.endpoint and "token_s" in p.values else 0.0,
            "others in the pipeline": _crowding(setup, sequences, p),
        }
    reading = terms.weight_time(setup, tokens, p)
    multiplying = terms.arithmetic_time(setup, tokens, 0, p)
    return {
        "weights from memory": reading,
        "arithmetic beyond that": max(0.0, multiplying - reading),
        "experts touched": terms.expert_time(setup, tokens, p),
        "KV cache from memory": terms.cache_time(setup, sequences, context, p),
        "kernel floors": terms.kernel_time(setup, p),
        "exchange between chips": terms.exchange_time(setup, tokens),
        "other conversations' bookkeeping": terms.sequence_time(sequences, p),
    }


def _crowding(setup: Setup, sequences: float, p: Parameters) -> float:
    """Return the wait of a token where more conversations are in flight than the layers can hold one by one."""
    slots = setup.model.layers
    return max(0.0, sequences / slots - 1) * terms.layer_time(setup, p)


def prefill_parts(setup: Setup, tokens: int, p: Parameters) -> Parts:
    """Return the terms of reading a prompt of that many tokens."""
    multiplying = terms.arithmetic_time(setup, tokens, tokens / 2, p)
    request_s = 0.0 if setup.inside else p["request_s"]
    if setup.system.spatial:
        return {
            "arithmetic": multiplying,
            "filling the pipeline": terms.layer_time(setup, p) + terms.hop_time(setup, p),
            "request": request_s,
        }
    loading = terms.load_time(setup, p)
    return {
        "arithmetic": multiplying,
        "weights beyond that": max(0.0, loading - multiplying),
        "kernel floors": terms.kernel_time(setup, p),
        "exchange between chips": terms.exchange_time(setup, tokens),
        "request": request_s,
    }


def serve(setup: Setup, workload: Workload, p: Parameters) -> Timing:
    """Return how a request goes while `batch` of them are in flight.

    Neighbours' prefills take turns with decode steps: over the answer's length every neighbour is replaced about once,
    so that each token waits for interference x (running - 1) x prefill / output tokens. A request's own prefill waits
    for others' as in a queue with one server, bunching x rho / (2 (1 - rho)) prefills (Pollaczek-Khinchine, constant
    service; requests that began together end together, hence the bunching);
    where memory holds fewer conversations than are in flight, the rest wait for a place.
    """
    draft = speculation_of(setup, workload, p)
    prefill = prefill_parts(setup, workload.input_tokens, p)
    request_s = prefill["request"]
    busy = sum(prefill.values()) - request_s
    batch = max(1, workload.batch)
    room = (
        batch
        if setup.system.spatial
        else batch_limit(setup.system, setup.model, setup.precision, setup.chips, workload.middle)
    )
    running = min(batch, room)
    per_stage = running / setup.stages if not setup.system.spatial else running
    step = step_parts(setup, max(1.0, per_stage), workload.middle, draft, p)
    step_s = sum(step.values())
    interference_share = p.values.get("interference", 0.0) / setup.stages
    interference = interference_share * (running - 1) * busy / max(1, workload.output_tokens)
    tpot = step_s / draft.tokens_per_step + interference
    queue = 0.0
    beside = busy + request_s + (step_s if running > 1 else 0.0)
    for _ in range(_ROUNDS):
        cycle = beside + queue + workload.output_tokens * tpot
        rho = min(0.95, (running - 1) * busy / setup.stages / cycle)
        before = queue
        queue = (queue + p.values.get("bunching", 1.0) * rho / (2 * (1 - rho)) * busy) / 2
        if abs(queue - before) <= 1e-7 * cycle:
            break
    if batch > running:
        queue += (batch - running) / running * (beside + workload.output_tokens * tpot)
    return Timing(
        step=step,
        prefill=prefill,
        tokens_per_step=draft.tokens_per_step,
        tpot_s=tpot,
        interference_s=interference,
        queue_s=queue,
        ttft_s=beside + queue,
        running=running,
        output_tokens=workload.output_tokens,
        input_tokens=workload.input_tokens,
    )
