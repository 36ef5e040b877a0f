"""Sourced values: each with unit, source, date and confidence, checked when they are loaded.

Shipped in `facts.toml` beside this file; a user's own systems and models come from `hardware/*.toml` in the
configuration folder, in the same form, and may replace shipped ones by name.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from chatapp.config import config_folder
from chatapp.errors import SourceError, UnknownNameError, nearest_names
from chatapp.tomlfile import KeyPath, TomlFile, dotted

STALE_AFTER_DAYS = 180
CONFIDENCES = ("high", "medium", "low", "assumption")
SHIPPED = Path(__file__).with_name("facts.toml")

_DATE = re.compile(r"^(\d{4})(?:-(\d{2}))?(?:-(\d{2}))?$")
_FACT_KEYS = {"value", "unit", "source", "date", "confidence", "note", "low", "high"}
_COUNTS = {"count", "layers", "tokens", "chips", "cores", "params"}
"""Units of plain numbers: whoever counts layers as `count` means the same."""

Value = float | str


@dataclass(frozen=True, slots=True)
class Fact:
    """One sourced value."""

    value: Value
    unit: str
    source: str
    date: str
    """When the source said it: YYYY, YYYY-MM or YYYY-MM-DD."""
    confidence: str
    note: str = ""
    low: float | None = None
    """Range of an assumption or of conflicting sources."""
    high: float | None = None

    @property
    def number(self) -> float:
        """The value, of a fact that is a number."""
        assert not isinstance(self.value, str)
        return self.value

    @property
    def assumed(self) -> bool:
        """Whether nobody publishes it."""
        return self.confidence == "assumption"

    def stale(self, today: datetime.date) -> bool:
        """Whether it is older than 180 days, counted from the last day its date can mean."""
        return is_stale(self.date, today)


def is_stale(when: str, today: datetime.date) -> bool:
    """Return whether a date (YYYY, YYYY-MM or YYYY-MM-DD) lies more than 180 days back. Unreadable dates do."""
    found = _DATE.match(when)
    if not found:
        return True
    year, month, day = int(found[1]), int(found[2] or 12), int(found[3] or 28)
    return (today - datetime.date(year, month, day)).days > STALE_AFTER_DAYS


@dataclass(frozen=True, slots=True)
class Record:
    """A named table of facts and plain settings, with the file and line it stands on for later complaints."""

    name: str
    facts: dict[str, Fact]
    plain: dict[str, Any]
    document: TomlFile = field(repr=False, compare=False)
    key: KeyPath

    def number(self, key: str, default: float | None = None) -> float:
        """Return a fact's number.

        Raises:
            SourceError: it is missing and has no default, or is a text.
        """
        fact = self.facts.get(key)
        if fact is None:
            if default is None:
                raise self.document.fail(self.key, f"{key} is missing")
            return default
        if isinstance(fact.value, str):
            raise self.document.fail((*self.key, key), f"must be a number, not {fact.value!r}")
        return fact.value

    def whole(self, key: str, default: int | None = None) -> int:
        """Return a fact that counts something.

        Raises:
            SourceError: it is missing, not whole, or negative.
        """
        value = self.number(key, default)
        if value != int(value) or value < 0:
            raise self.document.fail((*self.key, key), f"must be a whole number, not {value:g}")
        return int(value)

    def positive(self, key: str, default: float | None = None) -> float:
        """Return a fact that must be above 0."""
        value = self.number(key, default)
        if not value > 0:
            raise self.document.fail((*self.key, key), f"must be above 0, not {value:g}")
        return value

    def text(self, key: str, default: str | None = None) -> str:
        """Return a plain setting that is a text."""
        value = self.plain.get(key, default)
        if not isinstance(value, str) or not value:
            raise self.document.fail((*self.key, key) if key in self.plain else self.key, f"{key} must be a text")
        return value

    def names(self, key: str) -> tuple[str, ...]:
        """Return a plain setting that is a list of texts."""
        value = self.plain.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.document.fail((*self.key, key), "must be a list of texts")
        return tuple(value)

    def fail(self, key: str, message: str) -> SourceError:
        """Return the error to raise for a wrong value, with file and line."""
        return self.document.fail((*self.key, key), message)


@dataclass(frozen=True, slots=True, eq=False)  # compared by identity, so that what follows from it can be cached
class FactBook:
    """All facts, by kind and name."""

    systems: dict[str, Record]
    models: dict[str, Record]
    sections: dict[str, Record]
    """physics, assumptions, human, stacks."""

    def system(self, name: str) -> Record:
        """Return a system by its name or an alias.

        Raises:
            UnknownNameError: there is none; names the nearest.
        """
        return _named("system", name, self.systems, "chatapp hardware systems lists them")

    def model(self, name: str) -> Record:
        """Return a model by its name or an alias.

        Raises:
            UnknownNameError: there is none; names the nearest.
        """
        return _named("model", name, self.models, "chatapp hardware models lists them")

    def section(self, name: str) -> Record:
        """Return one of the sections that are not lists of things: `physics`, `assumptions`, `human`, `stacks`."""
        return self.sections[name]


def squeeze(name: str) -> str:
    """Return a name without what people write differently: case, spaces, dots, dashes, underscores."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _named(kind: str, name: str, records: dict[str, Record], hint: str) -> Record:
    wanted = squeeze(name)
    for record in records.values():
        if wanted in {squeeze(known) for known in (record.name, *record.names("aliases"))}:
            return record
    near = nearest_names(name, records)
    raise UnknownNameError(kind, name, near or records, hint=hint)


def load_facts(extra: Iterable[Path] | None = None) -> FactBook:
    """Read the shipped facts and the user's.

    Raises:
        SourceError: a file is broken or contradicts itself; with file, line and key.
    """
    if extra is None:
        folder = config_folder() / "hardware"
        extra = sorted(folder.glob("*.toml")) if folder.is_dir() else []
    return _load(tuple((path, path.stat().st_mtime_ns) for path in extra))


@lru_cache(maxsize=4)
def _load(stamps: tuple[tuple[Path, int], ...]) -> FactBook:
    book = FactBook({}, {}, {})
    units: dict[str, set[str]] = {}
    for path in (SHIPPED, *(path for path, _modified in stamps)):
        document = TomlFile.read(path)
        shipped = path == SHIPPED
        seen: dict[str, str] = {}
        for section, content in document.data.items():
            if section == "collected" and isinstance(content, str):
                continue
            if not isinstance(content, dict):
                raise document.fail((section,), "is not a table of facts")
            if section in ("systems", "models"):
                kind = book.systems if section == "systems" else book.models
                for name, table in content.items():
                    _refuse_twins(document, (section, name), seen)
                    record = _record(document, (section, name), name, table)
                    if not shipped:
                        _check_units(record, units)
                    kind[name] = record
            elif shipped:
                book.sections[section] = _record(document, (section,), section, content)
            else:
                raise document.fail((section,), "only systems and models can be added here")
        if shipped:
            units = _units(book)
    return book


def _units(book: FactBook) -> dict[str, set[str]]:
    """Return the units in which the shipped facts state each quantity: what the formulas count in."""
    units: dict[str, set[str]] = {}
    for record in (*book.systems.values(), *book.models.values()):
        for key, fact in record.facts.items():
            units.setdefault(key, set()).add(fact.unit)
    return units


def _check_units(record: Record, units: dict[str, set[str]]) -> None:
    """Refuse a known quantity in another unit: 80 GB taken for 80 bytes would be a prediction of nothing."""
    for key, fact in record.facts.items():
        known = units.get(key, {fact.unit})
        if fact.unit not in (known | _COUNTS if known <= _COUNTS else known):
            raise record.fail(key, f"unit must be {' or '.join(sorted(known))}, not {fact.unit!r}")


def _refuse_twins(document: TomlFile, key: KeyPath, seen: dict[str, str]) -> None:
    """Refuse two names in one file that a user could not tell apart, e.g. `my-box` and `my_box`."""
    name = str(key[-1])
    slot = f"{key[0]}.{squeeze(name)}"
    if slot in seen:
        raise document.fail(key, f"is the same name as {seen[slot]!r} in this file")
    seen[slot] = name


def _record(document: TomlFile, key: KeyPath, name: str, table: Any) -> Record:
    if not isinstance(table, dict):
        raise document.fail(key, "must be a table")
    facts: dict[str, Fact] = {}
    plain: dict[str, Any] = {}
    for item, value in table.items():
        if isinstance(value, dict):
            facts[item] = _fact(document, (*key, item), value)
        else:
            plain[item] = value
    return Record(name, facts, plain, document, key)


def _fact(document: TomlFile, key: KeyPath, table: dict[str, Any]) -> Fact:
    for part in ("value", "unit", "source", "date", "confidence"):
        if part not in table:
            raise document.fail(key, f"has no {part}", hint="a fact needs value, unit, source, date and confidence")
    for part in table:
        if part not in _FACT_KEYS:
            raise document.fail(key, UnknownNameError("part of a fact", part, _FACT_KEYS).message)
    for part in ("unit", "source", "date", "confidence", "note"):
        if part in table and not isinstance(table[part], str):
            raise document.fail(key, f"{part} must be a text, not {table[part]!r}")
    if table["confidence"] not in CONFIDENCES:
        raise document.fail(key, f"confidence must be one of {', '.join(CONFIDENCES)}, not {table['confidence']!r}")
    if not _DATE.match(table["date"]):
        raise document.fail(key, f"date must be YYYY, YYYY-MM or YYYY-MM-DD, not {table['date']!r}")
    value = table["value"]
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise document.fail(key, f"value must be a number or a text, not {value!r}")
    low, high = (_bound(document, key, table, part) for part in ("low", "high"))
    if not isinstance(value, str):
        if (low is not None and value < low) or (high is not None and value > high):
            raise document.fail(key, f"value {value:g} lies outside its own range {low} to {high}")
        if table["confidence"] == "assumption" and (low is None or high is None):
            raise document.fail(key, "an assumption needs a range (low, high)")
    return Fact(
        value=value if isinstance(value, str) else float(value),
        unit=table["unit"],
        source=table["source"],
        date=table["date"],
        confidence=table["confidence"],
        note=table.get("note", ""),
        low=low,
        high=high,
    )


def _bound(document: TomlFile, key: KeyPath, table: dict[str, Any], part: str) -> float | None:
    bound = table.get(part)
    if bound is None:
        return None
    if isinstance(bound, bool) or not isinstance(bound, int | float):
        raise document.fail(key, f"{part} must be a number, not {bound!r}")
    return float(bound)


def where(record: Record, key: str) -> str:
    """Return `file:line: key` of a fact, for a report."""
    path = (*record.key, key)
    return f"{record.document.path}:{record.document.line(path)}: {dotted(path)}"
