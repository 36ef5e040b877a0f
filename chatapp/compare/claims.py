"""Claims: what a vendor says, as a file that can be checked.

A claim file is TOML in `prompts/claims/`, the user's own in the config folder beside the shipped ones:

    id = "cerebras-kimi-k2.6-speed"       the file's name without .toml
    title = "..."                         optional; one line
    vendor = "Cerebras"
    model = "kimi-k2.6"
    system = "CS-3"
    kind = "speed"                        speed, latency, time, ratio, fit
    metric = "output_speed_tps"           what is measured: output_speed_tps, ttft_ms, ttfa_ms, e2e_ms, fit
    value = 981                           in `unit`
    unit = "tok/s"
    workload = "cerebras-10000-500"       a name in prompts/workloads; may be empty for kind "fit"
    measured_by = "Artificial Analysis"   who says so
    date = "2026-05-06"
    source = "https://..."
    statement = "..."                     the claim, in our words
    method = "..."                        how it was measured, as far as it is known
    notes = "..."                         optional

A ratio compares two backends: `baseline` says to what. Of kind "fit", `value` counts systems, and `bound` says whether
the model fits into "at most" so many (the usual reading), or needs "at least" so many.
"""

from __future__ import annotations

import datetime
import math
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec

from chatapp.config import prompt_files
from chatapp.errors import UnknownNameError
from chatapp.tomlfile import TomlFile

Kind = Literal["speed", "latency", "time", "ratio", "fit"]
Metric = Literal["output_speed_tps", "ttft_ms", "ttfa_ms", "e2e_ms", "fit"]

HIGHER_IS_FASTER: dict[str, bool] = {"output_speed_tps": True, "ttft_ms": False, "ttfa_ms": False, "e2e_ms": False}
UNITS = {"output_speed_tps": ("tok/s",), "ttft_ms": ("ms", "s"), "ttfa_ms": ("ms", "s"), "e2e_ms": ("ms", "s")}


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """One checkable statement."""

    id: str
    vendor: str
    model: str
    system: str
    kind: Kind
    metric: Metric
    value: float
    """In the unit of `metric`'s name (ms, tok/s); a ratio has none."""
    unit: str
    workload: str
    measured_by: str
    date: str
    source: str
    statement: str
    method: str
    title: str = ""
    notes: str = ""
    baseline: str = ""
    tolerance: float = 0.05
    """A measurement within this share of the value agrees with it."""
    bound: Literal["at most", "at least"] = "at most"
    """Of kind "fit": how many systems hold the model."""

    @property
    def higher_is_faster(self) -> bool:
        """Whether a larger measured value is faster. A ratio says how many times faster."""
        return self.kind == "ratio" or HIGHER_IS_FASTER.get(self.metric, True)

    def age_days(self, today: datetime.date) -> int:
        """Return the claim's age."""
        return (today - datetime.date.fromisoformat(self.date)).days


def read_claim(path: Path) -> Claim:
    """Read and check one claim file.

    Raises:
        FileFormatError: with file, line and key.
    """
    document = TomlFile.read(path)
    data = dict(document.data)
    known = {field.name: field for field in msgspec.structs.fields(Claim)}
    for key in data:
        if key not in known:
            raise document.fail((key,), UnknownNameError("key", key, known).message)
    data.setdefault("id", path.stem)
    for name, field in known.items():
        if name in data:
            continue
        if field.required:
            raise document.fail((), f"the key {name!r} is missing")
    try:
        claim = msgspec.convert(data, Claim)
    except msgspec.ValidationError as exc:
        message, _, where = str(exc).partition(" - at `$.")
        key = where.rstrip("`")
        raise document.fail((key,) if key else (), message) from None
    _check(claim, document)
    return _in_metric_unit(claim)


def _check(claim: Claim, document: TomlFile) -> None:
    def fail(key: str, message: str) -> None:
        raise document.fail((key,), message)

    if not math.isfinite(claim.value) or claim.value < 0 or (claim.value == 0 and claim.kind != "fit"):
        fail("value", f"must be a finite positive number, not {claim.value!r}")
    if not 0 < claim.tolerance < 1:
        fail("tolerance", f"must be a share between 0 and 1, not {claim.tolerance!r}")
    try:
        datetime.date.fromisoformat(claim.date)
    except ValueError:
        fail("date", f"must be a date like 2026-05-06, not {claim.date!r}")
    if not claim.source.startswith(("https://", "http://")):
        fail("source", "must be the address of the publication")
    if (claim.kind == "fit") != (claim.metric == "fit"):
        fail("metric", 'kind "fit" goes with metric "fit", and no other')
    if claim.kind == "fit" and claim.value != int(claim.value):
        fail("value", f"counts systems: a whole number, not {claim.value!r}")
    if claim.kind != "fit" and not claim.workload:
        fail("workload", "a measured claim names the workload it was measured with")
    if claim.kind == "ratio":
        if not claim.baseline:
            fail("baseline", "a ratio says what it compares with")
    elif claim.kind != "fit" and claim.unit not in UNITS[claim.metric]:
        fail("unit", f"{claim.metric} is given in {' or '.join(UNITS[claim.metric])}, not {claim.unit!r}")


def _in_metric_unit(claim: Claim) -> Claim:
    if claim.unit == "s" and claim.metric.endswith("_ms") and claim.kind != "ratio":
        return msgspec.structs.replace(claim, value=claim.value * 1000, unit="ms")
    return claim


def claims() -> dict[str, Path]:
    """Return the files of all claims by name."""
    return {path.stem: path for path in prompt_files("claims", "*.toml")}


def load_claim(name: str) -> Claim:
    """Return a claim by its name, or by the path of its file.

    Raises:
        UnknownNameError: no such claim; names the nearest.
        FileFormatError: the file is broken.
    """
    known = claims()
    if name in known:
        return read_claim(known[name])
    if name.endswith(".toml") or "/" in name:
        return read_claim(Path(name))
    raise UnknownNameError(
        "claim", name, known, hint="the claims shipped are in prompts/claims; a path to a .toml works too"
    )


def to_json(claim: Claim) -> dict[str, Any]:
    """Return plain JSON types, for reports and evidence."""
    out: dict[str, Any] = msgspec.to_builtins(claim)
    return out


KINDS: tuple[str, ...] = get_args(Kind)
