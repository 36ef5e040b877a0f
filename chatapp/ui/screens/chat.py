"""The chat: what its commands do. Each is `command_NAME(argument)`; the table of them is `chatapp.ui.commands`."""

from __future__ import annotations

import logging
import os
import shlex
import subprocess
import tempfile
from collections.abc import Callable
from inspect import isawaitable
from pathlib import Path
from typing import Any

from textual import work
from textual.screen import Screen

from chatapp.client.conversation import Turn
from chatapp.client.transfer import from_json, write_export
from chatapp.config import prompt_files
from chatapp.errors import ChatappError, UnknownNameError, UsageError
from chatapp.log import log_path
from chatapp.promptfile import read_prompt_file
from chatapp.stream.events import Retell
from chatapp.text.sanitize import sanitize_line
from chatapp.ui.commands import BY_NAME
from chatapp.ui.screens.conversation import ConversationScreen
from chatapp.ui.starters import RACE, RACE_BACKENDS

_LOG = logging.getLogger(__name__)

DEFAULT_RETELLER = "sim:cs3/kimi-k2.6"
WHILE_STREAMING = frozenset(
    {"cancel", "copy", "code", "reasoning", "help", "palette", "theme", "quit"}
    | {"detail", "why", "small-or-fast", "panel"}
)
"""Commands that make sense while an answer is coming; the others would change what it belongs to."""


class ChatScreen(ConversationScreen):
    """The conversation, and what can be done with it."""

    async def action_command(self, name: str) -> None:
        """Run a command by its key."""
        self.run_command(name)

    def run_command(self, name: str, argument: str = "") -> None:
        """Run a command by its name, with what followed it."""
        if self.streaming and name not in WHILE_STREAMING:
            self.notify("The answer is still coming: Esc cancels it.", severity="warning")
            return
        method: Callable[[str], Any] = getattr(self, f"command_{BY_NAME[name].action_name}")
        self._run_guarded(method, argument)

    @work(group="command", exit_on_error=False)
    async def _run_guarded(self, method: Callable[[str], Any], argument: str) -> None:
        try:
            result = method(argument)
            if isawaitable(result):
                await result
        except ChatappError as exc:
            self.say(exc.message, kind="error", hint=exc.hint)
        except Exception as exc:
            _LOG.exception("command failed")
            self.say(f"unexpected error: {type(exc).__name__}: {exc}", kind="error", hint=f"details: {log_path()}")

    # The answer.

    async def command_cancel(self, _argument: str) -> None:
        """Cancel the answer; without one, put the cursor back into the prompt."""
        if self.streaming:
            await self.cancel_answer()
        else:
            self.prompt_box.focus()

    def command_retry(self, _argument: str) -> None:
        """Ask the last prompt again, as a branch beside it."""
        turn = self._last_turn()
        self.session.conversation.step_back(turn)
        self.show_conversation()
        self.ask(turn.prompt)

    async def command_edit(self, _argument: str) -> None:
        """Choose an earlier prompt and put it back into the box; what followed stays as a branch."""
        from chatapp.ui.screens.choosers import prompt_picker

        self._last_turn()
        turn: Turn | None = await self.app.push_screen_wait(prompt_picker(self.session.conversation.path))
        if turn is not None:
            self.session.conversation.step_back(turn)
            self.show_conversation()
            self.prompt_box.set_prompt(turn.prompt)

    def command_branch_previous(self, _argument: str) -> None:
        """Show the branch before."""
        self._walk(-1)

    def command_branch_next(self, _argument: str) -> None:
        """Show the branch after."""
        self._walk(+1)

    def _walk(self, step: int) -> None:
        conversation = self.session.conversation
        point = conversation.branch_point()
        if point is None:
            raise UsageError("there are no branches here", hint="F5 asks again, Ctrl+Up edits an earlier prompt")
        if conversation.walk(point, step):
            self.session.saver.touch(conversation)
            self.show_conversation()

    def command_copy(self, _argument: str) -> None:
        """Copy the last answer."""
        self.pane.copy_answer()

    def command_code(self, _argument: str) -> None:
        """Copy the last code block."""
        self.pane.copy_code_block()

    def command_reasoning(self, _argument: str) -> None:
        """Fold or open the reasoning."""
        self.pane.toggle_reasoning()

    async def command_find(self, argument: str) -> None:
        """Search in the conversation."""
        from chatapp.ui.screens.picker import Picker

        text = argument or await self.app.push_screen_wait(
            Picker("Search in this conversation", placeholder="what to find", free_text=True, hint="Enter searches")
        )
        if text:
            self.pane.find(text)

    # Speed.

    async def command_backend(self, argument: str) -> None:
        """Choose what answers from now on."""
        from chatapp.ui.screens.switcher import Switcher

        name = argument
        models = [listed for listed in self.session.listings if listed.startswith(f"{name}/")]
        if not name or (name not in self.session.listings and len(models) > 1):
            name = await self.app.push_screen_wait(Switcher(self.session, server=name))
        elif name not in self.session.listings and models:
            name = models[0]
        elif self.session.listings and name not in self.session.listings and ":" not in name and "/" not in name:
            raise UnknownNameError("backend", name, self.session.listings, hint="F2 lists them")
        if name:
            self.session.backend = name
            self.exchange = None
            self.refresh_state()
            self.refresh_figures()

    def command_retell(self, _argument: str) -> None:
        """Tell the last real answer at a simulated system's pace, for the difference to be felt on one text."""
        conversation = self.session.conversation
        real = conversation.last_real()
        if real is None:
            raise UsageError(
                "no real answer to tell again yet",
                hint="ask a real backend first (F2: local, or a live service), then press F3",
            )
        simulated = [turn.backend for turn in conversation.path if turn.backend.startswith("sim:")]
        current = self.session.backend
        backend = current if current.startswith("sim:") else simulated[-1] if simulated else DEFAULT_RETELLER
        self.ask(real.prompt, backend=backend, retell=Retell(real.text, real.label or real.backend, real.reasoning))

    def command_compare(self, _argument: str) -> None:
        """Open the comparison with the last prompt."""
        last = self.session.conversation.last
        others = [turn.backend for turn in reversed(self.session.conversation.path)]
        chosen = dict.fromkeys([self.session.backend, *others, *RACE_BACKENDS])
        self._open_compare(list(chosen)[:2], last.prompt if last else self.prompt_box.prompt)

    def _open_compare(self, backends: list[str], prompt: str) -> None:
        try:
            from chatapp.ui.screens.compare import open_compare
        except ImportError:
            raise UsageError("the comparison screen is not installed") from None
        screen: Screen[None] = open_compare(self.session, backends, prompt)
        self.app.push_screen(screen)

    def begin_starter(self, number: int) -> None:
        """Ask one of the four suggestions."""
        starter = next((starter for starter in self.starters if starter.number == number), None)
        if starter is None or not self.prompt_box.offers_starters:
            return
        if number == RACE:
            self._guarded_race(starter.prompt)
        else:
            self.ask(starter.prompt)

    def _guarded_race(self, prompt: str) -> None:
        try:
            self._open_compare(list(RACE_BACKENDS), prompt)
        except ChatappError as exc:
            self.say(exc.message, kind="error", hint=exc.hint)

    def command_detail(self, _argument: str) -> None:
        """Show where the time went."""
        from chatapp.ui.screens.detail import DetailScreen

        if self.exchange is None:
            raise UsageError("no answer has been measured yet", hint="ask something first")
        self.app.push_screen(DetailScreen(self.exchange.answer, self.session.clock))

    def command_why(self, _argument: str) -> None:
        """Explain a simulated system's speed."""
        from chatapp.ui.screens.why import WhyScreen

        turn = self.exchange.turn if self.exchange else None
        backend = turn.backend if turn else self.session.backend
        answer = self.exchange.answer if self.exchange else None
        self.app.push_screen(WhyScreen(backend, answer))

    def command_small_or_fast(self, _argument: str) -> None:
        """Show what one gives up on GPUs to be fast, beside the full model on wafers."""
        from chatapp.ui.screens.small_or_fast import SmallOrFastScreen

        self.app.push_screen(SmallOrFastScreen())

    def command_panel(self, _argument: str) -> None:
        """Fold the figures, or show them."""
        self.toggle_class("-folded")
        self.refresh_state()

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

    # The conversation.

    def command_new(self, _argument: str) -> None:
        """Begin a new conversation."""
        self.session.conversation = self.session.fresh_conversation()
        self.show_conversation()

    async def command_sessions(self, _argument: str) -> None:
        """Choose a saved conversation."""
        from chatapp.ui.screens.sessions import SessionsScreen

        identity = await self.app.push_screen_wait(SessionsScreen(self.session.saver, self.session.conversation))
        self.refresh_state()  # it may have got another title
        if identity:
            conversation = self.session.saver.load(identity)
            if conversation is not None:
                self.session.go_on_with(conversation)
                self.show_conversation()

    def command_title(self, argument: str) -> None:
        """Name the conversation."""
        if not argument:
            raise UsageError("a title is needed", hint="/title TEXT")
        self.session.conversation.title = argument
        if self.session.conversation.path:
            self.session.saver.touch(self.session.conversation)
        self.refresh_state()

    def command_export(self, argument: str) -> None:
        """Write the conversation to a file."""
        self._last_turn()
        path = Path(argument or f"{self.session.conversation.identity}.md").expanduser()
        write_export(self.session.conversation, path)
        self.say(f"written: {path}")

    def command_import_file(self, argument: str) -> None:
        """Open a conversation from a file, and save it."""
        if not argument:
            raise UsageError("name the file to open", hint="/import FILE.json")
        conversation = from_json(Path(argument).expanduser())
        self.session.conversation = conversation
        for turn in list(conversation.turns.values()):
            self.session.saver.finish(conversation, turn)
        self.show_conversation()

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

    # The prompt.

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

    # The app.

    async def command_settings(self, _argument: str) -> None:
        """Change the settings."""
        from chatapp.ui.screens.settings import SettingsScreen

        changed = await self.app.push_screen_wait(SettingsScreen(self.session.settings))
        if changed is not None:
            self.session.settings = changed
            self.app.theme = changed.theme
            self.set_class(not changed.panel, "-folded")
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

        name = await self.app.push_screen_wait(command_picker(self.session.settings.keymap))
        if name:
            self.run_command(name)

    def command_help(self, _argument: str) -> None:
        """Show keys and commands."""
        from chatapp.ui.screens.help import HelpScreen

        self.app.push_screen(HelpScreen(self.session.settings.keymap))

    async def command_quit(self, _argument: str) -> None:
        """Cancel what is coming, save, leave."""
        await self.cancel_answer()
        self.app.exit()

    def _last_turn(self) -> Turn:
        turn = self.session.conversation.last
        if turn is None:
            raise UsageError("nothing has been asked yet")
        return turn
