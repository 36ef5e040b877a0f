"""The chat: what its commands do. Each is `command_NAME(argument)`; the table of them is `chatapp.ui.commands`."""

from __future__ import annotations

from pathlib import Path

from textual.screen import Screen

from chatapp.client.conversation import Turn
from chatapp.client.transfer import from_json, write_export
from chatapp.errors import ChatappError, UsageError
from chatapp.stream.events import Retell
from chatapp.ui.screens.conversation import ConversationScreen
from chatapp.ui.starters import RACE, RACE_BACKENDS

DEFAULT_RETELLER = "sim:cs3/kimi-k2.6"


class ChatScreen(ConversationScreen):
    """The conversation, and what can be done with it."""

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
            again, edit = self.keys.label("retry"), self.keys.label("edit")
            raise UsageError("there are no branches here", hint=f"{again} asks again, {edit} edits an earlier prompt")
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
        await self.find_in(self.pane, argument)

    # Speed.

    async def command_backend(self, argument: str) -> None:
        """Choose what answers from now on."""
        name = await self.choose_backend(argument)
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
            choose, tell = self.keys.label("backend"), self.keys.label("retell")
            raise UsageError(
                "no real answer to tell again yet",
                hint=f"ask a real backend first ({choose}: local, or a live service), then {tell}",
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
        self.load_starters()
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
        self.app.push_screen(DetailScreen(self.exchange.answer, self.session.clock, self.keys.of("detail")))

    def command_why(self, _argument: str) -> None:
        """Explain a simulated system's speed."""
        from chatapp.ui.screens.why import WhyScreen

        turn = self.exchange.turn if self.exchange else None
        backend = turn.backend if turn else self.session.backend
        answer = self.exchange.answer if self.exchange else None
        self.app.push_screen(WhyScreen(backend, answer, self.keys.of("why")))

    def command_panel(self, _argument: str) -> None:
        """Fold the figures, or show them."""
        self.toggle_class("-folded")
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

    def command_import(self, argument: str) -> None:
        """Open a conversation from a file, and save it."""
        if not argument:
            raise UsageError("name the file to open", hint="/import FILE.json")
        conversation = from_json(Path(argument).expanduser())
        self.session.conversation = conversation
        for turn in list(conversation.turns.values()):
            self.session.saver.finish(conversation, turn)
        self.show_conversation()

    def _last_turn(self) -> Turn:
        turn = self.session.conversation.last
        if turn is None:
            raise UsageError("nothing has been asked yet")
        return turn
