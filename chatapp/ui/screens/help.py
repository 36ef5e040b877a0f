"""Keys and commands, from the one table of them."""

from __future__ import annotations

from collections.abc import Mapping

from textual.content import Content

from chatapp.ui.commands import COMMANDS, key_label, split_keys
from chatapp.ui.screens.sheet import Sheet, heading

_WRITING = (
    ("Enter", "Send"),
    ("^J", "New line; Shift+Enter or Alt+Enter, where they work"),
    ("Up Down", "Earlier prompts, at the edge of the text"),
    ("Tab", "Complete a /command; the next {{blank}} of a template"),
    ("@path", "Take in a text file; its size is said first"),
)
_MARKS = (
    ("◆", "$simulated", "simulated: the timing comes from a hardware model"),
    ("●", "$live", "a machine that answers, here or as a service"),
    ("▶", "$person", "a recorded run, with its timing"),
    ("~", "$foreground", "counted here; without it, the server's own count"),
)


class HelpScreen(Sheet):
    """Key help."""

    def __init__(self, keymap: Mapping[str, str]) -> None:
        super().__init__("Keys and commands", lambda width: help_lines(keymap, width))


def help_lines(keymap: Mapping[str, str], width: int) -> list[Content]:
    """Return the page's lines."""
    lines = heading("Writing")
    lines += [_line(key, title, "", width) for key, title in _WRITING]
    group = ""
    for command in COMMANDS:
        if command.group != group:
            group = command.group
            lines += heading(group)
        keys = " ".join(key_label(key) for key in split_keys(keymap.get(command.name, command.keys)))
        slash = f"/{command.name} {command.argument}".rstrip()
        lines.append(_line(keys, command.title, slash, width))
    lines += heading("Marks")
    lines += [Content.assemble((f"{mark:<10}", style), (text, "$quiet")) for mark, style, text in _MARKS]
    lines += [
        Content(""),
        Content.styled("Any key can be changed in config.toml: [keymap], by a command's name.", "$quiet"),
    ]
    return lines


def _line(keys: str, title: str, slash: str, width: int) -> Content:
    room = width - 10 - (len(slash) + 2 if slash else 0)
    title = title if len(title) <= room else title[: room - 1] + "…"
    gap = " " * max(width - 10 - len(title) - len(slash), 0) if slash else ""
    return Content.assemble((f"{keys:<10}", "$speed bold"), (title, "$foreground"), gap, (slash, "$quiet"))
