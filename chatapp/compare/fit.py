"""Claims of kind "fit": does the model fit so many systems? Arithmetic on sourced facts; nothing is asked."""

from __future__ import annotations

import datetime
from typing import Any, Literal

import msgspec

from chatapp.compare.claims import Claim
from chatapp.errors import UnknownNameError
from chatapp.hardware.facts import FactBook, load_facts
from chatapp.hardware.memory import check_fit
from chatapp.hardware.models import find_model
from chatapp.hardware.reports import fact_json
from chatapp.hardware.systems import find_system
from chatapp.hardware.tables import si

Outcome = Literal["supported", "contradicted", "unknown"]

SYSTEM_FACTS = ("memory_bytes", "reserved_bytes")
MODEL_FACTS = (
    *("layers", "hidden", "experts", "moe_intermediate", "intermediate", "weight_format"),
    *("total_params", "checkpoint_bytes"),
)


class FitVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the sourced figures say of a claim. Bytes throughout."""

    outcome: Outcome
    sentence: str
    systems: int
    """As claimed."""
    bound: str
    smallest: int | None = None
    """The smallest number of systems that holds weights and one conversation's cache; None where none does."""
    weight_bytes: float | None = None
    kv_bytes: float | None = None
    context: int | None = None
    """Tokens of the conversation whose cache is counted."""
    memory_bytes: float | None = None
    """Of the claimed systems, as published."""
    usable_bytes: float | None = None
    """The same less what the runtime keeps."""
    facts: dict[str, dict[str, Any]] = {}
    """What went in, each with unit, source, date and confidence."""

    @property
    def confirmed(self) -> bool:
        """Whether the claim holds."""
        return self.outcome == "supported"


def decide_fit(claim: Claim, *, facts: FactBook | None = None, today: datetime.date | None = None) -> FitVerdict:
    """Decide a claim of kind "fit".

    "At most n": supported where weights and the cache of one conversation fit n systems; contradicted where the bare
    weights exceed the published memory of n; between the two it depends on what the runtime needs, so it is unknown.
    "At least n": supported where fewer than n do not hold them, else contradicted.
    """
    facts = facts or load_facts()
    systems = int(claim.value)
    try:
        system, model = find_system(facts, claim.system), find_model(facts, claim.model)
    except UnknownNameError as exc:
        sentence = f"unknown: the sourced facts do not cover it ({exc.message})"
        return FitVerdict(outcome="unknown", sentence=sentence, systems=systems, bound=claim.bound)
    context = min(model.context, int(facts.section("assumptions").number("kv_headroom_tokens")))
    fit = check_fit(system, model, model.precision(), systems, context)
    memory = systems * system.memory_bytes
    outcome: Outcome
    if claim.bound == "at least":
        outcome = "unknown" if not fit.smallest else "supported" if fit.smallest >= systems else "contradicted"
        reason = (
            f"{fit.smallest or 'no number of'} {system.label} hold {model.label} with the cache of one conversation"
        )
    else:
        outcome = "supported" if fit.fits else "contradicted" if fit.weight_bytes > memory else "unknown"
        reason = f"{fit.explanation} ({system.label})"
    day = today or datetime.date.today()
    used = {f"{system.name}.{key}": system.record.facts.get(key) for key in SYSTEM_FACTS}
    used |= {f"{model.name}.{key}": model.record.facts.get(key) for key in MODEL_FACTS}
    return FitVerdict(
        outcome=outcome,
        sentence=f"{outcome}: {reason}",
        systems=systems,
        bound=claim.bound,
        smallest=fit.smallest or None,
        weight_bytes=fit.weight_bytes,
        kv_bytes=fit.kv_bytes,
        context=context,
        memory_bytes=memory,
        usable_bytes=fit.usable_bytes,
        facts={name: fact_json(fact, day) for name, fact in used.items() if fact is not None},
    )


def fit_lines(verdict: FitVerdict) -> list[str]:
    """Return the numbers behind a verdict, each with where it comes from."""
    if verdict.weight_bytes is None or verdict.kv_bytes is None or verdict.usable_bytes is None:
        return []
    lines = [
        f"weights         {verdict.weight_bytes / 1e9:,.1f} GB, computed from the model's shape",
        f"KV cache        {verdict.kv_bytes / 1e9:,.2f} GB for {verdict.context:,} tokens, copies included",
        f"memory of {verdict.systems:<5} {(verdict.memory_bytes or 0) / 1e9:,.1f} GB as published, "
        f"{verdict.usable_bytes / 1e9:,.1f} GB usable",
        f"smallest number {verdict.smallest or 'none'}",
        "facts:",
    ]
    for name, fact in verdict.facts.items():
        value = fact["value"]
        shown = value if isinstance(value, str) else si(value, "B") if fact["unit"] == "bytes" else f"{value:,.5g}"
        stale = ", older than 180 days" if fact["stale"] else ""
        lines.append(f"  {name} = {shown} ({fact['confidence']}, {fact['date']}{stale}): {fact['source']}")
    return lines
