"""Which keys do what: the commands' own keys, what config.toml's `[keymap]` makes of them, and what is left of both.

Every place that names a key (hints, help, palette, messages) asks the table made here, so that none names a key that
goes elsewhere.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from textual.keys import Keys

from chatapp.errors import ConfigError, nearest_names
from chatapp.tomlfile import TomlFile
from chatapp.ui.commands import BY_NAME, COMMANDS

_MODIFIERS = frozenset(("ctrl", "alt", "shift", "super", "hyper", "meta"))
_NAMED = frozenset(part for key in Keys for part in key.value.split("+")) - _MODIFIERS
_ALIASES = {"esc": "escape", "return": "enter", "pgup": "pageup", "pgdn": "pagedown", "del": "delete", "ins": "insert"}
_WRITING = frozenset(("enter", "tab", "backspace", "delete", "up", "down", "left", "right", "home", "end", "ctrl+j"))
"""What writing and sending a prompt cannot do without."""


@dataclass(frozen=True, slots=True)
class KeyTable:
    """The keys that really run each command on a screen."""

    by_command: Mapping[str, tuple[str, ...]]
    problems: tuple[str, ...] = ()
    """What of the user's keymap could not be done, one line each."""

    def of(self, name: str) -> tuple[str, ...]:
        """Return a command's keys, in Textual's names; often one, sometimes none."""
        return self.by_command.get(name, ())

    def label(self, name: str) -> str:
        """Return how to run a command, for a message: its first key, or its slash command where it has none."""
        keys = self.of(name)
        return key_label(keys[0]) if keys else f"/{name}"

    def without(self, taken: Iterable[str]) -> KeyTable:
        """Return the table of a screen that needs some keys for itself."""
        left = set(taken)
        return KeyTable({name: tuple(k for k in keys if k not in left) for name, keys in self.by_command.items()})


def resolve_keys(keymap: Mapping[str, str], document: TomlFile | None = None) -> KeyTable:
    """Return which keys run which command under a user's keymap.

    A key goes to one command only: to a rebound one before one by default, then to the first in the table of commands.
    A keymap's empty text takes a command's keys away. A command none of whose keys can be used keeps its default ones.

    Args:
        keymap: keys by command.
        document: the file that holds it, to name the line of an error.

    Raises:
        SourceError: a name that is no command.
    """
    problems: list[str] = []
    wanted: dict[str, list[str]] = {}
    for name, text in keymap.items():
        if name not in BY_NAME:
            raise _unknown(name, document)
        usable = []
        for key in split_keys(text):
            problem = _why_not(key)
            if problem:
                problems.append(f"keymap.{name}: {problem}")
            else:
                usable.append(key)
        if usable or not text.strip():
            wanted[name] = usable
    users: dict[str, list[str]] = {}
    for command in sorted(COMMANDS, key=lambda command: command.name not in wanted):
        for key in wanted.get(command.name, split_keys(command.keys)):
            users.setdefault(key, []).append(command.name)
    keys: dict[str, list[str]] = {command.name: [] for command in COMMANDS}
    for key, names in users.items():
        keys[names[0]].append(key)
    for key, names in users.items():
        if len(names) > 1:
            bare = [f"/{name}" for name in names[1:] if not keys[name]]
            left = f"; {' and '.join(bare)} can still be typed" if bare else ""
            problems.append(f"key {key} is bound to {' and '.join(names)}; the first one gets it{left}")
    return KeyTable({name: tuple(found) for name, found in keys.items()}, tuple(problems))


def _unknown(name: str, document: TomlFile | None) -> Exception:
    near = nearest_names(name, BY_NAME)
    message = "no such command" + (f"; nearest: {', '.join(near)}" if near else "")
    hint = "the commands are listed by F1 and by /help"
    if document is not None:
        return document.fail(("keymap", name), message, hint=hint)
    return ConfigError("config.toml", f"keymap.{name}: {message}", hint=hint)


def _why_not(key: str) -> str:
    """Return why a key cannot run a command, or nothing."""
    *modifiers, last = key.rsplit("+", 1) if len(key) > 1 else [key]
    held = set(modifiers[0].split("+")) if modifiers else set()
    character = len(last) == 1 or _is_character_name(last)
    if not held <= _MODIFIERS or not (character or last in _NAMED):
        return f"no such key: {key}; keys are written f2, ctrl+t, alt+left"
    if key in _WRITING or (character and held <= {"shift"}):
        return f"key {key} writes the prompt and can do nothing else"
    return ""


def _is_character_name(name: str) -> bool:
    """Whether a name is Textual's for a character: `full_stop`, `question_mark`."""
    try:
        unicodedata.lookup(name.replace("_", " "))
    except KeyError:
        return name in ("minus", "plus", "slash", "backslash", "at")
    return True


def split_keys(keys: str) -> list[str]:
    """Return the single keys of a binding in Textual's names, also of those written as labels: `F2`, `^T`, `Esc`."""
    found = [_normal(key.strip()) for key in keys.split(",")]
    return list(dict.fromkeys(key for key in found if key))


def _normal(key: str) -> str:
    if len(key) == 2 and key.startswith("^"):
        key = f"ctrl+{key[1]}"
    if len(key) <= 1:
        return key
    *modifiers, last = key.lower().split("+")
    return "+".join([*modifiers, _ALIASES.get(last, last)])


def key_label(key: str) -> str:
    """Return a key as people write it: `F2`, `^T`, `Esc`, `Alt+C`."""
    if key.startswith("ctrl+"):
        rest = key.removeprefix("ctrl+")
        return f"^{rest.upper()}" if len(rest) == 1 else f"Ctrl+{'+'.join(map(str.capitalize, rest.split('+')))}"
    named = {"escape": "Esc"}
    return named.get(key, "+".join(part.capitalize() if len(part) > 1 else part.upper() for part in key.split("+")))
