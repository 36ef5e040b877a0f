"""The fitted parameters of each hardware family, from `parameters.toml`. What each means: `priors.py`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from chatapp.hardware.priors import PRIORS
from chatapp.tomlfile import TomlFile

SHIPPED = Path(__file__).with_name("parameters.toml")


@dataclass(frozen=True, slots=True)
class Parameters:
    """One family's parameters, and how far off its predictions are."""

    family: str
    values: dict[str, float]
    half_width: dict[str, float]
    """Half of the 90 % interval as a logarithm, by kind of figure: `speed`, `ttft`, `throughput`."""
    fitted_on: int
    """Measurements; 0: no more than the priors."""

    def __getitem__(self, name: str) -> float:
        return self.values[name]


@dataclass(frozen=True, slots=True)
class ParameterFile:
    """The fitted parameters of all families, and how they came about."""

    families: dict[str, Parameters]
    rule: str
    fitted: str
    """Date of the fit."""


@lru_cache(maxsize=1)
def load_parameters() -> ParameterFile:
    """Read `parameters.toml`.

    Raises:
        FileFormatError: it is broken: a family or a parameter is missing, unknown, or not a number.
    """
    document = TomlFile.read(SHIPPED)
    families: dict[str, Parameters] = {}
    for family, priors in PRIORS.items():
        table = document.data.get(family)
        if not isinstance(table, dict):
            raise document.fail((family,), "is missing")
        values = {name: _number(document, (family, name), table.get(name)) for name in priors}
        widths = table.get("half_width_90")
        if not isinstance(widths, dict) or set(widths) != set(KINDS):
            raise document.fail((family, "half_width_90"), f"must give {', '.join(KINDS)}")
        families[family] = Parameters(family, values, {k: float(v) for k, v in widths.items()}, int(table["fitted_on"]))
    return ParameterFile(families, str(document.data.get("rule", "")), str(document.data.get("fitted", "")))


KINDS = ("speed", "ttft", "throughput")


def _number(document: TomlFile, key: tuple[str, str], value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise document.fail(key, f"must be a number above 0, not {value!r}")
    return float(value)
