"""Keys and commands, from the one table of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from textual.content import Content

from chatapp.ui.commands import Command
from chatapp.ui.keymap import KeyTable, key_label
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
    """Key help.

    Args:
        offered: the commands of the screen that it helps with.
        keys: what runs them.
        own: keys that this screen alone has, with what they do.
    """

    def __init__(self, offered: Iterable[Command], keys: KeyTable, own: Sequence[tuple[str, str]] = ()) -> None:
        commands = list(offered)
        super().__init__(
            "Keys and commands", lambda width: help_lines(commands, keys, own, width), keys=keys.of("help")
        )


def help_lines(offered: Iterable[Command], keys: KeyTable, own: Sequence[tuple[str, str]], width: int) -> list[Content]:
    """Return the page's lines."""
    lines = heading("Writing")
    lines += [_line(key, title, "", width) for key, title in _WRITING]
    if own:
        lines += heading("This screen")
        lines += [_line(key, title, "", width) for key, title in own]
    group = ""
    for command in offered:
        if command.group != group:
            group = command.group
            lines += heading(group)
        labels = " ".join(key_label(key) for key in keys.of(command.name))
        slash = f"/{command.name} {command.argument}".rstrip()
        lines.append(_line(labels, command.title, slash, width))
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
