"""The servers that can be named: those shipped in catalog.toml, and the user's own from config.toml."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from chatapp.config import Settings
from chatapp.errors import ConfigError, SourceError, UnknownNameError
from chatapp.tomlfile import TomlFile


@dataclass(frozen=True, slots=True)
class Price:
    """What a model costs, in USD per million tokens."""

    model: str
    input: float
    output: float
    source: str
    date: str
    cached_input: float | None = None

    def cost_usd(self, input_tokens: int, output_tokens: int, cached_tokens: int = 0) -> float:
        """Return the price of one request; cached input at its own price where there is one."""
        cached_price = self.input if self.cached_input is None else self.cached_input
        fresh = max(0, input_tokens - cached_tokens)
        return (fresh * self.input + cached_tokens * cached_price + output_tokens * self.output) / 1e6


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """One server of the chat-completions API."""

    name: str
    base_url: str
    label: str = ""
    key: str = ""
    """Name of the variable that holds the API key; empty: none is needed."""
    dialect: str = ""
    models: tuple[str, ...] = ()
    """Examples; any other model can be asked for."""
    prices: tuple[Price, ...] = ()
    local: bool = False
    """Runs on this machine: its models are asked for instead of known."""
    loads_on_demand: bool = False
    developer_role: bool = False
    max_tokens_field: str = "max_tokens"
    protocol: str = "chat"
    """`chat`: chat completions over HTTP; `responses`: the Responses API over WebSocket."""
    extra_body: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)

    def price(self, model: str) -> Price | None:
        """Return the published price of a model, None where none is known."""
        return next((price for price in self.prices if price.model == model), None)


_FIELDS: dict[str, type | tuple[type, ...]] = {
    "base_url": str,
    "label": str,
    "key": str,
    "dialect": str,
    "local": bool,
    "loads_on_demand": bool,
    "developer_role": bool,
    "max_tokens_field": str,
    "protocol": str,
    "models": list,
    "prices": list,
    "extra_body": dict,
    "headers": dict,
}
_CHOICES = {"max_tokens_field": ("max_tokens", "max_completion_tokens"), "protocol": ("chat", "responses")}
_PRICE_FIELDS: dict[str, type | tuple[type, ...]] = {
    "model": str,
    "input": (int, float),
    "output": (int, float),
    "cached_input": (int, float),
    "date": str,
    "source": str,
}


def load_catalog(settings: Settings) -> dict[str, CatalogEntry]:
    """Return all entries by name, the user's replacing shipped ones.

    Raises:
        ConfigError: an entry of config.toml is wrong; with its line.
    """
    entries = dict(_shipped())
    if settings.backends:
        document = settings.source or TomlFile("config.toml", "", error=ConfigError)
        for name, table in settings.backends.items():
            entries[name] = read_entry(document, ("backends", name), name, table)
    return entries


@cache
def _shipped() -> Mapping[str, CatalogEntry]:
    resource = files("chatapp.backends") / "catalog.toml"
    document = TomlFile("catalog.toml", resource.read_text(encoding="utf-8"))
    return {name: read_entry(document, (name,), name, table) for name, table in document.data.items()}


def read_entry(document: TomlFile, path: tuple[str | int, ...], name: str, table: dict[str, Any]) -> CatalogEntry:
    """Check one table and return it as an entry.

    Raises:
        SourceError: a field is unknown, missing or of the wrong type; with its line.
    """
    if "/" in name or ":" in name or not name.strip():
        raise document.fail(path, "a backend's name may hold neither '/' nor ':'")
    _check(document, path, table, _FIELDS, required=("base_url",))
    for field_name, choices in _CHOICES.items():
        if table.get(field_name, choices[0]) not in choices:
            raise document.fail((*path, field_name), f"must be one of: {', '.join(choices)}")
    schemes = ("ws://", "wss://") if table.get("protocol") == "responses" else ("http://", "https://")
    if not table["base_url"].startswith((*schemes, "http://", "https://")):
        raise document.fail((*path, "base_url"), f"must begin with {' or '.join(schemes)}, not {table['base_url']!r}")
    if not all(isinstance(model, str) for model in table.get("models", [])):
        raise document.fail((*path, "models"), "must be a list of strings")
    if not all(isinstance(value, str) for value in table.get("headers", {}).values()):
        raise document.fail((*path, "headers"), "must map names to strings")
    prices = []
    for i, price in enumerate(table.get("prices", [])):
        where = (*path, "prices", i)
        if not isinstance(price, dict):
            raise document.fail(where, "must be a table")
        _check(document, where, price, _PRICE_FIELDS, required=("model", "input", "output", "date", "source"))
        if min(price["input"], price["output"], price.get("cached_input", 0)) < 0:
            raise document.fail(where, "a price cannot be negative")
        prices.append(Price(**price))
    fields = {**table, "models": tuple(table.get("models", ())), "prices": tuple(prices)}
    fields["base_url"] = table["base_url"].rstrip("/")
    return CatalogEntry(name=name, **{"label": name, **fields})


def _check(
    document: TomlFile,
    path: tuple[str | int, ...],
    table: dict[str, Any],
    fields: dict[str, type | tuple[type, ...]],
    *,
    required: tuple[str, ...],
) -> None:
    for field_name, value in table.items():
        if field_name not in fields:
            raise document.fail((*path, field_name), UnknownNameError("field", field_name, fields).message)
        wanted = fields[field_name]
        if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
            raise document.fail((*path, field_name), f"must be {_article(wanted)}, not {value!r}")
    for field_name in required:
        if field_name not in table:
            raise document.fail(path, f"needs {field_name!r}")


def _article(wanted: type | tuple[type, ...]) -> str:
    names: dict[Any, str] = {str: "a string", bool: "true or false", list: "a list", dict: "a table"}
    return names.get(wanted, "a number")


__all__ = ["CatalogEntry", "Price", "SourceError", "load_catalog", "read_entry"]
