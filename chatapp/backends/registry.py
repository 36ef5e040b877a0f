"""From the name a person types to the backend that answers, and the list of what can be chosen.

* `sim:SYSTEM/MODEL`: the hardware model
* `recording:FILE`: an earlier run
* `local`, `local:FILE.gguf`: a real model in a llama.cpp server of our own
* `PROVIDER/MODEL`: a server of the catalog, or of the user's config.toml
* any name together with `base_url`: a server that needs no entry

Each kind is imported only when it is asked for.
"""

from __future__ import annotations

from typing import Any

import msgspec

from chatapp.backends.base import Backend
from chatapp.backends.catalog import CatalogEntry, load_catalog
from chatapp.config import Settings, load_key
from chatapp.errors import ChatappError, MissingKeyError, UnknownNameError, UsageError
from chatapp.redaction import Secret
from chatapp.stream.events import BackendInfo, BackendKind

AD_HOC_KEY = "CHATAPP_API_KEY"
"""The variable whose key is sent to a server that is given by its URL alone; no other key ever is."""
GROUPS = {"local": "On this machine", "simulated": "Simulated hardware", "live": "Providers", "own": "Your own"}


class Listing(msgspec.Struct, frozen=True):
    """One line of a switcher, and of `chatapp backends list`."""

    name: str
    """What to type."""
    label: str
    provider: str
    model: str
    kind: BackendKind
    simulated: bool = False
    ready: bool = True
    why_not: str = ""
    """What is missing, where it is not ready: the name of a variable, an extra, a server that does not run."""
    group: str = ""
    input_usd: float | None = None
    """Price of a million input tokens, None where it is not known."""
    output_usd: float | None = None
    price_source: str = ""
    """Where and when the price was published."""


class ModelChoiceError(UsageError):
    """A server was named without a model; `models` lists those it has."""

    def __init__(self, name: str, models: list[str]) -> None:
        self.name = name
        self.models = models
        choices = ", ".join(f"{name}/{model}" for model in models)
        super().__init__(f"which model of {name}?", hint=f"one of: {choices}")


def resolve(
    name: str,
    settings: Settings,
    *,
    base_url: str | None = None,
    model: str | None = None,
    seed: int | None = None,
    pace: Any = None,
    load: int | None = None,
) -> Backend:
    """Return the backend that a name means; nothing is connected or loaded yet.

    Args:
        name: as above; with `base_url` only a label, and may be empty.
        settings: keys, own backends, seeds.
        base_url: of an OpenAI-compatible server that needs no entry.
        model: the server's name of the model; for `PROVIDER` without one.
        seed: of simulated timing.
        pace: for kinds that choose their own: of `sim:` the source of the pace, of `recording:` its speed.
        load: concurrent users that a simulated system serves.

    Raises:
        UnknownNameError: there is no such backend; names the nearest.
        MissingKeyError: the provider's key is not set.
        ModelChoiceError: a local server was named without a model, and has several.
        UsageError, ExtraMissingError: as the kind says.
    """
    if base_url is not None:
        return _ad_hoc(name, settings, base_url, model)
    scheme, colon, rest = name.partition(":")
    if colon and scheme == "sim":
        from chatapp.backends.simulated import open_simulated

        options = {"seed": seed, "pace": pace, "load": load}
        return open_simulated(name, settings, **{k: v for k, v in options.items() if v is not None})
    if colon and scheme == "recording":
        from chatapp.backends import recorded

        return recorded.open_recorded(rest, **({"pace": pace} if pace is not None else {}))
    if scheme == "local":
        from chatapp.backends.local import open_local

        return open_local(rest, settings)
    catalog = load_catalog(settings)
    provider, _, chosen = name.partition("/")
    entry = catalog.get(provider)
    if entry is None:
        raise _unknown(name, catalog)
    return _open_entry(entry, settings, model or chosen)


def _unknown(name: str, catalog: dict[str, CatalogEntry]) -> UnknownNameError:
    from chatapp.backends.simulated import listings as simulated

    known = ["local", *(info.name for info in simulated()), *catalog]
    known += [f"{entry.name}/{model}" for entry in catalog.values() for model in entry.models]
    return UnknownNameError("backend", name, known, hint="chatapp backends list shows them all")


def _open_entry(entry: CatalogEntry, settings: Settings, model: str) -> Backend:
    key = load_key(settings, entry.key) if entry.key else None
    if entry.key and key is None:
        raise MissingKeyError(f"{entry.name}/{model}" if model else entry.name, entry.key)
    if not model:
        model = _only_model(entry.name, _models_of(entry, key))
    info = BackendInfo(
        name=f"{entry.name}/{model}",
        label=f"{entry.label} · {model.rpartition('/')[2]}",
        kind="live",
        provider=entry.label,
        model=model,
    )
    if entry.protocol == "responses":
        from chatapp.backends.openai_responses import ResponsesBackend

        return ResponsesBackend(info, base_url=entry.base_url, key=key, key_variable=entry.key)
    from chatapp.backends.openai_chat import ChatBackend, ChatServer

    server = ChatServer(
        base_url=entry.base_url,
        key=key,
        provider=entry.label,
        key_variable=entry.key,
        dialect=entry.dialect,
        max_tokens_field=entry.max_tokens_field,
        developer_role=entry.developer_role,
        loads_on_demand=entry.loads_on_demand,
        extra_body=entry.extra_body,
        headers=entry.headers,
    )
    return ChatBackend(info, server)


def _models_of(entry: CatalogEntry, key: Secret | None) -> list[str]:
    """Return a server's models: asked for on this machine, the catalog's examples of a provider, which has hundreds."""
    if not entry.local:
        return list(entry.models)
    from chatapp.backends.model_list import list_models

    return list_models(entry.base_url, key, label=entry.label)


def _ad_hoc(name: str, settings: Settings, base_url: str, model: str | None) -> Backend:
    from urllib.parse import urlsplit

    from chatapp.backends.openai_chat import ChatBackend, ChatServer

    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"not the URL of a server: {base_url!r}", hint="for example http://127.0.0.1:8000/v1")
    host = parts.netloc.rpartition("@")[2]
    # A provider of the catalog keeps its own key and dialect whichever way it is named.
    entry = next((e for e in load_catalog(settings).values() if base_url.rstrip("/") == e.base_url), None)
    if entry is not None and not entry.local:
        return _open_entry(entry, settings, model or "")
    key = load_key(settings, AD_HOC_KEY)
    if not model:
        from chatapp.backends.model_list import list_models

        model = _only_model(base_url, list_models(base_url, key, label=host), option=True)
    info = BackendInfo(
        name=name or f"{host}/{model}",
        label=f"{host} · {model.rpartition('/')[2]}",
        kind="live",
        provider=host,
        model=model,
    )
    server = ChatServer(base_url=base_url.rstrip("/"), key=key, provider=host, key_variable=AD_HOC_KEY)
    return ChatBackend(info, server)


def _only_model(name: str, models: list[str], *, option: bool = False) -> str:
    if len(models) == 1:
        return models[0]
    if not models:
        raise UsageError(f"{name}: no model named, and none is listed", hint=f"name one: {name}/MODEL, or --model ID")
    if option:
        raise UsageError(f"which model of {name}?", hint=f"--model ID, one of: {', '.join(models)}")
    raise ModelChoiceError(name, models)


def listings(settings: Settings) -> list[Listing]:
    """Return what can be chosen, best known first. Opens no connection: servers on this machine are `discovery`'s."""
    found = [_local_listing(), *_simulated_listings()]
    for entry in load_catalog(settings).values():
        if entry.local:
            continue
        missing = entry.key if entry.key and load_key(settings, entry.key) is None else ""
        found += [
            list_entry(entry, model, own=entry.name in settings.backends, missing=missing)
            for model in entry.models or ("",)
        ]
    return found


def list_entry(entry: CatalogEntry, model: str, *, own: bool = False, missing: str = "") -> Listing:
    """Return the listing of one model of a server; of the server itself where `model` is empty."""
    price = entry.price(model)
    return Listing(
        name=f"{entry.name}/{model}" if model else entry.name,
        label=f"{entry.label} · {model.rpartition('/')[2]}" if model else entry.label,
        provider=entry.label,
        model=model,
        kind="live",
        ready=not missing,
        why_not=f"{missing} is not set" if missing else "",
        group=GROUPS["local" if entry.local else "own" if own else "live"],
        input_usd=price.input if price else None,
        output_usd=price.output if price else None,
        price_source=f"{price.source}, {price.date}" if price else "",
    )


def _local_listing() -> Listing:
    from chatapp.backends.local import LOCAL_INFO, why_not

    missing = why_not()
    return Listing(
        name="local",
        label=LOCAL_INFO.label,
        provider=LOCAL_INFO.provider,
        model=LOCAL_INFO.model,
        kind="local",
        ready=not missing,
        why_not=missing,
        group=GROUPS["local"],
    )


def _simulated_listings() -> list[Listing]:
    try:
        from chatapp.backends.simulated import listings as simulated

        infos = simulated()
    except ChatappError:  # broken facts of the user's own must not hide every other backend
        return []
    return [
        Listing(i.name, i.label, i.provider, i.model, i.kind, simulated=True, group=GROUPS["simulated"]) for i in infos
    ]


def default_name(settings: Settings) -> str:
    """Return the backend of a chat that names none: a key in the environment never changes it."""
    from chatapp.backends.local import why_not

    return settings.backend or ("sim:cs3/kimi-k2.6" if why_not() else "local")
