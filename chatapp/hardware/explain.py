"""Why a system is as fast as it is: the terms of a prediction with seconds, share, formula, source and plain words."""

from __future__ import annotations

from dataclasses import dataclass

from chatapp.hardware.facts import FactBook, load_facts
from chatapp.hardware.model import Parts
from chatapp.hardware.names import parse_name
from chatapp.hardware.predict import Change, Prediction, predict, what_if


@dataclass(frozen=True, slots=True)
class Wording:
    """How a term is explained."""

    meaning: str
    formula: str
    source: str


_TABLES = "kernel tables of ai-dynamo/aiconfigurator; share fitted (chatapp hardware calibration)"

WORDINGS: dict[str, Wording] = {
    "weights from memory": Wording(
        "every step reads the weights that its tokens touch",
        "bytes / (chips × bandwidth × share)",
        _TABLES,
    ),
    "arithmetic beyond that": Wording(
        "multiplying takes longer than reading once many users share a step",
        "2 × active parameters × tokens / (chips × peak × share), beyond the reading",
        _TABLES,
    ),
    "experts touched": Wording(
        "each further expert is one more small matrix to fetch",
        "layers × experts touched × fixed time",
        "fitted; experts touched: E (1 - (1 - k/E)^(tokens^skew))",
    ),
    "KV cache from memory": Wording(
        "every step reads the conversation so far",
        "conversations × cache bytes × copies / (chips × bandwidth × share)",
        "model config; MLA keeps its latent on every chip",
    ),
    "kernel floors": Wording(
        "each operation is launched by itself and takes some microseconds, however small it is",
        "kernels of all layers × floor",
        "floor fitted; kernels counted from the architecture",
    ),
    "exchange between chips": Wording(
        "chips that share a layer add up their results twice a layer",
        "2 × layers × (latency + tokens × width × 2 bytes / link)",
        "all-reduce tables of ai-dynamo/aiconfigurator",
    ),
    "other conversations' bookkeeping": Wording(
        "sampling and scheduling of the other users",
        "(users - 1) × fixed time",
        "fitted",
    ),
    "neighbours' prefills": Wording(
        "while a neighbour's prompt is read, everybody's next token waits",
        "share × (users - 1) × prefill / output tokens",
        "fitted on concurrency sweeps of Kimi K2.6",
    ),
    "proposing draft tokens": Wording(
        "the draft that speculates costs time as well",
        "draft tokens × share of a step",
        "NVIDIA's DeepSeek-R1 steps on B200",
    ),
    "layers": Wording(
        "activations flow through every layer on the wafer; weights never move",
        "serial products × (floor + width × per-width)",
        "WaferLLM (arXiv 2502.04563); fitted",
    ),
    "chip to chip": Wording(
        "the model is spread over many wafers, and each token visits all of them",
        "wafers × hop",
        "none published: fitted",
    ),
    "weights and cache from SRAM": Wording(
        "reading what one token needs at one wafer's bandwidth",
        "bytes / bandwidth",
        "vendor's SRAM bandwidth",
    ),
    "service": Wording(
        "what a hosted service adds to each step: sampling, the way to the host and back",
        "fixed time",
        "first service against research kernels; fitted",
    ),
    "others in the pipeline": Wording(
        "more conversations are in flight than the layers can hold at once",
        "(users / layers - 1) × layers' time",
        "assumption: one conversation a layer",
    ),
    "arithmetic": Wording(
        "the whole prompt is multiplied at once",
        "2 × active parameters × tokens / (chips × peak × share)",
        _TABLES,
    ),
    "weights beyond that": Wording(
        "a short prompt is read faster than all weights are",
        "all weights / (chips × bandwidth × share), beyond the arithmetic",
        _TABLES,
    ),
    "filling the pipeline": Wording("the first token passes through every wafer", "layers' time + hops", "as above"),
    "request": Wording("parsing, scheduling, first sampling", "fixed time", "fitted"),
    "waiting for a place": Wording(
        "other prompts are read first",
        "bunching × rho / (2 (1 - rho)) × prefill; and whole answers where memory is full",
        "queue with one server (Pollaczek-Khinchine); bunching fitted",
    ),
    "network": Wording("to the data centre and back", "assumed round trip", "assumption, range 5 to 150 ms"),
}


LATENCIES = ("kernel floors", "exchange between chips", "layers", "chip to chip", "service")
"""Terms that more bandwidth would not shorten."""


@dataclass(frozen=True, slots=True)
class Term:
    """One bar of the view."""

    name: str
    seconds: float
    share: float
    """Of the total it belongs to."""
    meaning: str
    formula: str
    source: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """The whole view."""

    title: str
    prediction: Prediction
    token: tuple[Term, ...]
    """One output token, the longest term first."""
    first: tuple[Term, ...]
    """The time to the first token."""
    limit: str
    """The physical limit beside the prediction, in a sentence."""
    changes: tuple[Change, ...]
    claims: tuple[str, ...]
    assumptions: tuple[str, ...]

    def __str__(self) -> str:
        """Return it as plain text with bars, for any view that has no better form."""
        return "\n".join(text_lines(self))


def explain(name: str, *, input_tokens: int = 1000, output_tokens: int = 1000, batch: int = 1) -> Explanation:
    """Explain a simulated backend by its name, `sim:SYSTEM[xN]/MODEL`.

    Raises:
        UsageError: as `predict`.
    """
    wanted = parse_name(name)
    return explain_prediction(
        predict(wanted.system, wanted.model, input_tokens=input_tokens, output_tokens=output_tokens, batch=batch)
    )


def explain_prediction(prediction: Prediction, facts: FactBook | None = None) -> Explanation:
    """Return the explanation of a prediction."""
    first = dict(prediction.timing.prefill)
    first["waiting for a place"] = prediction.timing.queue_s
    first["network"] = prediction.network_s
    return Explanation(
        title=prediction.title,
        prediction=prediction,
        token=_terms(prediction.per_token),
        first=_terms(first),
        limit=limit_sentence(prediction),
        changes=tuple(what_if(prediction)),
        claims=claim_lines(prediction),
        assumptions=_assumptions(prediction, facts or load_facts()),
    )


def _terms(parts: Parts) -> tuple[Term, ...]:
    total = sum(parts.values()) or 1.0
    ordered = sorted((item for item in parts.items() if item[1] > 0), key=lambda item: -item[1])
    return tuple(
        Term(name, seconds, seconds / total, w.meaning, w.formula, w.source)
        for name, seconds in ordered
        for w in (WORDINGS[name],)
    )


def limit_sentence(prediction: Prediction) -> str:
    """Return what bandwidth alone would allow, and how far away that is."""
    gap = prediction.limit_tps / prediction.speed.value
    name, share = prediction.dominating
    bound = f"{share:.0%} of a token's time is {name}."
    limit = f"Bytes over bandwidth alone would allow one user {prediction.limit_tps:,.0f} tok/s"
    if gap < 2:
        return f"{limit}; the prediction of {prediction.speed.value:,.0f} is near it. {bound}"
    reason = "What stands between is latency: " if name in LATENCIES else ""
    return f"{limit}, {gap:,.0f} times the prediction of {prediction.speed.value:,.0f}. {reason}{bound}"


def claim_lines(prediction: Prediction) -> tuple[str, ...]:
    """Return each published claim beside the model's figure, which has not seen it."""
    lines = []
    for row in prediction.claims:
        scale, unit = (1e-3, "s") if row.kind == "ttft" else (1.0, "tok/s")
        estimate = prediction.ttft if row.kind == "ttft" else prediction.speed
        lines.append(
            f"claim {row.value * scale:,.4g} {unit} ({row.claim}, {row.date}); model, not having seen it, "
            f"{_figure(estimate.value)} ({_figure(estimate.low)} to {_figure(estimate.high)})"
        )
    return tuple(lines)


def _assumptions(prediction: Prediction, facts: FactBook) -> tuple[str, ...]:
    found = []
    records = (prediction.setup.system.record, prediction.setup.model.record, facts.section("assumptions"))
    for record in records:
        for key, fact in record.facts.items():
            if fact.assumed and not isinstance(fact.value, str):
                scope = f"{fact.value:g} {fact.unit} ({fact.low:g} to {fact.high:g})"
                found.append(f"{key.replace('_', ' ')}: {scope}; {fact.source}")
    if prediction.workload.tokens_per_step is None and prediction.timing.tokens_per_step > 1:
        found.append(
            f"tokens per step: {prediction.timing.tokens_per_step:.2f}, "
            "what hosted services of this family gain without stating how"
        )
    return tuple(found)


def detail_of(prediction: Prediction, *, claimed: bool = False) -> dict[str, str | float]:
    """Return what a panel shows of a simulated backend: limit, dominating term, interval, claims."""
    name, share = prediction.dominating
    detail: dict[str, str | float] = {
        "limit_tps": prediction.limit_tps,
        "dominant": f"{name} {share:.0%}",
        "predicted_tps": prediction.speed.value,
        "predicted_low_tps": prediction.speed.low,
        "predicted_high_tps": prediction.speed.high,
        "predicted_ttft_ms": prediction.ttft.value * 1e3,
        "chips": prediction.setup.chips,
        "precision": prediction.setup.precision.name,
        "tokens_per_step": prediction.timing.tokens_per_step,
        "users": prediction.workload.batch,
        "pace": "vendor's figure played back" if claimed else "model",
    }
    speeds = [row for row in prediction.claims if row.kind == "speed"]
    if speeds:
        best = max(speeds, key=lambda row: row.value)
        detail["claim"] = (
            f"{best.value:,.0f}; model, not having seen it, {prediction.speed.value:,.0f} "
            f"({prediction.speed.low:,.0f} to {prediction.speed.high:,.0f})"
        )
    if not prediction.counted:
        detail["chips_note"] = "the smallest number that holds the model"
    return detail


def text_lines(explanation: Explanation, *, width: int = 24) -> list[str]:
    """Return the explanation as lines of text, with a bar for each term."""
    p = explanation.prediction
    out = [
        explanation.title,
        f"{p.speed.value:,.0f} tok/s ({p.speed.low:,.0f} to {p.speed.high:,.0f}), first token after "
        f"{p.ttft.value * 1e3:,.0f} ms ({p.ttft.low * 1e3:,.0f} to {p.ttft.high * 1e3:,.0f})",
        "",
        "One output token",
        *_bars(explanation.token, width),
        "",
        "Time to the first token",
        *_bars(explanation.first, width),
        "",
        explanation.limit,
    ]
    out += explanation.claims
    out += ["", "What would change it"]
    out += [f"  {change.factor:>5.2f}x  {change.change}" for change in explanation.changes]
    return out


def _bars(terms: tuple[Term, ...], width: int) -> list[str]:
    longest = max((len(term.name) for term in terms), default=0)
    lines = []
    for term in terms:
        filled = "█" * max(1, round(term.share * width))
        lines.append(f"  {term.name:<{longest}}  {_time(term.seconds):>9}  {term.share:>4.0%}  {filled}")
    return lines


def _time(seconds: float) -> str:
    return f"{seconds * 1e3:.2f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.1f} µs"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2f}"
