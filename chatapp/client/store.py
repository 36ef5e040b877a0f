"""Saved conversations: one SQLite file in the data folder.

Write-ahead logging lets several chatapps read and write the same file, and a killed one leaves it whole. Text arrives
in pieces while an answer streams; they are folded into the turn when it ends, and by whoever opens the conversation
after a crash.
"""

from __future__ import annotations

import json
import sqlite3
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chatapp.client.conversation import Conversation, Turn
from chatapp.errors import ChatappError, UnknownNameError

SCHEMA_VERSION = 1
BUSY_MS = 500
"""How long another process's write is waited for; the writer tries again later anyway."""

PURGE_AFTER_S = 7 * 24 * 3600
"""How long a deleted conversation can be brought back."""

_SCHEMA = """
CREATE TABLE conversations (
    id TEXT PRIMARY KEY, title TEXT NOT NULL, instructions TEXT NOT NULL, tip INTEGER,
    created REAL NOT NULL, updated REAL NOT NULL, deleted REAL
);
CREATE TABLE turns (
    conversation TEXT NOT NULL REFERENCES conversations(id) ON DELETE CASCADE, number INTEGER NOT NULL,
    parent INTEGER, prompt TEXT NOT NULL, backend TEXT NOT NULL, label TEXT NOT NULL, kind TEXT, text TEXT NOT NULL,
    reasoning TEXT NOT NULL, outcome TEXT, failure TEXT NOT NULL, told TEXT NOT NULL, response_id TEXT NOT NULL,
    footer TEXT NOT NULL, figures TEXT NOT NULL, created REAL NOT NULL, PRIMARY KEY (conversation, number)
) WITHOUT ROWID;
CREATE TABLE pieces (
    id INTEGER PRIMARY KEY, conversation TEXT NOT NULL REFERENCES conversations(id) ON DELETE CASCADE,
    turn INTEGER NOT NULL, channel TEXT NOT NULL, text TEXT NOT NULL
);
CREATE INDEX pieces_of ON pieces (conversation, turn);
CREATE INDEX by_time ON conversations (updated);
"""
_TURN_COLUMNS = (
    "number, parent, prompt, backend, label, kind, text, reasoning, outcome, failure, told, response_id, footer, "
    "figures, created"
)


class StoreError(ChatappError):
    """The file of saved conversations cannot be used at the moment."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the list of conversations."""

    identity: str
    title: str
    updated: float
    """Seconds since the epoch."""
    turns: int
    backends: tuple[str, ...]


class Store:
    """The file of saved conversations. Blocking: use it from a thread of its own (`chatapp.client.saver`).

    Args:
        path: the file; made, with its folder, where missing.

    Raises:
        StoreError: it can be neither opened nor made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._inode: int | None = None
        self.set_aside: Path | None = None
        """Where the broken file was moved, if it was broken."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._db = self._open()
            except sqlite3.DatabaseError as exc:
                if not is_broken(exc):
                    raise
                self.set_aside = _set_aside(path)
                self._db = self._open()
        except (sqlite3.Error, OSError) as exc:
            raise StoreError(f"saved conversations: {path}: {exc}", hint=hint_for(exc)) from None

    def _open(self) -> sqlite3.Connection:
        try:
            return self._open_for_writing()
        except sqlite3.OperationalError as exc:
            # A log needs a second file beside it. Where none can be made, what is there can still be read.
            if "unable to open" not in str(exc) or not self.path.exists():
                raise
            return self._checked(f"{self.path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)

    def _checked(self, address: str | Path, *, uri: bool = False) -> sqlite3.Connection:
        """Connect, and check that the file is ours and whole."""
        db = sqlite3.connect(address, timeout=BUSY_MS / 1000, isolation_level=None, check_same_thread=False, uri=uri)
        try:
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version > SCHEMA_VERSION:
                raise StoreError(
                    f"{self.path}: written by a newer chatapp (version {version} of the file)", hint="update chatapp"
                )
            if version and db.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
                raise sqlite3.DatabaseError("database disk image is malformed")
        except BaseException:
            db.close()
            raise
        return db

    def _open_for_writing(self) -> sqlite3.Connection:
        db = self._checked(self.path)
        try:
            with suppress(sqlite3.OperationalError):  # read-only: reading still works without
                db.execute("PRAGMA journal_mode = WAL")
                # NORMAL syncs at checkpoints: a power cut may cost seconds, a killed process costs nothing.
                db.execute("PRAGMA synchronous = NORMAL")
            db.execute("PRAGMA foreign_keys = ON")
            if db.execute("PRAGMA user_version").fetchone()[0] == 0:
                _make_tables(db)
            self._inode = self.path.stat().st_ino
        except BaseException:
            db.close()
            raise
        return db

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._db.close()

    @property
    def gone(self) -> bool:
        """Whether the file was deleted or replaced since it was opened: what is written now, nobody will find."""
        try:
            return self._inode is not None and self.path.stat().st_ino != self._inode
        except FileNotFoundError:
            return True
        except OSError:
            return False

    # Writing. Each method is one transaction, or part of the caller's (`transaction`).

    def transaction(self) -> sqlite3.Connection:
        """Return a context manager: what is written inside is written whole or not at all."""
        self._db.execute("BEGIN IMMEDIATE")
        return self._db

    def save_conversation(self, conversation: Conversation) -> None:
        """Write the conversation's own line (not its turns)."""
        now = time.time()
        self._db.execute(
            "INSERT INTO conversations VALUES (?, ?, ?, ?, ?, ?, NULL) ON CONFLICT (id) DO UPDATE SET "
            "title = excluded.title, instructions = excluded.instructions, tip = excluded.tip, "
            "updated = excluded.updated",
            (
                conversation.identity,
                _storable(conversation.title),
                _storable(conversation.instructions),
                conversation.tip,
                now,
                now,
            ),
        )

    def save_turn(self, identity: str, turn: Turn) -> None:
        """Write a turn whole; the pieces of its text that came before are dropped."""
        values: dict[str, Any] = {name: getattr(turn, name) for name in _TURN_COLUMNS.split(", ")}
        values["figures"] = json.dumps(turn.figures)
        marks = ", ".join("?" * (len(values) + 1))
        self._db.execute(
            f"INSERT OR REPLACE INTO turns (conversation, {_TURN_COLUMNS}) VALUES ({marks})",
            (identity, *map(_storable, values.values())),
        )
        self._db.execute("DELETE FROM pieces WHERE conversation = ? AND turn = ?", (identity, turn.number))

    def add_piece(self, identity: str, number: int, channel: str, text: str) -> None:
        """Append streamed text to a turn that is still coming."""
        self._db.execute(
            "INSERT INTO pieces (conversation, turn, channel, text) VALUES (?, ?, ?, ?)",
            (identity, number, channel, _storable(text)),
        )

    def rename(self, identity: str, title: str) -> None:
        """Give a conversation a title."""
        self._db.execute("UPDATE conversations SET title = ? WHERE id = ?", (_storable(title), identity))

    def delete(self, identity: str) -> None:
        """Take a conversation off the list; `undelete` brings it back for a week."""
        self._db.execute("UPDATE conversations SET deleted = ? WHERE id = ?", (time.time(), identity))

    def undelete(self, identity: str) -> None:
        """Bring a deleted conversation back."""
        self._db.execute("UPDATE conversations SET deleted = NULL WHERE id = ?", (identity,))

    def purge(self) -> None:
        """Remove for good what was deleted more than a week ago."""
        self._db.execute("DELETE FROM conversations WHERE deleted < ?", (time.time() - PURGE_AFTER_S,))

    # Reading.

    def entries(self, search: str = "", *, limit: int = 200) -> list[Entry]:
        """Return conversations, the newest first; with `search`, those whose title, prompts or answers hold it."""
        pattern = "%" + search.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_") + "%"
        rows = self._db.execute(
            "SELECT c.id, c.title, c.updated, COUNT(t.number), GROUP_CONCAT(DISTINCT t.label) FROM conversations c "
            "JOIN turns t ON t.conversation = c.id WHERE c.deleted IS NULL AND (c.title LIKE ?1 ESCAPE '\\' OR EXISTS "
            "(SELECT 1 FROM turns x WHERE x.conversation = c.id AND (x.prompt LIKE ?1 ESCAPE '\\' "
            "OR x.text LIKE ?1 ESCAPE '\\'))) GROUP BY c.id ORDER BY c.updated DESC LIMIT ?2",
            (pattern, limit),
        )
        return [
            Entry(identity, title, updated, turns, tuple(sorted(filter(None, (labels or "").split(",")))))
            for identity, title, updated, turns, labels in rows
        ]

    def latest(self) -> str | None:
        """Return the conversation that was used last."""
        found = self.entries(limit=1)
        return found[0].identity if found else None

    def load(self, identity: str) -> Conversation:
        """Read a conversation whole, by its id or an unambiguous beginning of it.

        Raises:
            UnknownNameError: there is none, or several begin so.
        """
        rows = self._db.execute(
            "SELECT id, title, instructions, tip FROM conversations WHERE deleted IS NULL AND substr(id, 1, ?) = ?",
            (len(identity), identity),
        ).fetchall()
        if len(rows) != 1 or not identity:
            known = [entry.identity for entry in self.entries()]
            raise UnknownNameError("conversation", identity, known, hint="chatapp --resume opens the latest one")
        full, title, instructions, tip = rows[0]
        conversation = Conversation(full, title=title, instructions=instructions)
        columns = _TURN_COLUMNS.split(", ")
        for row in self._db.execute(
            f"SELECT {_TURN_COLUMNS} FROM turns WHERE conversation = ? ORDER BY number", (full,)
        ):
            values = dict(zip(columns, row, strict=True))
            values["figures"] = json.loads(values["figures"])
            conversation.restore(Turn(**values))
        for number, channel, text in self._db.execute(
            "SELECT turn, channel, text FROM pieces WHERE conversation = ? ORDER BY id", (full,)
        ):
            turn = conversation.turns.get(number)
            if turn is not None and turn.outcome is None:
                if channel == "reasoning":
                    turn.reasoning += text
                else:
                    turn.text += text
        for turn in conversation.turns.values():
            if turn.outcome is None:  # chatapp ended before the answer did
                turn.outcome, turn.failure = "truncated", "chatapp ended before the answer did"
        conversation.tip = tip if tip in conversation.turns else max(conversation.turns, default=None)
        return conversation


def _make_tables(db: sqlite3.Connection) -> None:
    db.execute("BEGIN IMMEDIATE")
    with db:
        if db.execute("PRAGMA user_version").fetchone()[0] == 0:  # another process may have been first
            for statement in _SCHEMA.split(";\n"):
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def new_identity() -> str:
    """Return a name for a new conversation; sorts by time."""
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:6]}"


def is_broken(error: sqlite3.Error) -> bool:
    """Whether the file itself is damaged, not merely busy, read-only or on a full disk."""
    return not isinstance(error, sqlite3.OperationalError) or "malformed" in str(error)


def _storable(value: Any) -> Any:
    # SQLite takes UTF-8 only; a lone surrogate in model text must not cost the answer.
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) and not value.isascii() else value


def _set_aside(path: Path) -> Path:
    """Rename a broken file, with its log, so that nothing of it is lost, and return its new name."""
    target = path.with_name(f"{path.stem}.broken-{time.strftime('%Y%m%d-%H%M%S')}{path.suffix}")
    path.rename(target)
    for suffix in ("-wal", "-shm"):
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(target.with_name(target.name + suffix))
    return target


def is_read_only(error: sqlite3.Error) -> bool:
    """Whether the file may not be written: opened again later, it may be."""
    return "readonly" in str(error)


def hint_for(error: Exception) -> str:
    """Return what can be done about an error of the file, in a sentence."""
    text = str(error).lower()
    if "readonly" in text or "permission" in text or "read-only" in text or "unable to open" in text:
        return "check the folder's permissions, or set CHATAPP_DATA_DIR; this chat is not saved"
    if "full" in text or "no space" in text:
        return "the disk is full; this chat is not saved until there is room"
    return "another program may hold the file; this chat is kept in memory and saving is tried again"
