"""The backend switcher: everything that can answer, ready or what it lacks, filtered as one types."""

from __future__ import annotations

from collections.abc import Iterable

from textual import work
from textual.content import Content

from chatapp.client.session import Session
from chatapp.errors import ChatappError
from chatapp.protocol.responses import ModelListing
from chatapp.stream.events import BackendKind
from chatapp.text.sanitize import sanitize_line
from chatapp.ui.fitting import columns, cut
from chatapp.ui.screens.picker import Item, Picker
from chatapp.ui.widgets.metrics_panel import KIND_MARKS

GROUPS: dict[BackendKind, str] = {
    "local": "On this machine",
    "simulated": "Simulated systems: timing from a hardware model",
    "live": "Live services",
    "recorded": "Recordings",
}
_WIDTH = 64


class Switcher(Picker):
    """Choose a backend by name.

    Args:
        session: knows what can be chosen.
        server: offer this server's models only.
    """

    def __init__(self, session: Session, *, server: str = "") -> None:
        self._prefix = f"{server}/" if server else ""
        super().__init__(
            f"Which model of {sanitize_line(server)}?" if server else "What should answer?",
            self._items(session.listings.values()),
            placeholder="filter, or type a name: sim:b200x8/kimi-k2.6, cerebras/…, recording:FILE",
            hint="Enter chooses, Esc leaves. Applies from the next prompt; the conversation goes on.",
            current=session.backend,
            free_text=True,
        )
        self._session = session

    def on_mount(self) -> None:
        """Show what is known, and ask the gateway again: servers on this machine come and go."""
        super().on_mount()
        self._look()

    @work(exit_on_error=False)
    async def _look(self) -> None:
        try:
            listings = await self._session.refresh_listings()
        except ChatappError as exc:
            self.query_one("#picker-hint").update(f"{exc.message}  {exc.hint}")  # type: ignore[attr-defined]
            return
        self.show_items(self._items(listings))

    def _items(self, listings: Iterable[ModelListing]) -> list[Item]:
        return listing_items(listing for listing in listings if listing.name.startswith(self._prefix))


def listing_items(listings: Iterable[ModelListing]) -> list[Item]:
    """Return the switcher's lines, by group, those that are ready first.

    Groups come in the order of their kinds; a group that holds several kinds (this machine's own model, and the servers
    found on it) stands where the first of them does.
    """
    order = list(GROUPS)
    ordered = sorted(listings, key=lambda listing: (order.index(listing.kind), not listing.ready))
    groups = list(dict.fromkeys(_group(listing) for listing in ordered))
    ordered.sort(key=lambda listing: groups.index(_group(listing)))
    return [
        Item(
            listing.name,
            _line(listing),
            f"{listing.name} {listing.label} {listing.provider} {listing.model}",
            _group(listing),
            enabled=listing.ready,
        )
        for listing in ordered
    ]


def _group(listing: ModelListing) -> str:
    return sanitize_line(listing.group) or GROUPS[listing.kind]


def _line(listing: ModelListing) -> Content:
    mark, colour = KIND_MARKS[listing.kind]
    label = sanitize_line(listing.label)
    right = sanitize_line(listing.name if listing.ready else listing.why_not)
    label = cut(label, _WIDTH - 12)
    right = cut(right, _WIDTH - 3 - columns(label))
    style = "$quiet" if listing.ready else "$warning"
    return Content.assemble(
        (f"{mark} " if listing.ready else "○ ", colour if listing.ready else "$faint"),
        (label, "$foreground" if listing.ready else "$faint"),
        " " * max(_WIDTH - 2 - columns(label) - columns(right), 1),
        (right, style),
    )
