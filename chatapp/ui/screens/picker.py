"""A list to choose from, filtered as one types: the shape of every chooser in the app."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option


@dataclass(frozen=True, slots=True)
class Item:
    """One line of a picker. Texts are shown as they are: foreign ones must be sanitized before."""

    value: Any
    title: Content
    search: str
    """What typing is matched against."""
    group: str = ""
    """A heading; items of a group stand together."""
    enabled: bool = True


class Picker(ModalScreen[Any]):
    """A modal list with a filter. Dismisses with the chosen item's value, or None.

    Args:
        heading: what is being chosen.
        items: the lines, groups in order.
        placeholder: of the filter.
        hint: one line below: keys, or what choosing does.
        current: the value to begin on.
        free_text: Enter with no match returns the typed text itself.
    """

    CSS_PATH = "picker.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+q", "app.quit", "Leave the app", show=False, priority=True),  # a modal screen hides the app's own
        Binding("escape", "leave", "Leave", show=False),
        Binding("down", "move(1)", show=False, priority=True),
        Binding("up", "move(-1)", show=False, priority=True),
        Binding("pagedown", "move(8)", show=False, priority=True),
        Binding("pageup", "move(-8)", show=False, priority=True),
    ]

    def __init__(
        self,
        heading: str,
        items: Sequence[Item] = (),
        *,
        placeholder: str = "type to filter",
        hint: str = "",
        current: Any = None,
        free_text: bool = False,
    ) -> None:
        super().__init__()
        self.heading = heading
        self.items = list(items)
        self.placeholder = placeholder
        self.hint = hint
        self.current = current
        self.free_text = free_text
        self._shown: dict[str, Item] = {}

    def compose(self) -> ComposeResult:
        """Heading, filter, list, hint."""
        with Vertical(id="picker"):
            yield Static(self.heading, id="picker-heading", markup=False)
            yield Input(placeholder=self.placeholder, id="picker-filter")
            yield OptionList(id="picker-list", markup=False)
            yield Static(self.hint, id="picker-hint", markup=False)

    def on_mount(self) -> None:
        """Show the list, with the current value under the cursor."""
        self.query_one(Input).focus()
        self.query_one(OptionList).can_focus = False
        self.refill()

    def on_resize(self, event: events.Resize) -> None:
        """Leave room for what stands around the list: heading, filter, hint, border."""
        self.query_one("#picker-list").styles.max_height = max(event.size.height * 86 // 100 - 10, 3)

    def show_items(self, items: Sequence[Item]) -> None:
        """Replace the list, keeping filter and place."""
        chosen = self.highlighted
        if chosen is not None:
            self.current = chosen.value
        self.items = list(items)
        if self.is_mounted:
            self.refill()

    @property
    def highlighted(self) -> Item | None:
        """The item under the cursor."""
        options = self.query_one(OptionList)
        if options.highlighted is None:
            return None
        return self._shown.get(options.get_option_at_index(options.highlighted).id or "")

    def matches(self, item: Item, terms: Sequence[str]) -> bool:
        """Whether every typed word occurs in the item."""
        haystack = f"{item.search} {item.group}".casefold()
        return all(term in haystack for term in terms)

    def refill(self) -> None:
        """Fill the list with what matches the filter."""
        terms = self.query_one(Input).value.casefold().split()
        options = self.query_one(OptionList)
        shown: list[Option] = []
        self._shown = {}
        group = None
        wanted = None
        for number, item in enumerate(self.items):
            if not self.matches(item, terms):
                continue
            if item.group and item.group != group:
                group = item.group
                shown.append(Option(Content.styled(group, "$quiet bold"), disabled=True))
            identity = f"item-{number}"
            self._shown[identity] = item
            if item.value == self.current and wanted is None:
                wanted = len(shown)
            shown.append(Option(item.title, id=identity, disabled=not item.enabled))
        if not self._shown:
            shown = [Option(Content.styled("nothing matches", "$quiet"), disabled=True)]
        options.clear_options()
        options.add_options(shown)
        first = next((i for i, option in enumerate(shown) if not option.disabled), None)
        options.highlighted = wanted if wanted is not None and not shown[wanted].disabled else first

    @on(Input.Changed, "#picker-filter")
    def _filter(self, event: Input.Changed) -> None:
        event.stop()
        self.filter_changed(event.value)

    @on(Input.Submitted, "#picker-filter")
    def _choose(self, event: Input.Submitted) -> None:
        event.stop()
        self.submitted(event.value)

    # Textual calls the decorated handlers of base classes too, so subclasses change these two.

    def filter_changed(self, value: str) -> None:
        """Act on what is typed."""
        self.refill()

    def submitted(self, value: str) -> None:
        """Choose what is under the cursor, else what was typed."""
        item = self.highlighted
        if item is not None and item.enabled:
            self.dismiss(item.value)
        elif self.free_text and value.strip():
            self.dismiss(value.strip())

    @on(OptionList.OptionSelected)
    def _clicked(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        item = self._shown.get(event.option.id or "")
        if item is not None:
            self.dismiss(item.value)

    def action_leave(self) -> None:
        """Close without choosing."""
        self.dismiss(None)

    def action_move(self, rows: int) -> None:
        """Move the cursor over lines that can be chosen."""
        options = self.query_one(OptionList)
        step = options.action_cursor_down if rows > 0 else options.action_cursor_up
        for _ in range(abs(rows)):
            step()
