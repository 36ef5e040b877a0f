"""Conversations as files: Markdown to read, JSON to keep and to take in again."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import msgspec

from chatapp.client.conversation import Conversation, Turn
from chatapp.client.store import new_identity
from chatapp.errors import ChatappError, FileFormatError

SCHEMA = "chatapp.conversation/1"
LIMIT_BYTES = 64 << 20
"""The largest file taken in; larger than any conversation a person has had."""


class _TurnFile(msgspec.Struct, forbid_unknown_fields=False):
    number: int
    prompt: str
    backend: str
    parent: int | None = None
    label: str = ""
    kind: str | None = None
    text: str = ""
    reasoning: str = ""
    outcome: str | None = None
    failure: str = ""
    told: str = ""
    footer: str = ""
    figures: dict[str, Any] = {}
    created: float = 0.0


class _ConversationFile(msgspec.Struct):
    schema: str
    title: str = ""
    instructions: str = ""
    tip: int | None = None
    turns: list[_TurnFile] = []


def to_markdown(conversation: Conversation) -> str:
    """Return the path shown as Markdown: prompts as headings, answers as they were written, figures under each."""
    parts = [f"# {conversation.title or 'Conversation'}\n"]
    if conversation.instructions:
        parts.append("> " + conversation.instructions.replace("\n", "\n> ") + "\n")
    for turn in conversation.path:
        first, _, rest = turn.prompt.strip().partition("\n")
        parts.append(f"## {first}\n" + (f"\n{rest}\n" if rest else ""))
        if turn.text:
            parts.append(turn.text.rstrip() + "\n")
        marks = [turn.label or turn.backend]
        if turn.kind == "simulated":
            marks.append("simulated")
        if turn.told:
            marks.append(f"text: {turn.told}")
        if turn.partial:
            marks.append(f"partial: {turn.outcome}")
        marks += [turn.footer] if turn.footer else []
        parts.append(f"*{' · '.join(marks)}*\n")
    return "\n".join(parts)


def to_json(conversation: Conversation) -> str:
    """Return the whole conversation, every branch of it, as JSON."""
    turns = [dataclasses.asdict(turn) for turn in conversation.turns.values()]
    for turn in turns:
        del turn["response_id"]  # means something to one server on one connection only
    document = {
        "schema": SCHEMA,
        "title": conversation.title,
        "instructions": conversation.instructions,
        "tip": conversation.tip,
        "turns": turns,
    }
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


def from_json(path: Path) -> Conversation:
    """Read a conversation from a JSON file, as a new one.

    Raises:
        FileFormatError: the file cannot be read or is not such a conversation.
    """
    try:
        if path.stat().st_size > LIMIT_BYTES:
            raise FileFormatError(path, f"larger than {LIMIT_BYTES >> 20} MiB")
        document = msgspec.json.decode(path.read_bytes(), type=_ConversationFile)
    except OSError as exc:
        raise FileFormatError(path, f"cannot be read: {exc.strerror or exc}") from None
    except (msgspec.DecodeError, RecursionError) as exc:
        raise FileFormatError(path, f"not a saved conversation: {exc}") from None
    if document.schema != SCHEMA:
        raise FileFormatError(path, f"schema is {document.schema!r}, not {SCHEMA!r}")
    conversation = Conversation(new_identity(), title=document.title, instructions=document.instructions)
    for saved in sorted(document.turns, key=lambda turn: turn.number):
        conversation.restore(_turn(path, saved))
    conversation.tip = document.tip if document.tip in conversation.turns else max(conversation.turns, default=None)
    return conversation


def _turn(path: Path, saved: _TurnFile) -> Turn:
    values = msgspec.structs.asdict(saved)
    try:
        turn = msgspec.convert(values, Turn)
    except msgspec.ValidationError as exc:
        raise FileFormatError(path, f"turn {saved.number}: {exc}") from None
    if turn.parent is not None and turn.parent >= turn.number:
        raise FileFormatError(path, f"turn {saved.number}: its parent {saved.parent} does not come before it")
    turn.outcome = turn.outcome or "truncated"
    return turn


def write_export(conversation: Conversation, path: Path) -> None:
    """Write a conversation to a file: Markdown for `.md`, JSON for `.json`.

    Raises:
        ChatappError: another ending, or the file cannot be written.
    """
    writers = {".md": to_markdown, ".markdown": to_markdown, ".json": to_json}
    writer = writers.get(path.suffix.lower())
    if writer is None:
        raise ChatappError(f"cannot export to {path.name!r}", hint="the name must end in .md or .json")
    try:
        path.expanduser().write_text(writer(conversation), encoding="utf-8", errors="replace")
    except OSError as exc:
        raise ChatappError(f"{path}: cannot be written: {exc.strerror or exc}") from None
