"""Settings and paths: config.toml, environment, and the folders the OS gives us.

The settings' own definitions below are the only list of them: the file is validated against it, `chatapp doctor` prints
it, and the settings screen is generated from it.
"""

from __future__ import annotations

import os
import re
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any

import platformdirs

from chatapp.errors import ConfigError, ExtraMissingError, UnknownNameError
from chatapp.redaction import Secret
from chatapp.tomlfile import TomlFile, read_config

APP = "chatapp"


def config_folder() -> Path:
    """Return the folder of config.toml and of the user's own prompts, demos, claims, systems and models."""
    return Path(os.environ.get("CHATAPP_CONFIG_DIR") or platformdirs.user_config_path(APP, appauthor=False))


def data_folder() -> Path:
    """Return the folder of saved conversations and recordings."""
    return Path(os.environ.get("CHATAPP_DATA_DIR") or platformdirs.user_data_path(APP, appauthor=False))


def state_folder() -> Path:
    """Return the folder of logs, prompt history and drafts."""
    return Path(os.environ.get("CHATAPP_STATE_DIR") or platformdirs.user_state_path(APP, appauthor=False))


def cache_folder() -> Path:
    """Return the folder of what can be made again."""
    return Path(os.environ.get("CHATAPP_CACHE_DIR") or platformdirs.user_cache_path(APP, appauthor=False))


def bundled_prompts() -> Path:
    """Return the folder of the shipped prompts: inside an installed wheel, or beside the package in a checkout."""
    package = Path(__file__).parent
    inside = package / "prompts"
    return inside if inside.is_dir() else package.parent / "prompts"


def prompt_files(kind: str, pattern: str) -> list[Path]:
    """Return the files of one kind (`library`, `systems`, `demos`, ...), the user's replacing shipped ones by name.

    Raises:
        ConfigError: the shipped or the user's folder cannot be read.
    """
    found: dict[str, Path] = {}
    for folder in (bundled_prompts() / kind, config_folder() / "prompts" / kind):
        try:
            for path in sorted(folder.glob(pattern)):
                found[path.name] = path
            if folder.exists():
                os.listdir(folder)  # glob is silent where a folder may not be read
        except OSError as exc:
            raise ConfigError(folder, f"folder cannot be read: {exc.strerror or exc}") from None
    return [found[name] for name in sorted(found)]


def _setting(
    default: Any, help_text: str, *, choices: tuple[str, ...] = (), bounds: tuple[float, float] | None = None
) -> Any:
    return field(default=default, metadata={"help": help_text, "choices": choices, "bounds": bounds})


@dataclass(frozen=True, slots=True)
class Settings:
    """What config.toml may hold at its top level. Tables: `[keys]`, `[backends.NAME]`, `[keymap]`, `[redaction]`."""

    backend: str = _setting("", "default backend; empty: local where installed, else sim:cs3/kimi-k2.6")
    theme: str = _setting(
        "chatapp-dark", "colours", choices=("chatapp-dark", "chatapp-light", "chatapp-contrast", "ansi")
    )
    system: str = _setting("", "name of the default system prompt in prompts/systems")
    panel: bool = _setting(True, "show the metrics panel")
    reasoning: bool = _setting(False, "show reasoning unfolded")
    reduced_motion: bool = _setting(False, "no moving gauges, at most 4 updates a second")
    fps: int = _setting(
        0, "frames per second of streaming text; 0: 60 on a local terminal, 30 elsewhere", bounds=(0, 120)
    )
    following: str = _setting(
        "auto",
        "how the end of streaming text is followed; auto: in jumps of a quarter page over SSH, smoothly elsewhere",
        choices=("auto", "smooth", "jumps"),
    )
    mouse: bool = _setting(True, "let the app use the mouse; off leaves selection to the terminal")
    save: bool = _setting(True, "save conversations in the data folder")
    discover: bool = _setting(True, "look for Ollama, LM Studio, llama.cpp and vLLM on this machine's default ports")
    seed: int = _setting(7, "seed of simulated timing", bounds=(0, 2**31))
    sim_reasoning: bool = _setting(True, "simulated models that think show a reasoning phase")
    max_cost_usd: float = _setting(1.0, "ask before a run that may cost more than this", bounds=(0, 1e6))
    keys: dict[str, str] = field(default_factory=dict)
    backends: dict[str, dict[str, Any]] = field(default_factory=dict)
    keymap: dict[str, str] = field(default_factory=dict)
    redaction: tuple[re.Pattern[str], ...] = ()
    source: TomlFile | None = field(default=None, repr=False, compare=False)

    @classmethod
    def scalar_fields(cls) -> tuple[Field[Any], ...]:
        """Return the fields that a settings screen can offer."""
        return tuple(f for f in fields(cls) if "help" in f.metadata)


TABLES = ("keys", "backends", "keymap", "redaction")


def load_settings(path: Path | None = None) -> Settings:
    """Read config.toml; a missing file is the defaults.

    Raises:
        ConfigError: the file cannot be read, is not TOML, or holds a wrong name or value; with file and line.
    """
    path = path or config_folder() / "config.toml"
    if not path.exists():
        return Settings()
    document = read_config(path)
    known = {f.name: f for f in Settings.scalar_fields()}
    values: dict[str, Any] = {"source": document}
    for name, value in document.data.items():
        if name in known:
            values[name] = _checked(document, known[name], value)
        elif name not in TABLES:
            raise document.fail((name,), UnknownNameError("setting", name, [*known, *TABLES]).message)
    values["keys"] = _string_table(document, "keys")
    for name, reference in values["keys"].items():
        if not reference.startswith(("env:", "keyring:")):
            raise document.fail(
                ("keys", name),
                "a key's value does not belong in a file",
                hint='write "env:NAME" or "keyring:service/user"',
            )
    values["keymap"] = _string_table(document, "keymap")
    backends = document.data.get("backends", {})
    if not isinstance(backends, dict) or not all(isinstance(entry, dict) for entry in backends.values()):
        raise document.fail(("backends",), "must be tables: [backends.NAME]")
    values["backends"] = backends
    values["redaction"] = _patterns(document)
    return Settings(**values)


def _checked(document: TomlFile, setting: Field[Any], value: Any) -> Any:
    wanted = type(setting.default)
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not wanted:
        raise document.fail((setting.name,), f"must be a {_type_name(wanted)}, not {value!r}")
    choices = setting.metadata["choices"]
    if choices and value not in choices:
        raise document.fail(
            (setting.name,),
            UnknownNameError("value", str(value), choices).message,
            hint=f"one of: {', '.join(choices)}",
        )
    bounds = setting.metadata["bounds"]
    if bounds and not bounds[0] <= value <= bounds[1]:
        raise document.fail((setting.name,), f"must lie between {bounds[0]:g} and {bounds[1]:g}, not {value!r}")
    return value


def _type_name(wanted: type) -> str:
    return {str: "string", bool: "boolean (true or false)", int: "whole number", float: "number"}[wanted]


def _string_table(document: TomlFile, name: str) -> dict[str, str]:
    table = document.data.get(name, {})
    if not isinstance(table, dict):
        raise document.fail((name,), "must be a table")
    for key, value in table.items():
        if not isinstance(value, str):
            raise document.fail((name, key), f"must be a string, not {value!r}")
    return table


def _patterns(document: TomlFile) -> tuple[re.Pattern[str], ...]:
    table = document.data.get("redaction", {})
    patterns = table.get("patterns", []) if isinstance(table, dict) else None
    if not isinstance(patterns, list):
        raise document.fail(("redaction", "patterns"), "must be a list of regular expressions")
    out = []
    for pattern in patterns:
        try:
            out.append(re.compile(pattern))
        except (re.error, TypeError) as exc:
            raise document.fail(("redaction", "patterns"), f"{pattern!r} is not a regular expression: {exc}") from None
    return tuple(out)


def load_key(settings: Settings, variable: str) -> Secret | None:
    """Return an API key by the name of its variable: as `[keys]` redirects it, else from the environment.

    Raises:
        ExtraMissingError: the reference is `keyring:` and the keyring package is missing.
    """
    reference = settings.keys.get(variable, f"env:{variable}")
    scheme, _, where = reference.partition(":")
    if scheme == "keyring":
        try:
            import keyring  # type: ignore[import-not-found,unused-ignore]
        except ImportError:
            raise ExtraMissingError("a key in the OS keyring", "keyring") from None
        service, _, user = where.partition("/")
        value = keyring.get_password(service, user or APP)
    else:
        value = os.environ.get(where)
    return Secret(variable, value.strip()) if value and value.strip() else None
