import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time

import pytest

from chatapp.client.conversation import Conversation
from chatapp.client.saver import Saver
from chatapp.client.store import Store, StoreError


@pytest.fixture
def path(tmp_path):
    return tmp_path / "conversations.db"


@pytest.fixture
def saver(path):
    saver = Saver(path)
    yield saver
    saver.close()


def wait_until(condition, seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.01)


def begun(saver: Saver, prompt: str = "hello"):
    conversation = Conversation("c")
    turn = conversation.add(prompt, "local")
    saver.begin(conversation, turn)
    return conversation, turn


def test_a_turn_and_its_text_are_on_disk_before_it_ends(saver, path):
    conversation, turn = begun(saver)
    for piece in ("some ", "text"):
        saver.append(conversation, turn, "answer", piece)
    saver.append(conversation, turn, "reasoning", "hm")

    def saved() -> str:
        store = Store(path)
        try:
            return store.load("c").turns[1].text if store.entries() else ""
        finally:
            store.close()

    wait_until(lambda: saved() == "some text")


def test_the_end_of_a_turn_replaces_its_pieces(saver):
    conversation, turn = begun(saver)
    saver.append(conversation, turn, "answer", "some text")
    turn.text, turn.outcome = "some text", "done"
    saver.finish(conversation, turn)
    loaded = saver.load("c")
    assert loaded is not None
    assert (loaded.turns[1].text, loaded.turns[1].outcome) == ("some text", "done")


def test_a_conversation_that_was_deleted_and_goes_on_is_listed_again(saver):
    conversation, turn = begun(saver)
    saver.change(lambda store: store.delete("c"))
    saver.finish(conversation, turn)  # its answer was still coming: that is no going on
    assert saver.entries() == []
    saver.begin(conversation, conversation.add("and then?", "local"))
    assert [entry.turns for entry in saver.entries()] == [2]


def test_what_is_saved_is_the_turn_as_it_was_then(saver):
    conversation, turn = begun(saver)
    turn.text, turn.outcome = "finished", "done"
    saver.finish(conversation, turn)
    turn.text = "changed later"
    assert saver.load("c").turns[1].text == "finished"


def test_reading_waits_for_what_is_queued(saver):
    begun(saver)
    assert [entry.title for entry in saver.entries()] == ["hello"]
    saver.change(lambda store: store.rename("c", "Greetings"))
    assert [entry.title for entry in saver.entries("Greet")] == ["Greetings"]
    assert saver.load().identity == "c"


def test_disabled_saves_nothing(path):
    saver = Saver(path, enabled=False)
    begun(saver)
    assert saver.entries() == []
    assert saver.close()
    assert not path.exists()


def test_no_conversation_yet(saver):
    assert saver.load() is None


def test_a_locked_file_is_said_and_written_later(saver, path, monkeypatch):
    monkeypatch.setattr("chatapp.client.saver.RETRY_S", 0.05)
    monkeypatch.setattr("chatapp.client.store.BUSY_MS", 10)
    begun(saver)
    saver.entries()
    lock = sqlite3.connect(path, isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    saver.change(lambda store: store.rename("c", "renamed"))
    wait_until(lambda: "locked" in saver.problem)
    lock.execute("ROLLBACK")
    lock.close()
    wait_until(lambda: not saver.problem)
    assert saver.entries()[0].title == "renamed"


def test_a_file_damaged_in_use_is_set_aside_and_the_conversation_saved_whole(saver, path, monkeypatch):
    monkeypatch.setattr("chatapp.client.saver.RETRY_S", 0.05)
    conversation, turn = begun(saver)
    saver.append(conversation, turn, "answer", "words")
    saver.entries()
    turn.text, turn.outcome = "words", "done"

    def broken(store: Store) -> None:
        raise sqlite3.DatabaseError("database disk image is malformed")

    other = sqlite3.connect(path)
    other.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # or closing would repair the file from its log
    other.close()
    path.write_bytes(b"garbage" * 2000)
    saver.change(broken)
    wait_until(lambda: bool(saver.notice) and not saver.problem)
    assert "damaged" in saver.notice
    assert saver.load("c").turns[1].text == "words"
    assert list(path.parent.glob("*.broken-*"))


def test_a_full_disk_is_said_and_all_is_written_when_there_is_room(saver, path, monkeypatch):
    class SmallDisk(Store):
        """A limit on the file's pages gives the same error as a disk without room."""

        pages = 20

        def transaction(self):
            db = super().transaction()
            db.execute(f"PRAGMA max_page_count = {self.pages}")
            return db

    monkeypatch.setattr("chatapp.client.saver.RETRY_S", 0.05)
    monkeypatch.setattr("chatapp.client.saver.Store", SmallDisk)
    conversation, turn = begun(saver)
    saver.append(conversation, turn, "answer", "words " * 50_000)
    wait_until(lambda: "full" in saver.problem)
    assert "not saved until there is room" in saver.problem
    turn.text, turn.outcome = "words " * 50_000, "done"
    saver.finish(conversation, turn)
    SmallDisk.pages = 10_000
    wait_until(lambda: not saver.problem)
    assert saver.load("c").turns[1].text == "words " * 50_000


def test_a_file_that_can_only_be_read_is_tried_again_until_it_can_be_written(saver, path, monkeypatch):
    monkeypatch.setattr("chatapp.client.saver.RETRY_S", 0.05)
    Store(path).close()
    shared = path.with_name(path.name + "-shm")
    shared.mkdir()  # no log can be kept: as on a read-only disk, also for root
    begun(saver)
    wait_until(lambda: "readonly" in saver.problem)
    assert "CHATAPP_DATA_DIR" in saver.problem
    shared.rmdir()
    wait_until(lambda: not saver.problem)
    assert [entry.title for entry in saver.entries()] == ["hello"]


def test_a_file_deleted_in_use_is_made_anew_with_the_whole_conversation(saver, path):
    conversation, turn = begun(saver)
    turn.text, turn.outcome = "words", "done"
    saver.finish(conversation, turn)
    saver.entries()
    for file in path.parent.iterdir():
        file.unlink()
    second = conversation.add("more", "local")
    saver.begin(conversation, second)
    wait_until(lambda: "removed" in saver.notice and not saver.problem)
    assert [t.prompt for t in saver.load("c").turns.values()] == ["hello", "more"]
    assert saver.load("c").turns[1].text == "words"


def test_a_list_that_cannot_be_read_is_said_and_not_empty(saver, path):
    begun(saver)
    wait_until(saver.entries)
    with sqlite3.connect(path) as db:
        db.execute("DROP TABLE turns")
    db.close()
    with pytest.raises(StoreError, match="no such table"):
        saver.entries()


def test_a_folder_that_cannot_be_made_is_a_problem_and_no_crash(tmp_path):
    (tmp_path / "file").write_text("")
    saver = Saver(tmp_path / "file" / "conversations.db")
    begun(saver)
    wait_until(lambda: bool(saver.problem))
    assert not saver.close()


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_killed_process_loses_at_most_the_last_quarter_of_a_second(path):
    script = textwrap.dedent(
        f"""
        import time, sys
        from pathlib import Path
        from chatapp.client.conversation import Conversation
        from chatapp.client.saver import Saver
        saver = Saver(Path({str(path)!r}))
        conversation = Conversation("c")
        turn = conversation.add("count", "local")
        saver.begin(conversation, turn)
        number = 0
        while True:
            saver.append(conversation, turn, "answer", f"{{number}} ")
            print(number, time.monotonic_ns(), flush=True)
            number += 1
            time.sleep(0.005)
        """
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(200)]
    os.kill(process.pid, signal.SIGKILL)
    lines += process.stdout.read().splitlines()
    process.wait()
    process.stdout.close()
    times = {int(n): int(t) for n, t in (line.split() for line in lines if line.count(" ") == 1)}
    store = Store(path)
    saved = store.load("c").turns[1].text.split()
    store.close()
    lost_ns = max(times.values()) - times[int(saved[-1])]
    assert saved == [str(number) for number in range(len(saved))]
    assert lost_ns < 250e6, f"lost {lost_ns / 1e6:.0f} ms of text"
