"""What a gateway serves: names resolved by the registry, and the list of what can be chosen."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from chatapp.backends.base import Backend
from chatapp.config import Settings
from chatapp.protocol.responses import ModelListing


def make_resolve(
    settings: Settings,
    *,
    own: Mapping[str, Mapping[str, Any]] | None = None,
    pace: str | None = None,
    load: int | None = None,
    seed: int | None = None,
) -> Callable[[str], Backend]:
    """Return the function from a name to a backend.

    Args:
        settings: keys, own backends, seeds.
        own: backends given by URL on the command line: name to `{base_url, model}`.
        pace: of simulated backends, the source of their pace.
        load: concurrent users that simulated systems serve.
        seed: of simulated timing.
    """

    def resolve(name: str) -> Backend:
        from chatapp.backends import registry

        given = (own or {}).get(name, {})
        options: dict[str, Any] = {"seed": seed, "pace": pace if name.startswith("sim:") else None, "load": load}
        return registry.resolve(name, settings, base_url=given.get("base_url"), model=given.get("model"), **options)

    return resolve


def make_models(
    settings: Settings, *, own: Mapping[str, Mapping[str, Any]] | None = None, pace: str | None = None
) -> Callable[[], Awaitable[Sequence[ModelListing]]]:
    """Return the function that lists what can be chosen: the registry's, and servers found on this machine now.

    Args:
        settings: keys, own backends, whether to look for servers.
        own: backends given by URL on the command line: name to `{base_url, model}`.
        pace: of simulated backends, the source of their pace; said with each where it is not the model.
    """

    async def models() -> Sequence[ModelListing]:
        from chatapp.backends import registry
        from chatapp.backends.discovery import discover

        # In a thread: the first time it reads the catalog and the hardware model's facts, 0.2 s.
        listings = await asyncio.to_thread(registry.listings, settings)
        if settings.discover:
            listings += await discover(settings)
        given = [
            ModelListing(id=name, label=name, model=str(entry.get("model") or name), group="Your own")
            for name, entry in (own or {}).items()
        ]
        return given + [
            ModelListing(
                id=listing.name,
                label=listing.label,
                provider=listing.provider,
                model=listing.model,
                kind=listing.kind,
                ready=listing.ready,
                why_not=listing.why_not,
                group=listing.group,
                input_usd=listing.input_usd,
                output_usd=listing.output_usd,
                price_source=listing.price_source,
                owned_by=listing.provider,
                note="a vendor's figure played back" if pace == "claimed" and listing.kind == "simulated" else "",
            )
            for listing in listings
        ]

    return models
