"""Published measurements: read, checked, and turned into what the model can be asked.

The form is that of `measurements.toml` beside this file: what was measured (metric, value, unit, source, date), and how
the row is placed in the model (system_id, model_id, chips, precision, batch, input_tokens, output_tokens,
tokens_per_step). `chatapp hardware calibration --against FILE` reads the same form.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from chatapp.errors import ChatappError
from chatapp.hardware.facts import FactBook
from chatapp.hardware.memory import smallest_count
from chatapp.hardware.model import HOSTED, Workload
from chatapp.hardware.models import find_model
from chatapp.hardware.systems import find_system
from chatapp.hardware.terms import Setup
from chatapp.tomlfile import KeyPath, TomlFile

SHIPPED = Path(__file__).with_name("measurements.toml")

Kind = Literal["speed", "tpot", "ttft", "e2e", "system", "per_chip", "total_per_chip", "total"]

_METRICS: dict[str, Kind] = {
    "output_speed_tps": "speed",
    "tpot_ms": "tpot",
    "itl_ms": "tpot",
    "ttft_ms": "ttft",
    "e2e_s": "e2e",
    "throughput_tps_system": "system",
    "throughput_tps_per_chip": "per_chip",
    "total_tps_per_chip": "total_per_chip",
}


@dataclass(frozen=True, slots=True)
class Measurement:
    """One row that the model can be asked about."""

    id: str
    provider: str
    kind: Kind
    metric: str
    value: float
    unit: str
    date: str
    source: str
    measured_by: str
    confidence: str
    note: str
    mapping: str
    claim: str
    """The shipped claim that states this row, or an empty string. A claim is never fitted."""
    faulty: str
    """Why the source itself does not trust the row, or an empty string. Shown, neither fitted nor counted."""
    setup: Setup
    workload: Workload

    @property
    def group(self) -> str:
        """Rows of one run share it: all are fitted, or all are held out."""
        s, w = self.setup, self.workload
        run = (s.system.name, s.model.name, s.chips, s.precision.name, w.batch, w.input_tokens, w.output_tokens)
        return "/".join(str(part) for part in (*run, w.tokens_per_step or "unstated"))


@dataclass(frozen=True, slots=True)
class Unmapped:
    """A row that the model cannot be asked about, and why."""

    id: str
    reason: str
    line: int | None


@lru_cache(maxsize=1)
def _shipped() -> TomlFile:
    return TomlFile.read(SHIPPED)


def shipped_prices() -> list[dict[str, Any]]:
    """Return the published prices, each with its date and source."""
    return list(_shipped().data.get("price", []))


def load_measurements(facts: FactBook, path: Path | None = None) -> tuple[list[Measurement], list[Unmapped]]:
    """Read measurements: those the model can be asked about, and the others with the reason.

    Raises:
        FileFormatError: the file is no TOML or holds no list of measurements.
    """
    found, unmapped = _mapped(facts, TomlFile.read(path)) if path else _shipped_mapped(facts)
    return list(found), list(unmapped)


@lru_cache(maxsize=2)
def _shipped_mapped(facts: FactBook) -> tuple[list[Measurement], list[Unmapped]]:
    """Map the shipped rows once: 100 ms that no answer may wait for."""
    return _mapped(facts, _shipped())


def _mapped(facts: FactBook, document: TomlFile) -> tuple[list[Measurement], list[Unmapped]]:
    rows = document.data.get("measurement")
    if not isinstance(rows, list):
        raise document.fail((), "has no [[measurement]] entries")
    found: list[Measurement] = []
    unmapped: list[Unmapped] = []
    for index, row in enumerate(rows):
        key: KeyPath = ("measurement", index)
        name = str(row.get("id", f"#{index + 1}")) if isinstance(row, dict) else f"#{index + 1}"
        try:
            found.append(_measurement(facts, row, name))
        except ValueError as exc:
            unmapped.append(Unmapped(name, str(exc), document.line(key)))
        except ChatappError as exc:
            unmapped.append(Unmapped(name, exc.message, document.line(key)))
    return found, unmapped


def _measurement(facts: FactBook, row: Any, name: str) -> Measurement:
    if not isinstance(row, dict):
        raise ValueError("is not a table")
    kind = _kind(row)
    value = _positive(row, "value")
    for key in ("system_id", "model_id", "precision"):
        if not isinstance(row.get(key), str) or not row[key].strip():
            raise ValueError(f"{key} is not stated")
    system = find_system(facts, row["system_id"])
    model = find_model(facts, row["model_id"])
    precision = model.precision(row["precision"])
    batch, input_tokens = _count(row, "batch", 1), _count(row, "input_tokens", None)
    output_tokens = _count(row, "output_tokens", 1 if kind == "ttft" else None)
    context = input_tokens + output_tokens
    if context > model.context:
        raise ValueError(f"{context:,} tokens are beyond the model's window of {model.context:,}")
    chips = row.get("chips")
    if chips in (None, "", 0):
        if not system.spatial:
            raise ValueError("chips is not stated")
        chips = smallest_count(system, model, precision, context)
        if not chips:
            raise ValueError("no number of chips holds the model")
    chips = _count({"chips": chips}, "chips", None)
    tau = row.get("tokens_per_step")
    if tau is not None and (isinstance(tau, bool) or not isinstance(tau, int | float) or not 1 <= tau <= 16):
        raise ValueError(f"tokens_per_step must lie between 1 and 16, not {tau!r}")
    endpoint = row.get("endpoint", system.family in HOSTED)  # nearly all published rows of these are of services
    text = {key: str(row.get(key, "")) for key in _TEXTS}
    return Measurement(
        id=name,
        kind=kind,
        value=value,
        setup=Setup(system, model, precision, chips, bool(endpoint), bool(row.get("inside", False))),
        workload=Workload(input_tokens, output_tokens, batch, None if tau is None else float(tau)),
        **text,
    )


_TEXTS = (
    "provider",
    "metric",
    "unit",
    "date",
    "source",
    "measured_by",
    "confidence",
    "note",
    "mapping",
    "claim",
    "faulty",
)


def _kind(row: dict[str, Any]) -> Kind:
    metric, unit = row.get("metric"), str(row.get("unit", ""))
    if metric not in _METRICS:
        raise ValueError(f"metric {metric!r} is not one that the model predicts ({', '.join(_METRICS)})")
    kind = _METRICS[metric]
    if kind != "system":
        return kind
    # The published conventions of "throughput" differ by a factor of the chips, or of input + output over output.
    per_chip = "per GPU" in unit or "per chip" in unit
    if "input+output" in unit or unit.startswith("total"):
        return "total_per_chip" if per_chip else "total"
    if unit.startswith("input"):
        raise ValueError("counts input tokens of a prefill pool, which the model does not serve separately")
    return "per_chip" if per_chip else "system"


def _positive(row: dict[str, Any], key: str) -> float:
    value = row.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise ValueError(f"{key} must be a number above 0, not {value!r}")
    return float(value)


def _count(row: dict[str, Any], key: str, default: int | None) -> int:
    value = row.get(key, default)
    if value is None or value == "":
        raise ValueError(f"{key} is not stated")
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value) or value < 1:
        raise ValueError(f"{key} must be a whole number from 1, not {value!r}")
    return int(value)
