"""The parts of a conversation as blocks: prompts, headings, reasoning, answers, footers, notices."""

from __future__ import annotations

from typing import Literal

from chatapp.stream.events import Channel
from chatapp.text.blocks import CodeBlock, TextBlock
from chatapp.text.rows import Mark, Span
from chatapp.text.sanitize import sanitize, sanitize_line
from chatapp.ui.widgets.transcript import Section, Transcript

NoticeKind = Literal["info", "warning", "error"]
AnswerState = Literal["done", "cancelled", "failed", "truncated"]

_NOTICE_SIGNS = {"info": "·", "warning": "▲", "error": "✕"}
_STATE_WORDS = {"done": "", "cancelled": "cancelled", "failed": "failed", "truncated": "broke off"}
_CHARACTERS_PER_TOKEN = 4
"""For the count in the line of folded reasoning, which is marked as an estimate."""


class Reasoning:
    """One stretch of reasoning: a line that says how long it is, and the text itself, folded away."""

    def __init__(self, transcript: Transcript, *, folded: bool) -> None:
        self.folded = folded
        self.section = Section("reasoning", hidden=folded)
        self.characters = 0
        self.done = False
        self._transcript = transcript
        self._line = transcript.add(self._block())

    def _block(self) -> TextBlock:
        tokens = max(1, self.characters // _CHARACTERS_PER_TOKEN)
        word = "thought" if self.done else "thinking…"
        sign = "▸" if self.folded else "▾"
        action = "opens" if self.folded else "folds"
        text = f"{sign} {word} ~{tokens:,} tokens"
        block = TextBlock.of(f"{text}  r {action}", "fold", [Mark(len(text), len(text) + 4 + len(action), "hint")])
        block.gap = ()
        return block

    def feed(self, text: str) -> None:
        """Take in more of it."""
        self.characters += len(text)
        self.section.stream.feed(text)
        self._transcript.replace(self._line, self._block())
        self._transcript.sync(self.section)

    def finish(self) -> None:
        """End it."""
        self.done = True
        self.section.stream.finish()
        self._transcript.sync(self.section)
        self._transcript.replace(self._line, self._block())

    def fold(self, *, folded: bool) -> None:
        """Fold it away, or open it."""
        if folded == self.folded:
            return
        self.folded = self.section.hidden = folded
        self._transcript.replace(self._line, self._block())
        if self.section.first >= 0:
            self._transcript.hide(self.section.first, self.section.synced, hidden=folded)


class Turns:
    """Puts the parts of a conversation on a transcript, in order.

    Args:
        transcript: where to.
    """

    def __init__(self, transcript: Transcript) -> None:
        self.transcript = transcript
        self.reasoning_folded = True
        self._reasonings: list[Reasoning] = []
        self._answers: list[Section] = []
        self._open: Reasoning | Section | None = None

    def prompt(self, text: str) -> None:
        """Add what the reader asked."""
        self._close()
        block = TextBlock.of(sanitize(text).strip("\n") or " ", "prompt")
        block.first = block.rest = (Span("▌ ", "prompt-bar"),)
        self._add(block)

    def label(self, text: str, *, simulated: bool) -> None:
        """Begin an answer under its backend's name."""
        self._close()
        name = sanitize_line(text, limit=200)
        badge = "  simulated " if simulated else ""
        marks = [Mark(len(name) + 1, len(name) + len(badge), "badge")] if simulated else []
        self._add(TextBlock.of(name + badge, "label", marks))

    def write(self, text: str, channel: Channel) -> None:
        """Go on with the answer or the reasoning; text is sanitized already."""
        if channel == "reasoning":
            if not isinstance(self._open, Reasoning):
                self._close()
                self._open = Reasoning(self.transcript, folded=self.reasoning_folded)
                self._reasonings.append(self._open)
            self._open.feed(text)
            return
        if not isinstance(self._open, Section):
            self._close()
            self._open = Section()
            self._answers.append(self._open)
            self.transcript.add(TextBlock.of("", ""))  # the empty row under the label
        self._open.stream.feed(text)
        self.transcript.sync(self._open)

    def footer(self, text: str, state: AnswerState) -> None:
        """End the answer with its figures."""
        self._close()
        word = _STATE_WORDS[state]
        figures = sanitize_line(text)
        line = f"{word} · {figures}" if word and figures else word or figures
        if line:
            self._add(TextBlock.of(line, "footer", [Mark(0, len(word), "footer-state")] if word else []))

    def notice(self, text: str, kind: NoticeKind, hint: str) -> None:
        """Add a line that is no part of the conversation, with what to do about it."""
        self._close()
        line = sanitize(text).strip()
        sign = _NOTICE_SIGNS[kind]
        more = sanitize(hint).strip()
        marks = [Mark(len(line) + 1, len(line) + 1 + len(more), "hint")] if more else []
        block = TextBlock.of(f"{line}\n{more}" if more else line, f"notice-{kind}", marks)
        block.first, block.rest = (Span(f"{sign} ", f"notice-{kind}"),), (Span("  "),)
        self._add(block)

    def toggle_reasoning(self) -> None:
        """Fold all reasoning away, or open it."""
        self.reasoning_folded = not self.reasoning_folded
        for reasoning in self._reasonings:
            reasoning.fold(folded=self.reasoning_folded)

    def code_blocks(self) -> list[tuple[int, CodeBlock]]:
        """Return the code blocks of all answers, with the index of their entries."""
        found: list[tuple[int, CodeBlock]] = []
        for section in self._answers:
            for place, block in enumerate(section.stream.blocks[: section.synced]):
                if isinstance(block, CodeBlock) and block.kind == "code":
                    found.append((section.first + place, block))
        return found

    def _add(self, block: TextBlock) -> None:
        block.gap = () if self.transcript.entries else None
        self.transcript.add(block)

    def _close(self) -> None:
        if isinstance(self._open, Reasoning):
            self._open.finish()
        elif self._open is not None:
            self._open.stream.finish()
            self.transcript.sync(self._open)
        self._open = None
