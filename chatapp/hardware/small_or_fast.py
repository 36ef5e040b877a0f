"""Small or fast: the usual trade-off, with numbers.

To be fast on GPUs one takes a smaller, distilled or quantized model; on wafers the full one is fast. Speed from the
model, quality from published scores, a dash where none is published.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any

from chatapp.hardware.facts import Fact, FactBook, is_stale, load_facts
from chatapp.hardware.measurements import shipped_prices
from chatapp.hardware.predict import Prediction, predict

SCORES = {"quality_gpqa_diamond": "GPQA Diamond", "quality_swe_bench_verified": "SWE-bench Verified"}
"""The two scores that most of these models have, published by one source each or by the makers."""

CASES = (
    ("h100", "llama-3.1-8b"),
    ("h100", "gpt-oss-20b"),
    ("h100x2", "llama-3.1-70b-fp8"),
    ("h100x4", "deepseek-r1-distill-llama-70b"),
    ("h100x2", "gpt-oss-120b"),
    ("h200x8", "deepseek-r1"),
    ("h100x16", "kimi-k2.6"),
    ("b200x8", "kimi-k2.6"),
    ("cs3", "kimi-k2.6"),
)
BAR = ("h100x8", "gpt-3-175b")
"""The bar for size: what a large model was when the term became common."""

_PRICED = {
    "llama-3.1-8b": "Llama 3.1 8B",
    "llama-3.1-70b": "Llama 3.3 70B",
    "llama-3.1-70b-fp8": "Llama 3.3 70B",
    "gpt-oss-120b": "gpt-oss-120b",
    "gpt-oss-20b": "gpt-oss-20b",
    "kimi-k2.6": "Kimi K2.6",
}


@dataclass(frozen=True, slots=True)
class Score:
    """One published score, or that there is none."""

    benchmark: str
    fact: Fact | None

    def shown(self, today: datetime.date) -> str:
        """Return it as text with its date; a dash where none is published, a mark where it is older than 180 days."""
        if self.fact is None:
            return "–"
        return f"{self.fact.number:g} {self.fact.unit} ({_dated(self.fact, today)})"


@dataclass(frozen=True, slots=True)
class Price:
    """A published price, USD for a million output tokens."""

    usd: float
    provider: str
    date: str
    source: str

    def shown(self, today: datetime.date) -> str:
        """Return it as text, with a mark where it is older than 180 days."""
        return f"${self.usd:g} ({self.provider}, {self.date}{' †' if is_stale(self.date[:7], today) else ''})"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the screen."""

    prediction: Prediction
    kind: str
    """full, small, distilled or quantized."""
    scores: tuple[Score, ...]
    price: Price | None
    bar: bool = False
    """Whether it stands only as the bar for size."""

    @property
    def billions(self) -> float:
        """All parameters, in thousand millions."""
        return self.prediction.setup.model.total_params / 1e9


@dataclass(frozen=True, slots=True)
class Tradeoff:
    """The whole screen."""

    rows: tuple[Row, ...]
    stacks: tuple[Fact, ...]
    """A line each on CUDA and on the wafer's own software."""
    legend: str = "† older than 180 days   – none published"

    def about_stacks(self, today: datetime.date) -> tuple[str, ...]:
        """Return the lines on the software, each with its date."""
        return tuple(f"{fact.value} ({_dated(fact, today)})" for fact in self.stacks)


def tradeoff(facts: FactBook | None = None) -> Tradeoff:
    """Return the comparison.

    Raises:
        UsageError: a user's own facts make one of its cases impossible.
    """
    facts = facts or load_facts()
    rows = [_row(facts, system, model) for system, model in CASES]
    rows.append(_row(facts, *BAR, bar=True))
    stacks = facts.section("stacks").facts
    return Tradeoff(tuple(rows), (stacks["cuda"], stacks["wafer"]))


def _dated(fact: Fact, today: datetime.date) -> str:
    return fact.date + (" †" if fact.stale(today) else "")


def _row(facts: FactBook, system: str, model: str, *, bar: bool = False) -> Row:
    prediction = predict(system, model, facts=facts)
    record = prediction.setup.model.record
    return Row(
        prediction=prediction,
        kind=prediction.setup.model.kind,
        scores=tuple(Score(name, record.facts.get(key)) for key, name in SCORES.items()),
        price=_price(prediction.setup.model.name),
        bar=bar,
    )


def _price(model: str) -> Price | None:
    named = _PRICED.get(model)
    offers: list[dict[str, Any]] = [row for row in shipped_prices() if named and str(row["model"]).startswith(named)]
    if not offers:
        return None
    least = min(offers, key=lambda row: float(row["output_per_m_usd"]))
    return Price(float(least["output_per_m_usd"]), least["provider"], least["date"], least["source"])
