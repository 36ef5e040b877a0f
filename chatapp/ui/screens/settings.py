"""The settings, a line for each, generated from their own definitions; writes config.toml."""

from __future__ import annotations

import dataclasses
from dataclasses import Field
from typing import Any, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Checkbox, Input, Label, Select, Static

from chatapp.config import Settings, config_folder
from chatapp.errors import ChatappError
from chatapp.ui.settings_file import parse_value, write_settings


class SettingsScreen(ModalScreen[Settings | None]):
    """Edits a copy of the settings; dismisses with the new ones, or None."""

    CSS_PATH = "settings.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+q", "app.quit", "Leave the app", show=False, priority=True),  # a modal screen hides the app's own
        Binding("escape", "leave", "Leave", show=False, priority=True),
        Binding("ctrl+s", "save", "Save", show=False, priority=True),
    ]

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings

    def compose(self) -> ComposeResult:
        """A field for each setting, its help beside it."""
        with Vertical(id="settings"):
            yield Static("Settings", id="settings-heading", markup=False)
            with VerticalScroll(id="settings-list"):
                for setting in Settings.scalar_fields():
                    with Horizontal(classes="setting"):
                        yield Label(setting.name.replace("_", " "), classes="setting-name", markup=False)
                        yield _editor(setting, getattr(self.settings, setting.name))
                    yield Label(setting.metadata["help"], classes="setting-help", markup=False)
            yield Static("", id="settings-problem", markup=False)
            yield Static(
                f"^S saves to {config_folder() / 'config.toml'}   Esc leaves", id="settings-hint", markup=False
            )

    def on_mount(self) -> None:
        """Begin at the first field."""
        self.query(".editor").first().focus()

    def on_resize(self, event: events.Resize) -> None:
        """Leave room for heading, hint and border."""
        self.query_one("#settings-list").styles.max_height = max(event.size.height * 92 // 100 - 9, 3)

    def values(self) -> dict[str, Any]:
        """Return what the fields hold.

        Raises:
            UsageError: a field does not hold what its setting may be.
        """
        found: dict[str, Any] = {}
        for setting in Settings.scalar_fields():
            editor = self.query_one(f"#set-{setting.name}")
            raw = editor.value  # type: ignore[attr-defined]
            found[setting.name] = raw if isinstance(raw, bool) else parse_value(setting, str(raw))
        return found

    def action_save(self) -> None:
        """Write what changed, and leave."""
        try:
            values = self.values()
            before = {name: getattr(self.settings, name) for name in values}
            changed = {name: value for name, value in values.items() if value != before[name]}
            if changed:
                write_settings(config_folder() / "config.toml", changed)
        except ChatappError as exc:
            self.query_one("#settings-problem", Static).update(f"{exc.message}  {exc.hint}")
            return
        self.dismiss(dataclasses.replace(self.settings, **values))

    def action_leave(self) -> None:
        """Leave everything as it was."""
        self.dismiss(None)

    @on(Input.Submitted)
    def _next(self) -> None:
        self.focus_next()


class Box(Checkbox):
    """A box that is empty when it is off: Textual's is crossed in a faint colour, which not every terminal has."""

    def __init__(self, label: str, value: bool, *, id: str, classes: str, compact: bool) -> None:  # noqa: A002
        self.BUTTON_INNER = "X" if value else " "
        super().__init__(label, value, id=id, classes=classes, compact=compact)

    def watch_value(self) -> None:
        """Cross it, or empty it."""
        self.BUTTON_INNER = "X" if self.value else " "
        super().watch_value()


def _editor(setting: Field[Any], value: Any) -> Checkbox | Select[str] | Input:
    identity = f"set-{setting.name}"
    if isinstance(value, bool):
        return Box("", value, id=identity, classes="editor", compact=True)
    choices = setting.metadata["choices"]
    if choices:
        return Select(
            [(choice, choice) for choice in choices],
            value=value,
            allow_blank=False,
            id=identity,
            classes="editor",
            compact=True,
        )
    return Input(str(value), id=identity, classes="editor", compact=True)
