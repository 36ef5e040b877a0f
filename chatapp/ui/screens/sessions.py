"""The saved conversations: search, open, rename, delete, undo."""

from __future__ import annotations

import time
from typing import Any, ClassVar

from textual import work
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Input, Static

from chatapp.client.conversation import Conversation
from chatapp.client.saver import Saver
from chatapp.client.store import Entry
from chatapp.errors import ChatappError
from chatapp.text.sanitize import sanitize_line
from chatapp.ui.fitting import columns, cut
from chatapp.ui.screens.picker import Item, Picker

_WIDTH = 64
_HINT = "Enter opens   ^D deletes   ^Z undoes   ^E renames   Esc leaves"


class SessionsScreen(Picker):
    """Choose a saved conversation; dismisses with its identity.

    Args:
        saver: where they are.
        current: the one that is open behind this screen: its title must not come back with its next turn.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+d", "delete", show=False, priority=True),
        Binding("ctrl+z", "undo", show=False, priority=True),
        Binding("ctrl+e", "rename", show=False, priority=True),
    ]

    def __init__(self, saver: Saver, current: Conversation | None = None) -> None:
        super().__init__("Conversations", placeholder="search titles, prompts and answers", hint=_HINT)
        self._saver = saver
        self._current = current
        self._deleted: list[str] = []
        self._renaming: str | None = None

    def on_mount(self) -> None:
        """Read the list."""
        super().on_mount()
        self._look("")

    def matches(self, item: Item, terms: Any) -> bool:
        """Everything the store returned matches: it searched the texts, which are not here."""
        return True

    def filter_changed(self, value: str) -> None:
        """Search; a title being written is no search."""
        if self._renaming is None:
            self._look(value)

    @work(exclusive=True, thread=False, exit_on_error=False)
    async def _look(self, search: str) -> None:
        import asyncio

        try:
            entries = await asyncio.to_thread(self._saver.entries, search)
        except ChatappError as exc:
            self.query_one("#picker-hint", Static).update(f"{exc.message}  {exc.hint}")
            return
        self.show_items([_item(entry) for entry in entries])
        trouble = self._saver.problem or self._saver.notice
        if trouble and not self._deleted:
            self.query_one("#picker-hint", Static).update(f"{sanitize_line(trouble)}\n{_HINT}")

    def action_delete(self) -> None:
        """Delete the conversation under the cursor; it can be brought back."""
        item = self.highlighted
        if item is not None:
            identity = str(item.value)
            self._deleted.append(identity)
            self._saver.change(lambda store: store.delete(identity))
            self._look(self.query_one(Input).value)
            self.query_one("#picker-hint", Static).update("Deleted; ^Z brings it back")

    def action_undo(self) -> None:
        """Bring the last deleted conversation back."""
        if self._deleted:
            identity = self._deleted.pop()
            self._saver.change(lambda store: store.undelete(identity))
            self._look(self.query_one(Input).value)
            self.query_one("#picker-hint", Static).update(_HINT)

    def action_rename(self) -> None:
        """Turn the filter into a field for the new title."""
        item = self.highlighted
        if item is not None and self._renaming is None:
            self._renaming = str(item.value)
            field = self.query_one(Input)
            field.value = item.search
            field.cursor_position = len(field.value)
            self.query_one("#picker-hint", Static).update("Enter gives the conversation this title, Esc leaves it")

    def submitted(self, value: str) -> None:
        """Open the conversation, or give it its new title."""
        if self._renaming is None:
            super().submitted(value)
            return
        identity, self._renaming = self._renaming, None
        title = value.strip()
        if title:
            self._saver.change(lambda store: store.rename(identity, title))
            if self._current is not None and self._current.identity == identity:
                self._current.title = title
        self._end_rename()

    def action_leave(self) -> None:
        """Leave the renaming, or the list."""
        if self._renaming is None:
            super().action_leave()
        else:
            self._renaming = None
            self._end_rename()

    def _end_rename(self) -> None:
        self.query_one(Input).value = ""
        self.query_one("#picker-hint", Static).update(_HINT)
        self._look("")


def _item(entry: Entry) -> Item:
    title = sanitize_line(entry.title) or "untitled"
    behind = sanitize_line(", ".join(entry.backends))
    right = f"{entry.turns:>3}  {age(time.time() - entry.updated):>8}"
    room = _WIDTH - len(right) - 2
    left = cut(title, room)
    rest = room - columns(left) - 2
    behind = cut(behind, rest) if rest > 4 else ""
    gap = " " * max(_WIDTH - columns(left) - 2 - columns(behind) - len(right), 1)
    return Item(
        entry.identity,
        Content.assemble((left, "$foreground"), "  ", (behind, "$faint"), gap, (right, "$quiet")),
        title,
    )


def age(seconds: float) -> str:
    """Return how long ago something was, in one unit."""
    for limit, unit, name in ((60, 1, "s"), (3600, 60, "min"), (86_400, 3600, "h"), (30 * 86_400, 86_400, "days")):
        if seconds < limit:
            number = max(int(seconds // unit), 1)
            return f"{number} {'day' if name == 'days' and number == 1 else name}"
    return time.strftime("%Y-%m", time.localtime(time.time() - seconds))
