"""Everything the chat can be told to do, once: keys, palette, slash commands and the help screen read this table.

A command's name is its slash command (`/retry`) and its name in config.toml's `[keymap]` (`retry = "ctrl+y"`). A screen
offers those for which it has a method `command_NAME`; where `argument` is given, the slash form may pass one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from chatapp.errors import nearest_names


@dataclass(frozen=True, slots=True)
class Command:
    """One thing the chat can do."""

    name: str
    title: str
    """In the palette and the help screen; an imperative."""
    group: str
    keys: str = ""
    """Default keys, comma-separated, in Textual's names."""
    hint: str = ""
    """One word for the hint line."""
    argument: str = ""
    """What the slash command may be followed by, for display: `NAME`, `FILE`."""

    @property
    def method(self) -> str:
        """The name of a screen's method that does it."""
        return f"command_{self.name.replace('-', '_')}"


COMMANDS: tuple[Command, ...] = (
    Command("cancel", "Cancel the answer, keep what came", "Answer", "escape", "cancel"),
    Command("retry", "Ask the last prompt again", "Answer", "f5", "retry"),
    Command("edit", "Edit an earlier prompt (the old branch is kept)", "Answer", "ctrl+up"),
    Command("branch-previous", "Show the branch before", "Answer", "alt+left"),
    Command("branch-next", "Show the branch after", "Answer", "alt+right"),
    Command("copy", "Copy the last answer", "Answer", "alt+c"),
    Command("code", "Copy the last code block", "Answer", "alt+b"),
    Command("reasoning", "Fold or open the reasoning", "Answer", "f9"),
    Command("find", "Search in the conversation", "Answer", "ctrl+f", argument="TEXT"),
    Command("backend", "Choose what answers", "Speed", "f2,ctrl+t", "backend", argument="NAME"),
    Command("retell", "Tell the last real answer at a simulated system's pace", "Speed", "f3", "retell"),
    Command("compare", "Ask several backends at once", "Speed", "f4", "compare"),
    Command("detail", "Where the time went", "Speed", "f6", "detail"),
    Command("why", "Why it is this fast: the hardware model, term by term", "Speed", "f7", "why"),
    Command("small-or-fast", "Smaller models on GPUs against the full one on wafers", "Speed"),
    Command("panel", "Show or fold the figures", "Speed", "f8", "panel"),
    Command("record", "Record what follows to a file, or stop", "Speed", argument="FILE"),
    Command("new", "Begin a new conversation", "Conversation", "ctrl+n", "new"),
    Command("sessions", "Saved conversations: search, open, rename, delete", "Conversation", "ctrl+o", "open"),
    Command("title", "Name this conversation", "Conversation", argument="TEXT"),
    Command("export", "Write this conversation to a .md or .json file", "Conversation", argument="FILE"),
    Command("import", "Open a conversation from a .json file", "Conversation", argument="FILE"),
    Command("system", "Choose a system prompt", "Conversation", "ctrl+s", argument="NAME"),
    Command("history", "Search earlier prompts", "Prompt", "ctrl+r"),
    Command("template", "Fill in a prompt template", "Prompt", "ctrl+l", argument="NAME"),
    Command("editor", "Write the prompt in $EDITOR", "Prompt", "ctrl+g"),
    Command("settings", "Change the settings", "App", "f10"),
    Command("theme", "Change the colours", "App", argument="NAME"),
    Command("palette", "Find a command", "App", "ctrl+p", "commands"),
    Command("help", "Keys and commands", "App", "f1", "help"),
    Command("quit", "Leave", "App", "ctrl+q"),
)

BY_NAME: Mapping[str, Command] = {command.name: command for command in COMMANDS}


def parse_slash(text: str) -> tuple[Command | None, str, str] | None:
    """Read a prompt as a slash command: (command or None where unknown, its name, its argument). None: a prompt.

    A path (`/etc/hosts is ...`) and a lone slash are prompts: only `/word` at the very start of one line counts.
    """
    if not text.startswith("/") or "\n" in text:
        return None
    name, _, argument = text[1:].partition(" ")
    if not name or not name.isascii() or not name.replace("-", "").isalpha():
        return None
    return BY_NAME.get(name.lower()), name.lower(), argument.strip()


def nearest_commands(name: str, offered: Collection[str]) -> list[str]:
    """Return what somebody may have meant who wrote an unknown slash command, with the slash."""
    begun = [known for known in offered if known.startswith(name)]
    return [f"/{known}" for known in begun[:3] or nearest_names(name, offered)]


def completions(text: str, offered: Collection[str] = BY_NAME.keys()) -> list[Command]:
    """Return the commands that a half-typed slash command may become."""
    if not text.startswith("/") or " " in text or "\n" in text:
        return []
    return [command for command in COMMANDS if command.name in offered and command.name.startswith(text[1:].lower())]
