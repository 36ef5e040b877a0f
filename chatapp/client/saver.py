"""Saving as it happens, on a thread of its own: the screen never waits for a disk.

Nothing is lost while the file cannot be written: work stays queued in memory and is tried again, and `problem` says
what is wrong. A file that breaks while in use is set aside and the conversation is written whole into a new one.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

from chatapp.client.conversation import Conversation, Turn
from chatapp.client.store import Entry, Store, StoreError, hint_for, is_broken, is_read_only
from chatapp.stream.events import Channel

INTERVAL_S = 0.1
"""Text is written this often while it streams; a killed process loses at most this plus one write (goal: 0.25 s)."""

RETRY_S = 2.0
CLOSE_S = 3.0
"""How long closing waits for a file that cannot be written."""

_LOG = logging.getLogger(__name__)
_Work = Callable[[Store], object]


class Saver:
    """Writes one conversation at a time into the store.

    All methods return at once except `close` and the readers, which must be called from a thread that may block.

    Args:
        path: the store's file.
        enabled: False saves nothing and reads an empty list: the setting `save = false`, and booths.
    """

    def __init__(self, path: Path, *, enabled: bool = True) -> None:
        self.path = path
        self.enabled = enabled
        self.problem = ""
        """Why nothing is being saved at the moment, and what to do, in one line; empty while all is well."""
        self.notice = ""
        """Something that happened to the file and that the reader should know once."""
        self._store: Store | None = None
        self._conversation: Conversation | None = None
        self._work: deque[_Work] = deque()
        self._pieces: deque[tuple[str, int, Channel, str]] = deque()
        self._wake = threading.Event()
        self._idle = threading.Event()
        self._idle.set()
        self._closing = False
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    # Called by the screen.

    def begin(self, conversation: Conversation, turn: Turn) -> None:
        """Save a new turn, and that the conversation now ends in it. One that was deleted is in use again."""
        self._save(conversation, turn, lambda store: store.undelete(conversation.identity))

    def _save(
        self, conversation: Conversation, turn: Turn, first: Callable[[Store], object] = lambda _store: None
    ) -> None:
        self._conversation = conversation
        head, now = _head(conversation), copy.copy(turn)

        def work(store: Store) -> None:
            first(store)
            store.save_conversation(head)
            store.save_turn(head.identity, now)

        self._add(work)

    def append(self, conversation: Conversation, turn: Turn, channel: Channel, text: str) -> None:
        """Save a piece of streamed text, within a quarter of a second."""
        if self.enabled:
            first = not self._pieces
            self._pieces.append((conversation.identity, turn.number, channel, text))
            self._start()
            if first:
                self._wake.set()

    def finish(self, conversation: Conversation, turn: Turn) -> None:
        """Save an ended turn whole."""
        self._save(conversation, turn)

    def touch(self, conversation: Conversation) -> None:
        """Save the conversation's title and tip."""
        head = _head(conversation)
        self._add(lambda store: store.save_conversation(head))

    def change(self, work: Callable[[Store], object]) -> None:
        """Do any other writing: rename, delete, undelete."""
        self._add(work)

    # Readers: blocking.

    def entries(self, search: str = "") -> list[Entry]:
        """Return the saved conversations, after everything queued so far is written.

        Raises:
            StoreError: the file cannot be read.
        """
        if not self.enabled:
            return []
        self._idle.wait(1.0)
        with self._lock:
            store = self._reached()
            try:
                return store.entries(search)
            except sqlite3.Error as exc:
                raise StoreError(f"saved conversations: {self.path}: {exc}") from None

    def load(self, identity: str = "") -> Conversation | None:
        """Read a conversation, the latest one by default; None where there is none.

        Raises:
            UnknownNameError: no such conversation.
            StoreError: the file cannot be read.
        """
        self._idle.wait(1.0)
        with self._lock:
            store = self._reached()
            try:
                found = identity or store.latest()
                return store.load(found) if found else None
            except sqlite3.Error as exc:
                raise StoreError(f"saved conversations: {self.path}: {exc}") from None

    def close(self) -> bool:
        """Write what is left and stop; False where something could not be written."""
        self._closing = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(CLOSE_S)
        if self._store is not None:
            self._store.close()
        return not (self._work or self._pieces)

    # The thread.

    def _add(self, work: _Work) -> None:
        if self.enabled:
            # Pieces that came before belong before: the deques are drained in this order under one transaction.
            self._work.append(self._pieces_work())
            self._work.append(work)
            self._start()
            self._wake.set()

    def _pieces_work(self) -> _Work:
        pieces: list[tuple[str, int, Channel, str]] = []
        while self._pieces:
            pieces.append(self._pieces.popleft())
        joined = _join(pieces)

        def work(store: Store) -> None:
            for piece in joined:
                store.add_piece(*piece)

        return work

    def _start(self) -> None:
        self._idle.clear()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="saver", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while not (self._closing and not self._work and not self._pieces):
            self._wake.wait(RETRY_S if self.problem else None)
            self._wake.clear()
            if self._pieces and not self._work and not self._closing:
                self._wake.wait(INTERVAL_S)  # gather what follows; a new turn or an end cuts it short
            if self._pieces:
                self._work.append(self._pieces_work())
            if self._work:
                self._write()
            if self.problem and self._closing:
                return
            if not self._work and not self._pieces:
                self._idle.set()

    def _write(self) -> None:
        if self._store is not None and self._store.gone:
            self.notice = f"the file of saved conversations was removed: this conversation is saved anew in {self.path}"
            self._replace_file()
        batch = list(self._work)
        try:
            with self._lock:
                store = self._reached()
                with store.transaction():
                    for work in batch:
                        work(store)
        except StoreError as exc:
            self.problem = f"{exc.message} ({exc.hint})" if exc.hint else exc.message
        except sqlite3.Error as exc:
            _LOG.warning("saving failed: %s", exc)
            self.problem = f"not saved: {exc} ({hint_for(exc)})"
            if is_broken(exc):
                self._replace_file()
            elif is_read_only(exc):
                self._close_file()  # it was opened for reading only; the next try may do better
        except Exception as exc:  # a bug: this thread must live on, and the same work would fail again
            _LOG.exception("saving failed")
            self.problem = f"not saved: {type(exc).__name__}: {exc}"
            self._forget(batch)
        else:
            self.problem = ""
            self._forget(batch)

    def _forget(self, batch: list[_Work]) -> None:
        for _ in batch:
            self._work.popleft()

    def _reached(self) -> Store:
        if self._store is None:
            self._store = Store(self.path)
            if self._store.set_aside is not None:
                self.notice = f"the file of saved conversations was damaged; it is kept as {self._store.set_aside}"
            with contextlib.suppress(sqlite3.Error):
                self._store.purge()
        return self._store

    def _replace_file(self) -> None:
        """Close the file, so that the next write finds it damaged or missing, and queue the conversation whole."""
        self._close_file()
        conversation = self._conversation
        if conversation is None:
            return
        head, turns = _head(conversation), [copy.copy(turn) for turn in conversation.turns.values()]

        def work(store: Store) -> None:
            store.save_conversation(head)
            for turn in turns:
                store.save_turn(head.identity, turn)

        self._work.clear()
        self._work.append(work)
        self._wake.set()

    def _close_file(self) -> None:
        with self._lock:
            if self._store is not None:
                with contextlib.suppress(sqlite3.Error):
                    self._store.close()
                self._store = None


def _head(conversation: Conversation) -> Conversation:
    """Copy what the conversation's own line holds, as it is now."""
    head = Conversation(conversation.identity, title=conversation.title, instructions=conversation.instructions)
    head.tip = conversation.tip
    return head


def _join(pieces: list[tuple[str, int, Channel, str]]) -> list[tuple[str, int, Channel, str]]:
    """Join neighbouring pieces of the same turn and channel: one row per write instead of one per delta."""
    joined: list[tuple[str, int, Channel, str]] = []
    run: list[str] = []
    for index, (identity, number, channel, text) in enumerate(pieces):
        run.append(text)
        following = pieces[index + 1][:3] if index + 1 < len(pieces) else None
        if following != (identity, number, channel):
            joined.append((identity, number, channel, "".join(run)))
            run = []
    return joined
