"""The pane a conversation is read in, made for text that comes faster than it can be painted.

Pieces of text wait in a queue that one timer drains for all panes; see `row_view` for how they get on the screen.
"""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.selection import Selection

from chatapp.stream.events import Channel
from chatapp.text.sanitize import sanitize
from chatapp.ui.widgets import pane_select
from chatapp.ui.widgets.pane_find import Search
from chatapp.ui.widgets.pane_inbox import Inbox
from chatapp.ui.widgets.pane_paint import Range
from chatapp.ui.widgets.pane_turns import AnswerState, NoticeKind, Turns
from chatapp.ui.widgets.row_view import RowView
from chatapp.ui.widgets.transcript import Transcript

__all__ = ["AnswerState", "NoticeKind", "StreamPane"]


class StreamPane(RowView):
    """Shows prompts, streamed answers and notices as rows, whatever the speed and length."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "copy_answer", "Copy answer", id="pane.copy_answer"),
        Binding("c", "copy_code_block", "Copy code", id="pane.copy_code"),
        Binding("r", "toggle_reasoning", "Reasoning", id="pane.reasoning", show=False),
        Binding("n", "find_next", "Next match", id="pane.find_next", show=False),
        Binding("N", "find_previous", "Previous match", id="pane.find_previous", show=False),
        Binding("escape", "unmark", "Clear marks", id="pane.unmark", show=False),
    ]

    class Copied(Message):
        """Something was handed to the terminal's clipboard (OSC 52); the app may offer more ways."""

        def __init__(self, pane: StreamPane, text: str, what: str) -> None:
            super().__init__()
            self.pane = pane
            self.text = text
            self.what = what

        @property
        def control(self) -> StreamPane:
            """The pane."""
            return self.pane

    def __init__(
        self,
        *,
        name: str | None = None,
        id: str | None = None,  # noqa: A002  # Textual's own name for it
        classes: str | None = None,
        disabled: bool = False,
    ) -> None:
        super().__init__(name=name, id=id, classes=classes, disabled=disabled)
        self._turns = Turns(self.transcript)
        self._inbox = Inbox(self._write_clean)
        self._answers: list[list[str]] = []
        self._search: Search | None = None
        self._chosen_code: int | None = None
        """The entry of the code block that was copied last."""
        self._pressed = (0, 0)
        self._clicks = 0

    # The conversation.

    @property
    def answers(self) -> list[str]:
        """The raw text of each answer, as it came: not for a screen without `sanitize`."""
        return ["".join(parts) for parts in self._answers]

    def add_prompt(self, text: str) -> None:
        """Add what the reader asked, and follow the answer."""
        self.following = True
        self._add(partial(self._turns.prompt, text))

    def add_notice(self, text: str, *, kind: NoticeKind = "info", hint: str = "") -> None:
        """Add a line about the conversation that is no part of it.

        Args:
            text: what happened.
            kind: how bad it is.
            hint: what to do about it.
        """
        self._add(partial(self._turns.notice, text, kind, hint))

    def begin_answer(self, label: str, *, simulated: bool = False) -> None:
        """Begin an answer under a backend's label, with a badge where its timing is a model's."""
        self._answers.append([])
        self._add(partial(self._turns.label, label, simulated=simulated))

    def write(self, text: str, channel: Channel = "answer") -> None:
        """Add a piece of the answer as it came; painted with the next frame. O(1)."""
        if not text:
            return
        if channel == "answer":
            if not self._answers:
                self._answers.append([])
            self._answers[-1].append(text)
        self._inbox.put(text, channel)
        self.wake()

    def end_answer(self, footer: str, *, state: AnswerState = "done") -> None:
        """End the answer with a line of figures."""
        self._add(partial(self._turns.footer, footer, state))

    def clear(self) -> None:
        """Forget everything."""
        folded = self._turns.reasoning_folded
        self._inbox.clear()
        self._answers.clear()
        self.transcript = Transcript(self.transcript.width, self.colours)
        self._turns = Turns(self.transcript)
        self._turns.reasoning_folded = folded
        self._search = None
        self._chosen_code = None
        self.following = True
        self.show_change()
        self.repaint()

    def flush(self) -> None:
        """Take in all that waits at once instead of frame by frame: for a conversation that is loaded, and tests."""
        while self.take_in():
            pass
        self.show_change()

    @property
    def busy(self) -> bool:
        """Whether something waits to be taken in, or rows above wait to be counted."""
        return bool(self._inbox) or not self.transcript.settled or self.colours.waiting

    def take_in(self) -> bool:
        """Put a portion of what waits on the transcript; return whether anything waited."""
        if not self._inbox:
            return False
        self._inbox.drain()
        return True

    def _add(self, action: partial[None]) -> None:
        self._inbox.call(action)
        self.wake()

    def _write_clean(self, text: str, channel: Channel) -> None:
        self._turns.write(text, channel)

    # Reasoning, search, marks.

    def toggle_reasoning(self) -> None:
        """Fold all reasoning away, or open it."""
        with self.keeping_place():
            self._turns.toggle_reasoning()
            self.laid_out_anew()
        self.show_change()

    def find(self, text: str) -> int:
        """Mark a text wherever it stands and go to the first place from the top of the screen on.

        Args:
            text: what to find, letters of either case; empty ends the search.

        Returns:
            The number of matches.
        """
        with self.keeping_place():
            self._search = Search(self.transcript, text) if text else None
        if self._search is not None and self._search.matches:
            self._search.go_to_row(self.top)
            self._show_match()
        self.repaint()
        return len(self._search.matches) if self._search is not None else 0

    @property
    def find_position(self) -> tuple[int, int]:
        """The match the reader is at, from 1, and the number of matches; zeros without a search."""
        search = self._search
        return (search.current + 1, len(search.matches)) if search is not None else (0, 0)

    def find_next(self, by: int = 1) -> None:
        """Go to the next match, round the end; to the previous with -1."""
        if self._search is not None:
            with self.keeping_place():
                self._search.refresh()
            self._search.step(by)
            self._show_match()
            self.repaint()

    def _show_match(self) -> None:
        if self._search is not None and self._search.current >= 0:
            self.show_row(self._search.row_of(self._search.current))

    @property
    def marked(self) -> bool:
        """Whether some rows are shown otherwise than they are."""
        return self._search is not None or self._chosen_code is not None or super().marked

    def marks(self, index: int, offset: int) -> list[Range]:
        """Return what to mark in a row: found text, the chosen code block."""
        found = self._search.ranges(index, offset) if self._search is not None else []
        return [(0, 1 << 30, "chosen"), *found] if self._chosen_code == index else found

    def laid_out_anew(self) -> None:
        """Find again what was found: rows have changed."""
        if self._search is not None:
            self._search.refresh()
            self.repaint()

    # Copying.

    def copy_answer(self) -> str:
        """Copy the last answer's text, made safe to paste into a terminal; return it."""
        text = sanitize(self.answers[-1]) if self._answers else ""
        self._copy(text, "answer")
        return text

    def copy_code_block(self) -> str:
        """Copy the last code block; each further call the one before it, round the beginning. Return it."""
        blocks = self._turns.code_blocks()
        if not blocks:
            return ""
        places = [index for index, _block in blocks]
        number = places.index(self._chosen_code) - 1 if self._chosen_code in places else len(blocks) - 1
        index, block = blocks[number]
        self._chosen_code = index
        self.show_row(self.transcript.heights.start(index))
        self.repaint()
        self._copy(block.source, f"code block {number % len(blocks) + 1} of {len(blocks)}")
        return block.source

    def copy_selection(self) -> str:
        """Copy the text selected in this pane; return it."""
        selection = self.text_selection
        text = pane_select.text_of(self.transcript, selection, self.margin) if selection is not None else ""
        self._copy(text, "selection")
        return text

    def _copy(self, text: str, what: str) -> None:
        if text:
            self.app.copy_to_clipboard(text)
            self.post_message(self.Copied(self, text, what))

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """Return the selected text as it was written: without bullets and bars, wrapped rows joined."""
        return pane_select.text_of(self.transcript, selection, self.margin), "\n"

    def selection_updated(self, selection: Selection | None) -> None:
        """Paint the selection."""
        self.refresh()

    def text_select_all(self) -> None:
        """Select the word, on the third click the row; Textual would select the whole conversation."""
        x, y = self._pressed
        found = pane_select.around(self.transcript, x - self.margin, y, whole_row=self._clicks > 2)
        if found is not None:
            self.screen.selections = {self: pane_select.selection(found, y, self.margin)}

    @property
    def select_container(self) -> StreamPane:
        """What a third click selects in: this pane, not its neighbours."""
        return self

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Remember where, for the clicks that follow."""
        self._pressed = (event.x, self.top + event.y)

    def on_click(self, event: events.Click) -> None:
        """Open a link; count clicks for the selection of words and rows."""
        self._clicks = event.chain
        href = pane_select.link_at(self.transcript, event.x - self.margin, self.top + event.y)
        if href and event.chain == 1 and self.text_selection is None:
            self.app.open_url(href)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Show where a link leads."""
        href = pane_select.link_at(self.transcript, event.x - self.margin, self.top + event.y)
        if self.tooltip != (href or None):
            self.tooltip = href or None

    def action_copy_answer(self) -> None:
        """Copy the last answer."""
        self.copy_answer()

    def action_copy_code_block(self) -> None:
        """Copy a code block, the next one with each call."""
        self.copy_code_block()

    def action_toggle_reasoning(self) -> None:
        """Fold or open reasoning."""
        self.toggle_reasoning()

    def action_find_next(self) -> None:
        """Go to the next match."""
        self.find_next()

    def action_find_previous(self) -> None:
        """Go to the previous match."""
        self.find_next(-1)

    def action_unmark(self) -> None:
        """End search and choice."""
        self._search = None
        self._chosen_code = None
        self.screen.clear_selection()
        self.repaint()
