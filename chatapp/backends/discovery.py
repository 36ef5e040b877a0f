"""Servers on this machine: looked for on their default ports, over loopback only, all at once, within 200 ms."""

from __future__ import annotations

import asyncio

from chatapp.addresses import is_this_machine
from chatapp.backends.catalog import CatalogEntry, load_catalog
from chatapp.backends.model_list import list_models
from chatapp.backends.registry import Listing, list_entry
from chatapp.config import Settings

BUDGET_S = 0.2
"""A switcher opens at once; what has not answered by then is not there."""


async def discover(settings: Settings, *, budget_s: float = BUDGET_S) -> list[Listing]:
    """Return the models of the servers that run on this machine; none where the setting `discover` is off."""
    if not settings.discover:
        return []
    entries = [entry for entry in load_catalog(settings).values() if entry.local and is_this_machine(entry.base_url)]
    asked = [asyncio.create_task(_ask(entry, budget_s)) for entry in entries]
    if not asked:
        return []
    done, late = await asyncio.wait(asked, timeout=budget_s)
    for task in late:
        task.cancel()
    await asyncio.gather(*late, return_exceptions=True)
    # In the catalog's order, whoever answered first.
    return [listing for task in asked if task in done and task.exception() is None for listing in task.result()]


async def _ask(entry: CatalogEntry, budget_s: float) -> list[Listing]:
    models = await asyncio.to_thread(list_models, entry.base_url, None, label=entry.label, timeout_s=budget_s)
    return [list_entry(entry, model) for model in models]
