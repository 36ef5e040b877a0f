"""Everything the chat can be told to do, once: keys, palette, slash commands and the help screen read this table.

A command's name is its slash command (`/retry`) and its id in config.toml's `[keymap]` (`retry = "ctrl+y"`). Its action
is a method `action_NAME` of the chat screen; where `argument` is given, the slash form may pass one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from textual.binding import Binding, BindingType

from chatapp.errors import ConfigError, nearest_names
from chatapp.tomlfile import TomlFile


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
    slash: bool = True
    action: str = ""

    @property
    def action_name(self) -> str:
        """The action's name on the chat screen."""
        return self.action or self.name.replace("-", "_")


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
    Command("import", "Open a conversation from a .json file", "Conversation", argument="FILE", action="import_file"),
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


def bindings() -> list[BindingType]:
    """Return the chat screen's bindings; each can be rebound by its command's name."""
    return [
        Binding(command.keys, f"command('{command.name}')", command.title, show=False, priority=True, id=command.name)
        for command in COMMANDS
        if command.keys
    ]


def check_keymap(keymap: Mapping[str, str], document: TomlFile | None = None) -> list[str]:
    """Return one line for each clash that a keymap brings: a key that two commands would share.

    Args:
        keymap: keys by command.
        document: the file that holds it, to name the line of an error.

    Raises:
        SourceError: a name that is no command.
    """
    for name in keymap:
        if name not in BY_NAME:
            near = nearest_names(name, BY_NAME)
            message = "no such command" + (f"; nearest: {', '.join(near)}" if near else "")
            hint = "the commands are listed by F1 and by /help"
            if document is not None:
                raise document.fail(("keymap", name), message, hint=hint)
            raise ConfigError("config.toml", f"keymap.{name}: {message}", hint=hint)
    users: dict[str, list[str]] = {}
    for command in sorted(COMMANDS, key=lambda command: command.name not in keymap):  # as Textual gives keys away
        for key in split_keys(keymap.get(command.name, command.keys)):
            users.setdefault(key, []).append(command.name)
    return [
        f"key {key} is bound to {' and '.join(names)}; the first one gets it"
        for key, names in users.items()
        if len(names) > 1
    ]


def split_keys(keys: str) -> list[str]:
    """Return the single keys of a binding."""
    return [key.strip() for key in keys.split(",") if key.strip()]


def key_label(keys: str) -> str:
    """Return a key as people write it: `F2`, `^T`, `Esc`, `Alt+C`."""
    key = split_keys(keys)[0] if keys.strip() else ""
    if key.startswith("ctrl+"):
        rest = key.removeprefix("ctrl+")
        return f"^{rest.upper()}" if len(rest) == 1 else f"Ctrl+{rest.capitalize()}"
    named = {"escape": "Esc"}
    return named.get(key, "+".join(part.capitalize() if len(part) > 1 else part.upper() for part in key.split("+")))


def parse_slash(text: str) -> tuple[Command | None, str, str] | None:
    """Read a prompt as a slash command: (command or None where unknown, its name, its argument). None: a prompt.

    A path (`/etc/hosts is ...`) and a lone slash are prompts: only `/word` at the very start counts.
    """
    if not text.startswith("/") or "\n" in text:
        return None
    name, _, argument = text[1:].partition(" ")
    if not name or not name.replace("-", "").isalpha() or not name.islower():
        return None
    return BY_NAME.get(name), name, argument.strip()


def completions(text: str) -> list[Command]:
    """Return the commands that a half-typed slash command may become."""
    if not text.startswith("/") or " " in text or "\n" in text:
        return []
    return [command for command in COMMANDS if command.name.startswith(text[1:])]
