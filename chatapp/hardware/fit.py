"""Fit the families' parameters: `python -m chatapp.hardware.fit` writes `parameters.toml`.

Least squares of the logarithms with a bounded influence of outliers (Huber), and every parameter held near its prior.
No parameter belongs to a single pair of system and model. Coordinate descent over some 50 numbers; no libraries.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable
from datetime import date

from chatapp.hardware.facts import load_facts
from chatapp.hardware.holdout import RULE, countable, held_out
from chatapp.hardware.measurements import Measurement, load_measurements
from chatapp.hardware.parameters import KINDS, SHIPPED, Parameters
from chatapp.hardware.priors import PRIORS, SHARED, STACKED, Prior
from chatapp.hardware.quantities import WIDTH_OF, predicted

NOISE: dict[str, float] = {"speed": 0.12, "ttft": 0.35, "throughput": 0.15}
"""Log standard deviation expected of each kind of figure: TTFT depends on scheduling that no row states."""
_BEND = 1.5
"""Beyond so many standard deviations a residual counts linearly."""
_FOLDS = 5

Values = dict[str, dict[str, float]]
"""Parameters by family."""


def residual(row: Measurement, values: dict[str, float], network_s: float) -> float:
    """Return the logarithm of predicted over measured."""
    return math.log(predicted(row, Parameters("", values, {}, 0), network_s) / row.value)


def misfit(rows: Iterable[Measurement], values: dict[str, float], network_s: float) -> float:
    """Return the Huber loss of some rows."""
    total = 0.0
    for row in rows:
        off = abs(residual(row, values, network_s)) / NOISE[WIDTH_OF[row.kind]]
        total += off * off if off < _BEND else 2 * _BEND * off - _BEND * _BEND
    return total


def _pull(prior: Prior, value: float) -> float:
    return (math.log(value / prior.middle) / prior.spread) ** 2


def prior_values() -> Values:
    """Return every family's priors, for a start."""
    return {family: {name: prior.middle for name, prior in priors.items()} for family, priors in PRIORS.items()}


def fit(rows: list[Measurement], network_s: float, start: Values | None = None, *, step: float = 0.3) -> Values:
    """Return the parameters that fit the rows, shared ones shared."""
    values = {family: dict(own) for family, own in (start or prior_values()).items()}
    by_family = {family: [row for row in rows if row.setup.system.family == family] for family in PRIORS}
    _descend(values, by_family, network_s, STACKED, step)
    for family in PRIORS:
        if family not in STACKED:
            _descend(values, by_family, network_s, (family,), step)
    return values


def _descend(
    values: Values, rows: dict[str, list[Measurement]], network_s: float, families: tuple[str, ...], step: float
) -> None:
    """Move one parameter at a time, by a step that grows while it helps and halves when it does not."""
    shared = SHARED if len(families) > 1 else ()
    loss = {family: misfit(rows[family], values[family], network_s) for family in families}
    steps = {(name, families): step for name in shared}
    steps |= {(name, (family,)): step for family in families for name in PRIORS[family] if name not in shared}
    for _ in range(80):
        moved = False
        for (name, owners), size in steps.items():
            if _move(values, rows, network_s, loss, name, owners, size):
                steps[name, owners] *= 1.4
                moved = True
            else:
                steps[name, owners] *= 0.5
        if not moved and max(steps.values()) < 1e-3:
            return


def _move(
    values: Values,
    rows: dict[str, list[Measurement]],
    network_s: float,
    loss: dict[str, float],
    name: str,
    owners: tuple[str, ...],
    size: float,
) -> bool:
    prior = PRIORS[owners[0]][name]
    now = values[owners[0]][name]
    for factor in (math.exp(size), math.exp(-size)):
        new = min(now * factor, prior.most)
        trial = {family: misfit(rows[family], values[family] | {name: new}, network_s) for family in owners}
        gain = sum(loss[family] - trial[family] for family in owners) + _pull(prior, now) - _pull(prior, new)
        if gain > 1e-4:
            for family in owners:
                values[family][name] = new
                loss[family] = trial[family]
            return True
    return False


def cross_validated(rows: list[Measurement], network_s: float, start: Values) -> list[tuple[Measurement, float]]:
    """Return each fitted row with its residual under parameters that had not seen its run."""
    runs = sorted({row.group for row in rows}, key=lambda run: hashlib.sha256(run.encode()).hexdigest())
    found: list[tuple[Measurement, float]] = []
    for fold in range(_FOLDS):
        left_out = set(runs[fold::_FOLDS])
        values = fit([row for row in rows if row.group not in left_out], network_s, start, step=0.15)
        found += [
            (row, residual(row, values[row.setup.system.family], network_s)) for row in rows if row.group in left_out
        ]
    return found


def half_widths(residuals: list[tuple[Measurement, float]]) -> dict[str, dict[str, float]]:
    """Return half of the 90 % interval (as a logarithm) for each family and kind of figure.

    It is the 0.9 quantile of cross-validated residuals: the family's own as far as it has many (n / (n + 6)), for the
    rest that of all families.
    """
    own: dict[tuple[str, str], list[float]] = {}
    pooled: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for row, off in residuals:
        kind = WIDTH_OF[row.kind]
        own.setdefault((row.setup.system.family, kind), []).append(abs(off))
        pooled[kind].append(abs(off))
    widths: dict[str, dict[str, float]] = {}
    for family in PRIORS:
        widths[family] = {}
        for kind in KINDS:
            everybody = quantile(pooled[kind], 0.9)
            mine = own.get((family, kind), [])
            weight = len(mine) / (len(mine) + 6)
            here = quantile(mine, 0.9) if mine else everybody
            widths[family][kind] = math.exp(weight * math.log(here) + (1 - weight) * math.log(everybody))
    return widths


def quantile(values: list[float], share: float) -> float:
    """Return a quantile by the (n + 1) rule, which does not promise more than few values can tell."""
    ordered = sorted(values)
    place = share * (len(ordered) + 1) - 1
    low = min(max(0, math.floor(place)), len(ordered) - 1)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * min(1.0, max(0.0, place - low))


def render(values: Values, widths: dict[str, dict[str, float]], counts: dict[str, int], when: str) -> str:
    """Return the text of `parameters.toml`."""
    out = [
        "# Fitted parameters of each hardware family; written by: python -m chatapp.hardware.fit",
        "# What each means, its unit, prior and source: priors.py. half_width_90: half of the 90 % interval, as a",
        "# natural logarithm, from cross-validation within the fitted rows.",
        "",
        f'rule = "{RULE}"',
        f'fitted = "{when}"',
    ]
    for family, own in values.items():
        out += ["", f"[{family}]", f"fitted_on = {counts.get(family, 0)}"]
        out += [f"{name} = {value:.5g}" for name, value in own.items()]
        parts = ", ".join(f"{kind} = {widths[family][kind]:.4f}" for kind in KINDS)
        out.append(f"half_width_90 = {{ {parts} }}")
    return "\n".join(out) + "\n"


def fit_shipped(report: Callable[[str], None]) -> str:
    """Fit the shipped measurements and return the text of the parameter file."""
    facts = load_facts(())
    rows, _unmapped = load_measurements(facts)
    held = held_out(rows)
    network_s = facts.section("assumptions").number("network_round_trip")
    fitted = [row for row in countable(rows) if row.id not in held]
    report(f"fitting {len(fitted)} rows, {len(held)} held out")
    values = fit(fitted, network_s)
    report("cross-validating for the intervals")
    widths = half_widths(cross_validated(fitted, network_s, values))
    counts: dict[str, int] = {}
    for row in fitted:
        counts[row.setup.system.family] = counts.get(row.setup.system.family, 0) + 1
    return render(values, widths, counts, date.today().isoformat())


if __name__ == "__main__":
    SHIPPED.write_text(fit_shipped(print), encoding="utf-8")
    print(f"wrote {SHIPPED}")
