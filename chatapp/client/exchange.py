"""One answer on its way from the connection to the reader: read, measured, shown and saved.

Runs as a task beside the screen. Nothing is posted per token: text goes into the pane's queue and the saver's, each
O(1), and the panel asks for a snapshot when it repaints.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Literal, Protocol

from chatapp.client import wording
from chatapp.client.conversation import COMPLETE, Turn
from chatapp.client.link import Identified
from chatapp.client.session import Session
from chatapp.errors import ChatappError
from chatapp.protocol.responses_client import ResponseCreate
from chatapp.stream.answer import Answer
from chatapp.stream.events import Channel, Delta, Event, Failed, Finished, Notice, Request, Retell
from chatapp.stream.figures import Figures

LOST = "gateway_lost"
"""Code of a failure that says nothing about the backend: the gateway, or the connection to it, ended."""

PARTIAL = "partial answer"

STREAM = "chat"
"""Name of the chat's one lane in a recording."""

_STATES: dict[str, Literal["done", "cancelled", "failed", "truncated"]] = {
    "done": "done",
    "length": "done",
    "cancelled": "cancelled",
    "failed": "failed",
    "truncated": "truncated",
}


class Pane(Protocol):
    """What an answer is written to; `StreamPane` is one."""

    def add_notice(self, text: str, *, kind: Literal["info", "warning", "error"] = "info", hint: str = "") -> None:
        """Add a line that is no part of the answer."""

    def begin_answer(self, label: str, *, simulated: bool = False) -> None:
        """Begin an answer."""

    def write(self, text: str, channel: Channel = "answer") -> None:
        """Add text."""

    def end_answer(self, footer: str, *, state: Literal["done", "cancelled", "failed", "truncated"] = "done") -> None:
        """End the answer."""


class Exchange:
    """One turn while its answer is coming, and its figures afterwards.

    Args:
        session: whose backend is asked.
        turn: the turn to be answered; filled in as the answer comes.
        pane: where it is shown.
        retell: the text to be told instead of an own answer.
    """

    def __init__(
        self, session: Session, turn: Turn, pane: Pane, *, retell: Retell | None = None, keys: bool = True
    ) -> None:
        self.session = session
        self.turn = turn
        self.pane = pane
        self.retell = retell
        self.entered_ns = session.clock.now_ns()
        """When Enter was pressed: where the stopwatch begins."""
        conversation = session.conversation
        request = Request(conversation.messages(turn), conversation.instructions or None)
        self.answer = Answer(session.info(turn.backend), request)
        self.progress = ""
        """What the backend is busy with before the first text: loading a model."""
        self.no_match = False
        self.fallback: Notice | None = None
        """Why another backend answers than the one that was asked."""
        self.figures: Figures | None = None
        self._begun = False
        self._recorder = session.recorder
        self._keys = keys

    async def run(self) -> None:
        """Ask and read to the end. Returns normally whatever happens; being cancelled cancels the answer."""
        stream: AsyncGenerator[tuple[Event, Identified], None] | None = None
        try:
            speaker = await self.session.speaker()
            if self._recorder is not None and self.answer.request is not None:
                self._recorder.begin(STREAM, self.answer.request, self.answer.info)
            stream = speaker.exchange(self._request())
            async for event, identified in stream:
                if identified.info is not None and identified.info != self.answer.info:
                    self.answer.info = identified.info
                    if self._recorder is not None:
                        self._recorder.record(STREAM, identified.info)
                self.turn.response_id = identified.response_id
                self._take(event)
        except ChatappError as exc:
            self._fail(exc)
        finally:
            if stream is not None:
                await stream.aclose()
            self._end()
        if self.answer.failure is not None and self.answer.failure.code == LOST:
            await self.session.drop()

    def _request(self) -> ResponseCreate:
        session, turn = self.session, self.turn
        conversation = session.conversation
        previous = conversation.previous_response(turn, session.known)
        messages = conversation.messages(turn)
        return ResponseCreate(
            model=turn.backend,
            input=messages[-1:] if previous else messages,
            instructions=conversation.instructions or None,
            previous_response_id=previous,
            retell=self.retell,
        )

    def _take(self, event: Event) -> None:
        self.answer.feed(event)
        if self._recorder is not None:
            self._recorder.record(STREAM, event)
        if isinstance(event, Delta):
            self._begin()
            self.pane.write(event.text, event.channel)
            self.session.saver.append(self.session.conversation, self.turn, event.channel, event.text)
        elif isinstance(event, Notice):
            self._notice(event)

    def _begin(self) -> None:
        if self._begun:
            return
        self._begun = True
        self.progress = ""
        info = self.answer.info
        self.pane.begin_answer(info.label, simulated=info.simulated)

    @property
    def note(self) -> str:
        """What belongs beside every figure of this answer."""
        info = self.answer.info
        simulated = "simulated"
        if info.detail.get("pace", "model") != "model":
            simulated += f", {info.detail['pace']}"
        if self.retell is not None:
            note = f"text: {self.retell.source}, timing: {simulated}"
        else:
            note = simulated if info.simulated else "replay" if info.kind == "recorded" else ""
        if self.fallback is not None:  # first: the narrow panel cuts at the end
            note = f"fallback for {self.turn.backend}" + (f", {note}" if note else "")
        return note

    @property
    def answered_by(self) -> str:
        """The name of the backend that answers, whose figures and prices these are."""
        return self.turn.backend if self.fallback is None else self.answer.info.name

    def _notice(self, notice: Notice) -> None:
        if notice.kind == "progress":
            share = f" {notice.progress:.0%}" if notice.progress is not None else ""
            self.progress = notice.message + share
        elif notice.kind == "no_match":
            self.no_match = True
        elif notice.kind == "text_source":
            self.pane.add_notice(notice.message)
        else:
            if notice.kind == "fallback":
                self.progress = ""
                self.fallback = notice
            self.pane.add_notice(notice.message, kind="warning")

    def _fail(self, error: ChatappError) -> None:
        code = getattr(error, "code", LOST)
        self._take(Failed(self.session.clock.now_ns(), code, error.message, hint=error.hint))

    def _end(self) -> None:
        answer, turn = self.answer, self.turn
        if answer.outcome is None:
            self._take(Finished(self.session.clock.now_ns(), "cancelled"))
        self.figures = answer.final()
        outcome = answer.outcome or "truncated"
        turn.text, turn.reasoning, turn.outcome = answer.text, answer.reasoning, outcome
        turn.label, turn.kind = answer.info.label, answer.info.kind
        usd = self.session.price(self.answered_by, self.figures.input_tokens, self.figures.output_tokens)
        turn.footer = wording.footer(self.figures, simulated_note=self.note, usd=usd)
        turn.figures = self.figures.to_json()
        if self.complete and turn.response_id:
            self.session.known.add(turn.response_id)
        if self._begun or outcome == "cancelled":
            self._begin()
            self.pane.end_answer(self._ending(outcome), state=_STATES[outcome])
        if answer.failure is not None:
            turn.failure = answer.failure.message
            self.pane.add_notice(answer.failure.message, kind="error", hint=self._hint(answer.failure))
        self.session.saver.finish(self.session.conversation, turn)

    def _ending(self, outcome: str) -> str:
        """Return the footer with what the pane's own word for the state does not say yet."""
        marks = {
            "length": "stopped at the length limit",
            "cancelled": PARTIAL,
            "truncated": f"ended without saying so: {PARTIAL}",
            "failed": PARTIAL,
        }
        return " · ".join(part for part in (marks.get(outcome, ""), self.turn.footer) if part)

    def _hint(self, failure: Failed) -> str:
        kept = "what came is kept; " if self.turn.text else ""
        if failure.code == LOST:
            return kept + (failure.hint or "the next prompt starts the gateway again")
        if not self._keys:
            return kept + (failure.hint or ("ask again" if failure.retryable else "chatapp backends list shows others"))
        retry = "/retry asks again" if failure.retryable else ""
        return kept + (failure.hint or retry or "/backend chooses another one, /retry asks again")

    @property
    def complete(self) -> bool:
        """Whether the whole answer came."""
        return self.answer.outcome in COMPLETE
