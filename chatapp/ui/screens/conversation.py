"""The conversation: text to the left, figures to the right, the prompt below, and a prompt's way through it.

What the commands do is in `chatapp.ui.screens.chat`, an answer's way to the screen in `chatapp.client.exchange`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.timer import Timer
from textual.widgets import Static, TextArea
from textual.worker import Worker

from chatapp.client.conversation import Turn
from chatapp.client.prompt_history import PromptHistory
from chatapp.client.session import Session
from chatapp.errors import GatewayError
from chatapp.stream.events import Retell
from chatapp.text.sanitize import sanitize_line
from chatapp.ui.figures import panel_view
from chatapp.ui.screens.prompting import PromptScreen
from chatapp.ui.starters import Starter, load_starters
from chatapp.ui.widgets.hint_bar import Hint, HintBar
from chatapp.ui.widgets.metrics_panel import MetricsPanel, PanelView
from chatapp.ui.widgets.prompt_box import PromptBox
from chatapp.ui.widgets.scoreboard import Scoreboard
from chatapp.ui.widgets.stream_pane import NoticeKind, StreamPane
from chatapp.ui.widgets.welcome import Behind, Welcome

if TYPE_CHECKING:
    from chatapp.client.exchange import Exchange

PANEL_HZ = 8
"""Meters at the frame rate would cost as much as the text of four panes; 8 Hz is as fast as digits can be read."""

REDUCED_HZ = 4
DRAFT_S = 1.0
SAVING_S = 1.0
"""How often the saver is asked how it does."""


class ConversationScreen(PromptScreen):
    """Shows a session's conversation and asks its backends."""

    CSS_PATH = "conversation.tcss"
    BREAKPOINTS: ClassVar[list[tuple[int, str]]] = [(0, "-narrow"), (72, "-normal"), (112, "-wide"), (168, "-huge")]
    """Columns from which the panel is there, wider, and wider still."""

    AUTO_FOCUS = "#prompt"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.HORIZONTAL_BREAKPOINTS = self.BREAKPOINTS
        self.VERTICAL_BREAKPOINTS = [(0, "-low"), (30, "-tall")]
        self.starters: Sequence[Starter] = ()
        self.history = PromptHistory()
        self.exchange: Exchange | None = None
        self._worker: Worker[None] | None = None
        self._meter: Timer | None = None
        self._draft_timer: Timer | None = None
        # Before there is anything to style: each later change of a class styles the whole screen again.
        self.set_class(not session.settings.panel, "-folded")
        self.set_class(not session.conversation.path, "-empty")
        self._starters_offered = False
        self._said: set[str] = set()
        """Problems that the reader has been told of."""
        self._unsaved = self._told_unsaved = False

    # Layout.

    def compose(self) -> ComposeResult:
        """Top line, conversation and prompt beside the figures, hints."""
        yield Static(id="top", markup=False)
        with Horizontal(id="body"):
            with Vertical(id="talk"):
                yield Welcome(self.keys, id="welcome")
                yield StreamPane(id="pane")
                yield PromptBox(id="prompt", placeholder="Ask something   Enter sends · ^J new line")
            with Vertical(id="side"):
                yield MetricsPanel(id="metrics")
                yield Scoreboard(id="scores")
        yield HintBar(id="hints")

    def on_mount(self) -> None:
        """Begin: draft back in the box, figures at rest, the gateway asked what there is."""
        prompt = self.prompt_box
        prompt.prompts = self.history.load()
        draft = self.history.draft()
        if draft:
            prompt.set_prompt(draft)
        rate = REDUCED_HZ if self.session.settings.reduced_motion else PANEL_HZ
        self._meter = self.set_interval(1 / rate, self.refresh_figures, pause=True)
        self.set_interval(SAVING_S, self.watch_saving)
        if self.session.settings.reasoning:
            self.pane.toggle_reasoning()
        self.show_conversation()
        self.call_after_refresh(self.load_starters)
        self.look_around()
        first, self.session.first_prompt = self.session.first_prompt, ""
        if first:
            self.ask(first)

    def load_starters(self) -> None:
        """Read the suggestions, and import what the first prompt needs: after the first paint, for it takes 30 ms."""
        import chatapp.client.exchange  # noqa: F401

        if not self.starters:
            self.starters = load_starters()
            self.query_one(Welcome).offer(self.starters)

    @property
    def pane(self) -> StreamPane:
        """Where the conversation is shown."""
        return self.query_one(StreamPane)

    @property
    def streaming(self) -> bool:
        """Whether an answer is coming."""
        return self._worker is not None and not self._worker.is_finished

    # What is shown.

    def show_conversation(self) -> None:
        """Show the session's conversation from the start: after opening one, walking branches, or beginning anew."""
        pane = self.pane
        pane.clear()
        conversation = self.session.conversation
        for turn in conversation.path:
            self._show_turn(turn)
        pane.flush()
        self.exchange = None
        self._starters_offered = False
        self.refresh_state()
        self.refresh_figures()

    def _show_turn(self, turn: Turn) -> None:
        pane = self.pane
        pane.add_prompt(turn.prompt)
        self._show_branches(turn)
        if turn.text or turn.reasoning:
            label = turn.label or turn.backend
            pane.begin_answer(label, simulated=turn.kind == "simulated")
            if turn.reasoning:
                pane.write(turn.reasoning, "reasoning")
            pane.write(turn.text)
            mark = f"{turn.outcome}: partial answer" if turn.partial else ""
            state = turn.outcome if turn.outcome in ("cancelled", "failed", "truncated") else "done"
            pane.end_answer(" · ".join(filter(None, (mark, turn.footer))), state=state)
        if turn.failure:
            pane.add_notice(turn.failure, kind="error")

    def _show_branches(self, turn: Turn) -> None:
        siblings = self.session.conversation.siblings(turn)
        if len(siblings) > 1:
            place = siblings.index(turn) + 1
            before, after = self.keys.label("branch-previous"), self.keys.label("branch-next")
            self.pane.add_notice(f"branch {place} of {len(siblings)}", hint=f"{before} and {after} walk through them")

    def refresh_state(self) -> None:
        """Bring everything that depends on the state up to date, except the figures."""
        session = self.session
        empty = not session.conversation.path
        if empty != self.has_class("-empty"):
            self.set_class(empty, "-empty")
            self.refresh()  # welcome and pane change places: Textual may miss what only the one that went had covered
        self.set_class(self.streaming, "-streaming")
        self.prompt_box.offers_starters = (empty or self._starters_offered) and not self.streaming
        self.query_one("#top", Static).update(self._top_line())
        self.refresh_hints()
        if empty:
            self.query_one(Welcome).show(self._behind())

    def _top_line(self) -> Content:
        session = self.session
        title = sanitize_line(session.conversation.title, limit=60) or "new conversation"
        line = Content.assemble(("▌", "$speed"), ("chatapp", "$foreground bold"), ("   " + title, "$quiet"))
        if self.has_class("-narrow") or self.has_class("-folded"):
            line += Content.styled(f"   {sanitize_line(session.info().label)}", "$foreground")
        if session.recorder is not None:
            line += Content.styled(f"   ● recording {session.recording_to.name}", "$error")
        if session.saver.problem:
            line += Content.styled("   not saved", "$warning")
        return line

    def _behind(self) -> Behind:
        info = self.session.info()
        notes = {
            "simulated": f"simulated: {sanitize_line(info.note) or 'timing from a hardware model'}",
            "local": "a real model, on this machine",
            "recorded": "a recorded run, with its timing",
            "live": f"a live service: {info.provider}" if info.provider else "a live service",
        }
        ready = [x for x in self.session.listings.values() if x.kind == "live" and x.ready]
        tip = f"{ready[0].provider} is ready too: {self.keys.label('backend')}" if ready else ""
        return Behind(info.label, info.kind, notes[info.kind], tip)

    def hints(self) -> list[Hint]:
        """Return the keys that make sense now."""
        names = ["backend", "compare", "sessions", "palette", "help"]
        if self.streaming:
            names = ["cancel", "panel", "help"]
        elif self.session.conversation.path:
            names = ["backend", "retell", "retry", "compare", "detail", "why", "new", "palette", "help"]
        return [self.command_hint(name) for name in names]

    def refresh_figures(self) -> None:
        """Repaint the panel from one snapshot."""
        exchange = self.exchange
        if exchange is None:
            info = self.session.info()
            note = {"simulated": "simulated", "local": "on this machine"}.get(info.kind, info.provider)
            view = PanelView(label=info.label, kind=info.kind, note=note)
        else:
            view = panel_view(exchange)
        self.query_one(MetricsPanel).show(view)

    def watch_saving(self) -> None:
        """Say what keeps the conversation from being saved, and when that is over; not in the middle of an answer."""
        saver = self.session.saver
        unsaved = bool(saver.problem)
        if unsaved != self._unsaved:
            self._unsaved = unsaved
            self.query_one("#top", Static).update(self._top_line())
        if self.streaming:
            return
        for problem in filter(None, (saver.problem, saver.notice, self.session.recording_problem)):
            if problem not in self._said:
                self._said.add(problem)
                self.say(problem, kind="warning")
                self.query_one("#top", Static).update(self._top_line())
        if self._told_unsaved and not unsaved:
            self.say("saved again: nothing is missing")
            self._said &= {saver.notice, self.session.recording_problem}  # a problem that comes back is said again
        self._told_unsaved = unsaved

    # The prompt.

    @on(TextArea.Changed, "#prompt")
    def _typed(self) -> None:
        if self._draft_timer is not None:
            self._draft_timer.stop()
        self._draft_timer = self.set_timer(DRAFT_S, self._keep_draft)

    def _keep_draft(self) -> None:
        self.history.keep_draft(self.prompt_box.prompt)

    @on(PromptBox.StarterChosen)
    @on(Welcome.StarterClicked)
    def _starter(self, event: PromptBox.StarterChosen | Welcome.StarterClicked) -> None:
        self.begin_starter(event.number)

    # Asking.

    def ask(self, prompt: str, *, backend: str = "", retell: Retell | None = None) -> None:
        """Send a prompt to a backend, the session's by default, and show its answer."""
        if self.streaming:
            return
        self._starters_offered = False
        session = self.session
        name = backend or session.backend
        conversation = session.conversation
        retell = retell or conversation.retell(prompt, name)
        turn = conversation.add(prompt, name, told=retell.source if retell else "")
        if not backend:
            self.history.add(prompt)
            self.prompt_box.remember(prompt)
        session.saver.begin(conversation, turn)
        self.pane.add_prompt(prompt)
        self._show_branches(turn)
        from chatapp.client.exchange import Exchange

        self.exchange = Exchange(session, turn, self.pane, retell=retell)
        self._worker = self._run(self.exchange)
        self.refresh_state()
        self.refresh_figures()
        if self._meter is not None:
            self._meter.resume()

    @work(exclusive=True, group="answer", exit_on_error=False)
    async def _run(self, exchange: Exchange) -> None:
        try:
            await exchange.run()
        finally:
            self.call_later(self._ended, exchange)

    def _ended(self, exchange: Exchange) -> None:
        if self._meter is not None:
            self._meter.pause()
        info, turn = exchange.answer.info, exchange.turn
        if exchange.figures is not None and exchange.complete:
            self.query_one(Scoreboard).add(exchange.answered_by, info.label, info.kind, exchange.figures)
        if exchange.no_match:
            self._offer_starters()
        if not turn.text and not self.prompt_box.text and exchange.answer.failure is not None:
            self.prompt_box.set_prompt(turn.prompt)
        self.refresh_figures()
        self.refresh_state()
        self.watch_saving()

    def _offer_starters(self) -> None:
        """Say that no bundled answer fits, and let the digits choose a starter, as on the first screen."""
        titles = "   ".join(f"{starter.number} {starter.title}" for starter in self.starters)
        self.pane.add_notice("No bundled answer fits this prompt.", hint=f"Press 1 to 4:   {titles}")
        self._starters_offered = True

    async def cancel_answer(self) -> None:
        """Cancel the answer that is coming and wait until it has ended."""
        worker = self._worker
        if worker is not None and not worker.is_finished:
            worker.cancel()
            try:
                await worker.wait()
            except Exception:
                return

    @work(exclusive=True, group="listing", exit_on_error=False)
    async def look_around(self) -> None:
        """Connect and ask what can be chosen, so that the first answer finds a warm connection."""
        try:
            await self.session.refresh_listings()
        except GatewayError as exc:
            self.say(exc.message, kind="error", hint=exc.hint)
        self.complete_backend()
        self.refresh_state()
        if self.exchange is None:
            self.refresh_figures()

    def complete_backend(self) -> None:
        """Complete a server's bare name to its one model; offer them where it has several."""
        session = self.session
        models = [name for name in session.listings if name.startswith(f"{session.backend}/")]
        if session.backend in session.listings or not models:
            return
        if len(models) == 1:
            session.backend = models[0]
        else:
            self.run_command("backend", session.backend)

    def begin_starter(self, number: int) -> None:
        """Ask one of the four suggestions."""
        raise NotImplementedError

    def say(self, text: str, *, kind: NoticeKind = "info", hint: str = "") -> None:
        """Say something in the conversation; on an empty one, over it."""
        if self.session.conversation.path:
            self.pane.add_notice(sanitize_line(text), kind=kind, hint=sanitize_line(hint))
        else:
            super().say(text, kind=kind, hint=hint)

    def settings_changed(self) -> None:
        """Show the figures or fold them, as the settings say now."""
        self.set_class(not self.session.settings.panel, "-folded")
        self.refresh_state()
