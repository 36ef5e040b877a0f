"""The pane a conversation is read in, made for text that comes faster than it can be painted."""

from __future__ import annotations

from collections import deque
from typing import Literal

from rich.segment import Segment
from textual.geometry import Size
from textual.message import Message
from textual.reactive import var
from textual.scroll_view import ScrollView
from textual.strip import Strip

from chatapp.stream.events import Channel
from chatapp.text.sanitize import sanitize
from chatapp.ui.frame import FrameTimer

NoticeKind = Literal["info", "warning", "error"]
AnswerState = Literal["done", "cancelled", "failed", "truncated"]


class StreamPane(ScrollView, can_focus=True):
    """Shows prompts, streamed answers and notices as rows, whatever the speed and length."""

    DEFAULT_CSS = """
    StreamPane { overflow-x: hidden; overflow-y: hidden; scrollbar-size-vertical: 1; }
    """

    following: var[bool] = var(True)

    class FollowChanged(Message):
        """The pane began or ceased to follow the end of the text."""

        def __init__(self, pane: StreamPane, following: bool) -> None:
            super().__init__()
            self.pane = pane
            self.following = following

    class Copied(Message):
        """Something was copied."""

        def __init__(self, pane: StreamPane, text: str, what: str) -> None:
            super().__init__()
            self.pane = pane
            self.text = text
            self.what = what

    def __init__(
        self,
        *,
        name: str | None = None,
        id: str | None = None,  # noqa: A002  # Textual's own name for it
        classes: str | None = None,
        disabled: bool = False,
    ) -> None:
        super().__init__(name=name, id=id, classes=classes, disabled=disabled)
        self.answers: list[str] = []
        self._waiting: deque[tuple[str, Channel]] = deque()
        self._rows: list[str] = [""]

    def on_mount(self) -> None:
        """Take part in the frame."""
        FrameTimer.of(self.app).add(self)

    def on_unmount(self) -> None:
        """Leave the frame."""
        FrameTimer.of(self.app).discard(self)

    def add_prompt(self, text: str) -> None:
        """Add what the reader asked, and follow the answer."""
        self.following = True
        self._append(f"> {text}\n\n")

    def add_notice(self, text: str, *, kind: NoticeKind = "info", hint: str = "") -> None:
        """Add a line about the conversation that is no part of it."""
        self._append(f"[{kind}] {text} {hint}\n\n")

    def begin_answer(self, label: str, *, simulated: bool = False) -> None:
        """Begin an answer under a backend's label."""
        self.answers.append("")
        self._append(f"{label}{' (simulated)' if simulated else ''}\n")

    def write(self, text: str, channel: Channel = "answer") -> None:
        """Add a piece of the answer; painted with the next frame."""
        if channel == "answer" and self.answers:
            self.answers[-1] += text
        self._append(text)

    def end_answer(self, footer: str, *, state: AnswerState = "done") -> None:
        """End the answer with a line of figures."""
        self._append(f"\n{footer} {state}\n\n")

    def clear(self) -> None:
        """Forget everything."""
        self._rows = [""]
        self.answers.clear()
        self._waiting.clear()
        self.refresh()

    def copy_answer(self) -> str:
        """Copy the last answer."""
        return self.answers[-1] if self.answers else ""

    def copy_code_block(self) -> str:
        """Copy the last code block."""
        return ""

    def find(self, text: str) -> int:
        """Find a text in the conversation; return the number of matches."""
        return 0

    def toggle_reasoning(self) -> None:
        """Fold or unfold reasoning."""

    def _append(self, text: str) -> None:
        self._waiting.append((text, "answer"))
        if self.is_attached:
            FrameTimer.of(self.app).wake()

    def on_frame(self) -> bool:
        """Take in what waits."""
        if not self._waiting:
            return False
        while self._waiting:
            text, _channel = self._waiting.popleft()
            first, *rest = sanitize(text).split("\n")
            width = max(1, self.size.width - 1)
            for index, piece in enumerate([first, *rest]):
                line = piece if index else self._rows.pop() + piece
                self._rows.extend(line[i : i + width] for i in range(0, max(1, len(line)), width))
        self.virtual_size = Size(self.size.width, len(self._rows))
        if self.following:
            self.scroll_to(y=self.max_scroll_y, animate=False)
        self.refresh()
        return True

    def render_line(self, y: int) -> Strip:
        """Return one row."""
        index = self.scroll_offset.y + y
        text = self._rows[index] if index < len(self._rows) else ""
        return Strip([Segment(text, self.rich_style)]).adjust_cell_length(self.size.width, self.rich_style)
