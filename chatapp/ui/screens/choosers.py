"""The small choosers: an earlier prompt, a file of prompts, a theme."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from textual.content import Content

from chatapp.client.conversation import Turn
from chatapp.errors import FileFormatError
from chatapp.promptfile import read_prompt_file
from chatapp.text.sanitize import sanitize_line
from chatapp.ui.commands import Command
from chatapp.ui.fitting import columns, cut
from chatapp.ui.keymap import KeyTable, key_label
from chatapp.ui.screens.picker import Item, Picker

PREVIEW = 64
"""Columns of a one-line preview."""


def prompt_picker(path: Sequence[Turn]) -> Picker:
    """Choose an earlier turn of the conversation, the latest first."""
    items = [
        Item(turn, Content.assemble((f"{number:>3}  ", "$quiet"), preview(turn.prompt)), turn.prompt)
        for number, turn in reversed(list(enumerate(path, start=1)))
    ]
    return Picker("Edit an earlier prompt", items, hint="Enter puts it into the box; what followed stays as a branch")


def history_picker(prompts: Sequence[str]) -> Picker:
    """Choose an earlier prompt of any conversation, the latest first."""
    items = [Item(prompt, Content(preview(prompt)), prompt) for prompt in dict.fromkeys(reversed(prompts))]
    return Picker("Earlier prompts", items, hint="Enter puts it into the box")


def command_picker(offered: Iterable[Command], keys: KeyTable) -> Picker:
    """Choose one of the commands that a screen offers."""
    items = []
    for command in offered:
        how = f"/{command.name}"
        key = key_label(*keys.of(command.name)[:1] or [""])
        title = preview(command.title, PREVIEW - len(how) - 12)
        gap = " " * max(PREVIEW - columns(title) - len(how) - 11, 1)
        line = Content.assemble((title, "$foreground"), gap, (how, "$quiet"), (f"{key:>11}", "$speed"))
        items.append(Item(command.name, line, f"{command.title} {how}", command.group))
    return Picker("Commands", items, hint="each also as a slash command in the prompt")


def file_picker(heading: str, files: Mapping[str, Path], *, none: str = "") -> Picker:
    """Choose one of the files of a prompts folder by name; `none` offers to choose none of them."""
    items = [Item("", Content.styled(none, "$quiet"), none)] if none else []
    for name, path in files.items():
        try:
            beginning = read_prompt_file(path).description
        except FileFormatError as exc:
            beginning = exc.message.removeprefix(f"{path.parent}/")
        room = PREVIEW - max(len(name), 18) - 2
        title = Content.assemble((f"{sanitize_line(name):<18}  ", "$foreground"), (preview(beginning, room), "$quiet"))
        items.append(Item(name, title, f"{name} {beginning}"))
    return Picker(heading, items, hint="your own: files in the prompts folder beside config.toml")


def theme_picker(names: Sequence[str], current: str) -> Picker:
    """Choose a theme."""
    items = [Item(name, Content(name), name) for name in names]
    return Picker("Colours", items, current=current, hint="for this run; /settings keeps it in config.toml")


def preview(text: str, limit: int = PREVIEW) -> str:
    """Return the beginning of a text on one line."""
    line = " ".join(sanitize_line(text, limit=4 * limit).split())
    return cut(line, limit)
