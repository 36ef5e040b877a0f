"""What every screen with a prompt box has: commands by key, slash and palette, and a prompt's way out of the box."""

from __future__ import annotations

import logging
import os
import shlex
import subprocess
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from inspect import isawaitable
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.screen import Screen

from chatapp.client.inclusion import include_files
from chatapp.client.session import Session
from chatapp.config import prompt_files
from chatapp.errors import ChatappError, UnknownNameError, UsageError
from chatapp.log import log_path
from chatapp.promptfile import read_prompt_file
from chatapp.text.sanitize import sanitize_line
from chatapp.ui.clipboard import copy_selection
from chatapp.ui.commands import BY_NAME, COMMANDS, Command, completions, nearest_commands, parse_slash
from chatapp.ui.keymap import key_label, resolve_keys
from chatapp.ui.widgets.hint_bar import Hint, HintBar
from chatapp.ui.widgets.prompt_box import PromptBox
from chatapp.ui.widgets.stream_pane import NoticeKind, StreamPane

_LOG = logging.getLogger(__name__)

WHILE_STREAMING = frozenset(
    {"cancel", "copy", "code", "reasoning", "find", "help", "palette", "theme", "quit"}
    | {"detail", "why", "small-or-fast", "panel"}
)
"""Commands that make sense while an answer is coming; the others would change what it belongs to."""


@dataclass(frozen=True, slots=True)
class OwnKey:
    """A key that means something on one screen only."""

    key: str
    action: str
    title: str
    hint: str = ""


class PromptScreen(Screen[None]):
    """A screen with one prompt box. A subclass offers each command for which it has a method `command_NAME`."""

    OWN_KEYS: ClassVar[tuple[OwnKey, ...]] = ()
    """They go before the commands' keys."""
    WHILE_STREAMING: ClassVar[frozenset[str]] = WHILE_STREAMING
    """The commands that run while an answer is coming."""
    ELSEWHERE: ClassVar[str] = ""
    """Where the commands are that this screen does not offer."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.offered: dict[str, Command] = {c.name: c for c in COMMANDS if hasattr(self, c.method)}
        self.keys = resolve_keys(session.settings.keymap).without(own.key for own in self.OWN_KEYS)
        self._confirmed = ""
        """The prompt whose files have been named, so that Enter sends it."""
        self._included = ""
        # Bound here and not as BINDINGS: which keys there are depends on the settings. They go before the keys of the
        # widget that has the focus, the prompt box most of the time.
        for own in self.OWN_KEYS:
            self._bindings.bind(own.key, own.action, own.title, show=False, priority=True)
        for command in self.offered.values():
            for key in self.keys.of(command.name):
                self._bindings.bind(key, f"command('{command.name}')", command.title, show=False, priority=True)

    # For subclasses.

    @property
    def streaming(self) -> bool:
        """Whether an answer is coming."""
        raise NotImplementedError

    def ask(self, prompt: str) -> None:
        """Send a prompt."""
        raise NotImplementedError

    async def cancel_answer(self) -> None:
        """Cancel what is coming and wait until it has ended."""
        raise NotImplementedError

    def hints(self) -> list[Hint]:
        """Return the keys that make sense now, the most useful first."""
        raise NotImplementedError

    def say(self, text: str, *, kind: NoticeKind = "info", hint: str = "") -> None:
        """Say something beside the answers."""
        message = sanitize_line(text) + (f"\n{sanitize_line(hint)}" if hint else "")
        self.notify(message, severity="information" if kind == "info" else kind, markup=False)

    def refresh_state(self) -> None:
        """Bring everything that depends on the state up to date, except the figures."""
        self.refresh_hints()

    # The prompt.

    @property
    def prompt_box(self) -> PromptBox:
        """Where the prompt is written."""
        return self.query_one(PromptBox)

    def refresh_hints(self) -> None:
        """Offer the keys that make sense now, or what a half-typed command may become."""
        prompt = self.prompt_box
        confirmed = self._confirmed and self._confirmed == prompt.prompt
        message = f"{self._included}   Enter sends" if confirmed else ""
        self.query_one(HintBar).show(self.hints(), completions=completions(prompt.text, self.offered), message=message)

    def command_hint(self, name: str) -> Hint:
        """Return the hint of a command; one without a key is not shown."""
        keys = self.keys.of(name)
        label = key_label(keys[0]) if keys else ""
        return Hint(label, BY_NAME[name].hint, f"screen.command('{name}')")

    @on(PromptBox.Changed, "#prompt")
    def _prompt_changed(self) -> None:
        self.refresh_hints()

    @on(PromptBox.Submitted)
    def _submitted(self, event: PromptBox.Submitted) -> None:
        slash = parse_slash(event.text)
        if slash is not None:
            self._run_slash(event, *slash)
            return
        if self.streaming:
            self.prompt_box.give_back(event)
            self._say_streaming()
            return
        try:
            prompt, files = include_files(event.text)
        except ChatappError as exc:
            self.prompt_box.give_back(event)
            self.say(exc.message, kind="error", hint=exc.hint)
            return
        if files and self._confirmed != event.text:
            self.prompt_box.give_back(event)
            self._confirmed = event.text
            self._included = "   ".join(file.summary for file in files)
            self.refresh_hints()
            return
        self._confirmed = ""
        self.ask(prompt)

    def _run_slash(self, event: PromptBox.Submitted, command: Command | None, name: str, argument: str) -> None:
        if command is None:
            near = nearest_commands(name, self.offered)
            what = f"no command /{name}" + (f"; nearest: {', '.join(near)}" if near else "")
            self.prompt_box.give_back(event)
            listed = self.keys.label("help")
            self.say(what, kind="warning", hint=f"{listed} lists them; a space in front sends the text")
        else:
            self.run_command(command.name, argument)

    def _say_streaming(self) -> None:
        own = (key_label(own.key) for own in self.OWN_KEYS if own.action == "cancel")
        cancels = next(own, self.keys.label("cancel"))
        self.notify(f"The answer is still coming: {cancels} cancels it.", severity="warning")

    # Commands.

    def action_command(self, name: str) -> None:
        """Run a command by its key."""
        self.run_command(name)

    def action_copy_text(self) -> None:
        """Copy what is selected by mouse."""
        copy_selection(self)

    def run_command(self, name: str, argument: str = "") -> None:
        """Run a command by its name, with what followed it."""
        if name not in self.offered:
            self.say(f"/{name} is not available here", kind="warning", hint=self.ELSEWHERE)
        elif self.streaming and name not in self.WHILE_STREAMING:
            self._say_streaming()
        else:
            self._run_guarded(getattr(self, self.offered[name].method), argument)

    @work(group="command", exit_on_error=False)
    async def _run_guarded(self, method: Callable[[str], Awaitable[None] | None], argument: str) -> None:
        try:
            result = method(argument)
            if isawaitable(result):
                await result
        except ChatappError as exc:
            self.say(exc.message, kind="error", hint=exc.hint)
        except Exception as exc:
            _LOG.exception("command failed")
            self.say(f"unexpected error: {type(exc).__name__}: {exc}", kind="error", hint=f"details: {log_path()}")

    async def choose_backend(self, name: str = "") -> str | None:
        """Return a backend by its name, a server's only model by the server's, or what the reader chooses of a list.

        Raises:
            UnknownNameError: a name that is none of the listed ones and cannot be a backend's.
        """
        from chatapp.ui.screens.switcher import Switcher

        listings = self.session.listings
        models = [listed for listed in listings if listed.startswith(f"{name}/")]
        if not name or (name not in listings and len(models) > 1):
            chosen: str | None = await self.app.push_screen_wait(Switcher(self.session, server=name))
            return chosen
        if name not in listings and models:
            return models[0]
        if listings and name not in listings and ":" not in name and "/" not in name:
            raise UnknownNameError("backend", name, listings, hint=f"{self.keys.label('backend')} lists them")
        return name

    async def find_in(self, pane: StreamPane, text: str) -> None:
        """Mark a text in a pane; ask for it where none is given."""
        from chatapp.ui.screens.picker import Picker

        wanted = text or await self.app.push_screen_wait(
            Picker("Search in this conversation", placeholder="what to find", free_text=True, hint="Enter searches")
        )
        if wanted and not pane.find(wanted):
            self.notify(f"not found: {sanitize_line(wanted, limit=60)}", severity="warning", markup=False)

    async def command_system(self, argument: str) -> None:
        """Choose the system prompt, for this conversation and new ones."""
        from chatapp.ui.screens.choosers import file_picker

        files = {path.stem: path for path in prompt_files("systems", "*.md")}
        name = argument or await self.app.push_screen_wait(file_picker("System prompt", files, none="no system prompt"))
        if name is None:
            return
        if name and name not in files:
            raise UnknownNameError("system prompt", name, files, hint="they are files in prompts/systems")
        text = read_prompt_file(files[name]).text.strip() if name else ""
        self.session.instructions = self.session.conversation.instructions = text
        self.say(f"system prompt: {name or 'none'}")

    def command_record(self, argument: str) -> None:
        """Record what follows, or stop recording."""
        session = self.session
        if session.recorder is not None:
            session.stop_recording()
            self.say(f"recording sealed: {session.recording_to}")
        elif not argument:
            raise UsageError("name a file to record to", hint="/record talk.tokcast")
        else:
            session.start_recording(Path(argument).expanduser())
            self.say(f"recording to {argument}", hint="/record stops")
        self.refresh_state()

    def command_small_or_fast(self, _argument: str) -> None:
        """Show what one gives up on GPUs to be fast, beside the full model on wafers."""
        from chatapp.ui.screens.small_or_fast import SmallOrFastScreen

        self.app.push_screen(SmallOrFastScreen())

    async def command_history(self, _argument: str) -> None:
        """Search earlier prompts."""
        from chatapp.ui.screens.choosers import history_picker

        prompt = await self.app.push_screen_wait(history_picker(self.prompt_box.prompts))
        if prompt:
            self.prompt_box.set_prompt(prompt)

    async def command_template(self, argument: str) -> None:
        """Put a template into the box; Tab goes from blank to blank."""
        from chatapp.ui.screens.choosers import file_picker

        files = {path.stem: path for path in prompt_files("templates", "*.md")}
        name = argument or await self.app.push_screen_wait(file_picker("Prompt template", files))
        if name is None:
            return
        if name not in files:
            raise UnknownNameError("template", name, files, hint="they are files in prompts/templates")
        self.prompt_box.set_prompt(read_prompt_file(files[name]).text.strip())
        self.prompt_box.focus()

    def command_editor(self, _argument: str) -> None:
        """Write the prompt in the user's own editor."""
        editor = os.environ.get("VISUAL") or os.environ.get("EDITOR")
        if not editor:
            raise UsageError("no editor is set", hint="export EDITOR=vim")
        descriptor, name = tempfile.mkstemp(suffix=".md", prefix="chatapp-")
        path = Path(name)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(self.prompt_box.prompt)
            with self.app.suspend():
                done = subprocess.run([*shlex.split(editor), name], check=False)
            if done.returncode == 0:
                self.prompt_box.set_prompt(path.read_text(encoding="utf-8", errors="replace").rstrip("\n"))
        except OSError as exc:
            raise UsageError(f"{sanitize_line(editor)}: {exc.strerror or exc}") from None
        finally:
            path.unlink(missing_ok=True)

    async def command_settings(self, _argument: str) -> None:
        """Change the settings."""
        from chatapp.ui.screens.settings import SettingsScreen

        changed = await self.app.push_screen_wait(SettingsScreen(self.session.settings))
        if changed is not None:
            self.session.settings = changed
            self.app.theme = changed.theme
            self.settings_changed()

    def settings_changed(self) -> None:
        """Follow settings that were changed while this screen is shown."""
        self.refresh_state()

    async def command_theme(self, argument: str) -> None:
        """Change the colours for this run."""
        from chatapp.ui.screens.choosers import theme_picker
        from chatapp.ui.theme import THEMES

        names = [theme.name for theme in THEMES]
        name = argument or await self.app.push_screen_wait(theme_picker(names, self.app.theme))
        if name is None:
            return
        if name not in names:
            raise UnknownNameError("theme", name, names)
        self.app.theme = name

    async def command_palette(self, _argument: str) -> None:
        """Find a command by what it does."""
        from chatapp.ui.screens.choosers import command_picker

        name = await self.app.push_screen_wait(command_picker(self.offered.values(), self.keys))
        if name:
            self.run_command(name)

    def command_help(self, _argument: str) -> None:
        """Show keys and commands."""
        from chatapp.ui.screens.help import HelpScreen

        own = [(key_label(own.key), own.title) for own in self.OWN_KEYS]
        self.app.push_screen(HelpScreen(self.offered.values(), self.keys, own))

    async def command_quit(self, _argument: str) -> None:
        """Cancel what is coming, save, leave."""
        await self.cancel_answer()
        self.app.exit()
