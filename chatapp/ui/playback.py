"""What a player hands out, on its way to the screen: the same panes and figures that a live answer uses."""

from __future__ import annotations

from typing import Literal, Protocol

from chatapp.client import wording
from chatapp.recording.answers import UNKNOWN, Entry, described_backend
from chatapp.recording.reader import Recording
from chatapp.stream.answer import Answer
from chatapp.stream.events import BackendInfo, Delta, Failed, Notice, Request
from chatapp.ui.figures import panel_details
from chatapp.ui.widgets.metrics_panel import PanelView
from chatapp.ui.widgets.stream_pane import StreamPane

REPLAY = "replay"

_STATES: dict[str, Literal["done", "cancelled", "failed", "truncated"]] = {
    "done": "done",
    "length": "done",
    "cancelled": "cancelled",
    "failed": "failed",
    "truncated": "truncated",
}


class Ended(Protocol):
    """Is told when an answer is complete."""

    def __call__(self, info: BackendInfo, answer: Answer) -> None:
        """Take note of a whole answer."""


class Playback:
    """One stream of a recording in one pane."""

    def __init__(self, recording: Recording, stream: str, pane: StreamPane, *, on_end: Ended | None = None) -> None:
        self.stream = stream
        self.pane = pane
        self.info = described_backend(recording, stream)
        self.answer: Answer | None = None
        self._on_end = on_end
        self._begun = False

    def reset(self) -> None:
        """Forget everything: the player jumped back."""
        self.pane.clear()
        self.answer = None
        self._begun = False

    def take(self, entry: Entry) -> None:
        """Show what an entry says."""
        item = entry.item
        if isinstance(item, Request):
            self.answer = Answer(self.info, item)
            self._begun = False
            if item.prompt:
                self.pane.add_prompt(item.prompt)
            return
        if isinstance(item, BackendInfo):
            self.info = item
            if self.answer is not None:
                self.answer.info = item
            return
        if self.answer is None:
            self.answer = Answer(self.info)
        answer = self.answer
        if answer.outcome is not None:
            return
        answer.feed(item)
        if isinstance(item, Delta):
            self._begin()
            self.pane.write(item.text, item.channel)
        elif isinstance(item, Notice):
            if item.kind != "progress":
                kind: Literal["info", "warning"] = "info" if item.kind in ("text_source", "no_match") else "warning"
                self.pane.add_notice(item.message, kind=kind)
        elif answer.outcome is not None:
            self._end(answer)

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            self.pane.begin_answer(self.info.label, simulated=self.info.simulated)

    def _end(self, answer: Answer) -> None:
        outcome = answer.outcome or "truncated"
        if self._begun:
            partial = "" if outcome in ("done", "length") else f"{outcome}: partial answer · "
            self.pane.end_answer(
                partial + wording.footer(answer.final(), simulated_note=self.note), state=_STATES[outcome]
            )
        if isinstance(answer.failure, Failed):
            self.pane.add_notice(answer.failure.message, kind="error", hint=answer.failure.hint)
        if self._on_end is not None and outcome in ("done", "length"):
            self._on_end(self.info, answer)

    @property
    def note(self) -> str:
        """What belongs beside every figure of this stream."""
        return f"simulated, {REPLAY}" if self.info.simulated else REPLAY

    def view(self, now_ns: int) -> PanelView:
        """Return what the figures' panel shows at a time of the recording."""
        snapshot = self.answer.snapshot(now_ns) if self.answer is not None else None
        waiting = snapshot is not None and snapshot.phase in ("waiting", "sent")
        known = self.info is not UNKNOWN
        return PanelView(
            label=self.info.label,
            kind=self.info.kind if known else "recorded",
            note=self.note,
            snapshot=snapshot,
            stopwatch_ms=snapshot.elapsed_ms if waiting and snapshot is not None else None,
            extra=panel_details(self.info.detail),
        )
