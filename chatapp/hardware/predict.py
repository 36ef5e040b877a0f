"""Ask the model: how fast a model runs on so many systems, with an interval, a breakdown, and what would change it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from chatapp.errors import UsageError
from chatapp.hardware.facts import FactBook, load_facts
from chatapp.hardware.measurements import Measurement, load_measurements
from chatapp.hardware.memory import Fit, check_fit
from chatapp.hardware.model import HOSTED, Parts, Timing, Workload, serve
from chatapp.hardware.models import Model, find_model
from chatapp.hardware.names import SystemName, parse_system
from chatapp.hardware.parameters import Parameters, load_parameters
from chatapp.hardware.systems import System, find_system
from chatapp.hardware.terms import Setup, physical_limit

MAX_BATCH = 65_536


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its 90 % interval."""

    value: float
    low: float
    high: float

    @classmethod
    def around(cls, value: float, half_width: float) -> Estimate:
        """Return the interval that is `half_width` wide to each side as a logarithm."""
        factor = math.exp(half_width)
        return cls(value, value / factor, value * factor)


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the model says of one case."""

    setup: Setup
    workload: Workload
    fit: Fit
    timing: Timing
    parameters: Parameters
    network_s: float
    counted: bool
    """Whether the number of chips was given; else it is the smallest that holds the model."""
    speed: Estimate
    """Output tokens a second of one user."""
    ttft: Estimate
    """Seconds, network included."""
    throughput: Estimate
    """Output tokens a second of all users."""
    limit_tps: float
    """What memory bandwidth alone would allow one user, without speculation: the physical limit."""
    claims: tuple[Measurement, ...]
    """Published claims for this system and model that the model has not seen."""

    @property
    def e2e_s(self) -> float:
        """Time to the last token, network included."""
        return self.timing.e2e_s + self.network_s

    @property
    def per_token(self) -> Parts:
        """Seconds of an output token by term: the step's terms over its tokens, and neighbours' prefills."""
        parts = {name: value / self.timing.tokens_per_step for name, value in self.timing.step.items()}
        parts["neighbours' prefills"] = self.timing.interference_s
        return {name: value for name, value in parts.items() if value > 0}

    @property
    def dominating(self) -> tuple[str, float]:
        """The term that takes most of a token's time, and its share."""
        parts = self.per_token
        name = max(parts, key=lambda term: parts[term])
        return name, parts[name] / sum(parts.values())

    @property
    def title(self) -> str:
        """What is predicted, in one line."""
        s = self.setup
        return f"{s.model.label} ({s.precision.name}) on {s.chips} × {s.system.label}"


def predict(
    system: str | SystemName,
    model: str,
    *,
    input_tokens: int = 1000,
    output_tokens: int = 1000,
    batch: int = 1,
    precision: str = "",
    tokens_per_step: float | None = None,
    facts: FactBook | None = None,
) -> Prediction:
    """Predict one case.

    Args:
        system: a name with or without a count; without one, the smallest number that holds the model.
        model: a name or alias.
        input_tokens: the prompt's length.
        output_tokens: the answer's length.
        batch: requests in flight on the system, this one included.
        precision: of the weights; the model's own where empty.
        tokens_per_step: mean tokens a step with speculative decoding; None for the family's usual.
        facts: to predict from others than the shipped and the user's.

    Raises:
        UsageError: a name is unknown, a number is absurd, the context exceeds the window, or the model does not fit.
    """
    facts = facts or load_facts()
    name = parse_system(system) if isinstance(system, str) else system
    machine, shape = find_system(facts, name.system), find_model(facts, model)
    form = shape.precision(precision)
    _check(shape, input_tokens, output_tokens, batch, tokens_per_step)
    room = facts.section("assumptions").number("kv_headroom_tokens")
    context = min(shape.context, max(input_tokens + output_tokens, int(room)))
    probe = check_fit(machine, shape, form, name.count or 1, context)
    chips = name.count or probe.smallest
    if not chips:
        raise UsageError(f"{shape.label} in {form.name}: no number of {machine.label} up to a sensible one holds it")
    held = probe if name.count else check_fit(machine, shape, form, chips, context)
    if not held.fits:
        hint = f"try {machine.name}x{held.smallest}/{shape.name}" if held.smallest else "choose a smaller model"
        raise UsageError(f"{shape.label} does not fit {chips} × {machine.label}: {held.explanation}", hint=hint)
    setup = Setup(machine, shape, form, chips, endpoint=machine.family in HOSTED)
    workload = Workload(input_tokens, output_tokens, batch, tokens_per_step)
    return _predict(facts, setup, workload, held, counted=name.count is not None)


def _predict(facts: FactBook, setup: Setup, workload: Workload, held: Fit, *, counted: bool) -> Prediction:
    parameters = load_parameters().families[setup.system.family]
    timing = serve(setup, workload, parameters)
    network_s = facts.section("assumptions").number("network_round_trip")
    width = parameters.half_width
    return Prediction(
        setup=setup,
        workload=workload,
        fit=held,
        timing=timing,
        parameters=parameters,
        network_s=network_s,
        counted=counted,
        speed=Estimate.around(timing.speed_tps, width["speed"]),
        ttft=Estimate.around(timing.ttft_s + network_s, width["ttft"]),
        throughput=Estimate.around(timing.throughput_tps(workload.batch), width["throughput"]),
        limit_tps=1 / physical_limit(setup, workload.middle),
        claims=tuple(claims_for(facts, setup.system, setup.model)),
    )


def claims_for(facts: FactBook, system: System, model: Model) -> list[Measurement]:
    """Return the claimed output speeds and TTFTs of a system and model, as published."""
    rows, _unmapped = load_measurements(facts)
    return [
        row
        for row in rows
        if row.claim
        and row.kind in ("speed", "ttft")
        and (row.setup.system.name, row.setup.model.name) == (system.name, model.name)
    ]


def _check(model: Model, input_tokens: int, output_tokens: int, batch: int, tokens_per_step: float | None) -> None:
    for what, value, most in (
        ("input tokens", input_tokens, 100_000_000),
        ("output tokens", output_tokens, 100_000_000),
        ("batch", batch, MAX_BATCH),
    ):
        if not 1 <= value <= most:
            raise UsageError(f"{what} must lie between 1 and {most:,}, not {value:,}")
    if tokens_per_step is not None and not 1 <= tokens_per_step <= 16:
        raise UsageError(f"tokens per step must lie between 1 and 16, not {tokens_per_step:g}")
    context = input_tokens + output_tokens
    if context > model.context:
        raise UsageError(
            f"{input_tokens:,} + {output_tokens:,} tokens are beyond the window of {model.label} ({model.context:,})",
            hint=f"input and output together may have {model.context:,} tokens",
        )


@dataclass(frozen=True, slots=True)
class Change:
    """What one change would do."""

    change: str
    factor: float
    """Speed of one user after over before."""


def what_if(prediction: Prediction) -> list[Change]:
    """Return what single changes would do to one user's speed, the strongest first: the answer to "what doubles it"."""
    p, setup, workload = prediction.parameters, prediction.setup, prediction.workload
    system = setup.system
    halved = dict.fromkeys(("kernel_s", "layer_s", "width_s", "hop_s", "token_s"), 0.5)
    faster_floors = replace(p, values={k: v * halved.get(k, 1.0) for k, v in p.values.items()})
    now = prediction.timing.tokens_per_step
    cases: list[tuple[str, Setup, Workload, Parameters]] = [
        (
            "twice the memory bandwidth",
            replace(setup, system=replace(system, memory_bandwidth=system.memory_bandwidth * 2)),
            workload,
            p,
        ),
        ("half the latency of every step in a layer", setup, workload, faster_floors),
        ("twice the chips", replace(setup, chips=setup.chips * 2), workload, p),
    ]
    if workload.tokens_per_step is not None or now == 1:  # else the gain already holds it, in an unknown share
        more = f"speculative decoding with {now + 1:.1f} tokens a step"
        cases.append((more, setup, replace(workload, tokens_per_step=min(16.0, now + 1)), p))
    if workload.batch > 1:
        cases.append(("no neighbours", setup, replace(workload, batch=1), p))
    if setup.precision.other_bits > 8 and not system.spatial:
        cases.append(("weights of 8 bits", replace(setup, precision=setup.model.precision("fp8")), workload, p))
    changes = [
        Change(what, serve(setup_, workload_, p_).speed_tps / prediction.timing.speed_tps)
        for what, setup_, workload_, p_ in cases
    ]
    return sorted(changes, key=lambda change: -change.factor)
