import os
import sqlite3
import stat
import sys

import pytest

from chatapp.client.conversation import Conversation, Turn
from chatapp.client.store import PURGE_AFTER_S, Store, StoreError, new_identity
from chatapp.errors import UnknownNameError


@pytest.fixture
def path(tmp_path):
    return tmp_path / "data" / "conversations.db"


@pytest.fixture
def store(path):
    store = Store(path)
    yield store
    store.close()


def save(
    store: Store, identity: str, prompt: str, text: str = "an answer", outcome: str | None = "done"
) -> Conversation:
    conversation = Conversation(identity)
    turn = conversation.add(prompt, "local")
    turn.label, turn.kind, turn.text, turn.outcome = "Gemma", "local", text, outcome
    turn.figures = {"ttft_ms": 12.5}
    with store.transaction():
        store.save_conversation(conversation)
        store.save_turn(identity, turn)
    return conversation


def test_a_conversation_comes_back_whole(store):
    conversation = save(store, "a", "hello")
    turn = conversation.add("and now?", "sim:cs3/kimi-k2.6", told="Gemma")
    turn.outcome, turn.failure = "failed", "gone"
    conversation.instructions = "be brief"
    with store.transaction():
        store.save_conversation(conversation)
        store.save_turn("a", turn)
    loaded = store.load("a")
    assert loaded.turns == conversation.turns
    assert (loaded.tip, loaded.instructions, loaded.title) == (2, "be brief", "hello")


def test_branches_survive(store):
    conversation = save(store, "a", "hello")
    conversation.step_back(conversation.turns[1])
    other = conversation.add("hallo", "local")
    other.outcome = "done"
    with store.transaction():
        store.save_conversation(conversation)
        store.save_turn("a", other)
    loaded = store.load("a")
    assert loaded.last is not None
    assert len(loaded.siblings(loaded.last)) == 2


def test_streamed_pieces_are_the_text_of_a_turn_that_never_ended(store, path):
    save(store, "a", "hello", text="", outcome=None)
    store.add_piece("a", 1, "reasoning", "hm")
    store.add_piece("a", 1, "answer", "half ")
    store.add_piece("a", 1, "answer", "an answer")
    other = Store(path)
    turn = other.load("a").turns[1]
    other.close()
    assert (turn.text, turn.reasoning, turn.outcome) == ("half an answer", "hm", "truncated")


def test_pieces_are_gone_once_the_turn_is_whole(store):
    conversation = save(store, "a", "hello", text="", outcome=None)
    store.add_piece("a", 1, "answer", "half")
    turn = conversation.turns[1]
    turn.text, turn.outcome = "the whole", "done"
    store.save_turn("a", turn)
    assert store.load("a").turns[1].text == "the whole"


def test_the_list_is_newest_first_and_searched_in_titles_prompts_and_answers(store):
    save(store, "a", "about cats", "they purr")
    save(store, "b", "about dogs", "100% bark_")
    assert [entry.identity for entry in store.entries()] == ["b", "a"]
    assert [entry.identity for entry in store.entries("PURR")] == ["a"]
    assert [entry.identity for entry in store.entries("dogs")] == ["b"]
    assert [entry.identity for entry in store.entries("100%")] == ["b"]
    assert [entry.identity for entry in store.entries("k_")] == ["b"]
    assert store.entries("nothing") == []
    assert store.entries()[0].backends == ("Gemma",)
    assert store.latest() == "b"


def test_rename_delete_and_undo(store):
    save(store, "a", "hello")
    store.rename("a", "Greetings")
    assert store.entries()[0].title == "Greetings"
    store.delete("a")
    assert store.entries() == []
    assert store.latest() is None
    with pytest.raises(UnknownNameError):
        store.load("a")
    store.undelete("a")
    assert store.load("a").title == "Greetings"


def test_deleted_conversations_leave_for_good_after_a_week(store):
    save(store, "a", "hello")
    store.delete("a")
    store.purge()
    store.undelete("a")
    assert store.entries()
    store.delete("a")
    store._db.execute("UPDATE conversations SET deleted = deleted - ?", (PURGE_AFTER_S + 1,))
    store.purge()
    store.undelete("a")
    assert store.entries() == []


def test_a_beginning_of_the_name_is_enough_where_it_is_the_only_one(store):
    save(store, "2026-a", "hello")
    save(store, "2026-b", "hello")
    assert store.load("2026-a").identity == "2026-a"
    for ambiguous in ("2026", "", "x"):
        with pytest.raises(UnknownNameError):
            store.load(ambiguous)


def test_half_an_emoji_does_not_cost_the_answer(store):
    save(store, "a", "hello \ud83d", "text \udc00 more")
    assert store.load("a").turns[1].text == "text ? more"


def test_a_file_that_is_no_database_is_kept_and_replaced(path):
    path.parent.mkdir(parents=True)
    path.write_bytes(b"not a database, but perhaps precious" * 100)
    store = Store(path)
    save(store, "a", "hello")
    assert store.set_aside is not None
    assert store.set_aside.read_bytes().startswith(b"not a database")
    assert store.entries()
    store.close()


def test_a_damaged_page_is_found_on_opening(path):
    store = Store(path)
    for number in range(50):
        save(store, f"c{number}", "hello " * 200)
    store.close()
    damaged = bytearray(path.read_bytes())
    damaged[4096 * 3 : 4096 * 6] = os.urandom(4096 * 3)
    path.write_bytes(damaged)
    store = Store(path)
    assert store.set_aside is not None
    assert store.entries() == []
    store.close()


def test_a_newer_file_is_left_alone(path):
    Store(path).close()
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(StoreError, match="newer"):
        Store(path)
    assert path.exists()


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(StoreError, match="permissions"):
        Store(tmp_path / "conversations.db")


def test_a_folder_that_is_a_file_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError):
        Store(tmp_path / "file" / "conversations.db")


def test_a_busy_file_is_an_error_that_can_be_tried_again(path, store):
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    store._db.execute("PRAGMA busy_timeout = 1")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        store.transaction()
    other.execute("ROLLBACK")
    other.close()
    save(store, "a", "hello")


def test_identities_sort_by_time_and_differ():
    assert new_identity() != new_identity()


def test_what_cannot_be_written_can_still_be_read(tmp_path):
    path = tmp_path / "c.db"
    store = Store(path)
    with store.transaction():
        store.save_conversation(Conversation("c", title="hello"))
        store.save_turn("c", Turn(1, None, "hello", "sim:x", text="words", outcome="done"))
    store.close()
    (tmp_path / "c.db-shm").mkdir()  # no log can be kept: as on a read-only disk, also for root
    store = Store(path)
    assert [entry.title for entry in store.entries()] == ["hello"]
    assert store.load("c").turns[1].text == "words"
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        store.transaction()
    store.close()


def test_a_file_that_was_deleted_or_replaced_is_noticed(tmp_path):
    store = Store(tmp_path / "c.db")
    assert not store.gone
    (tmp_path / "c.db").rename(tmp_path / "elsewhere.db")
    assert store.gone
    (tmp_path / "c.db").touch()
    assert store.gone
    store.close()


@pytest.mark.parametrize("size", [100, 4096, 5000, 9000])
def test_a_truncated_file_is_set_aside_whatever_is_left_of_it(tmp_path, size):
    path = tmp_path / "c.db"
    store = Store(path)
    with store.transaction():
        store.save_conversation(Conversation("c", title="hello"))
        store.save_turn("c", Turn(1, None, "hello", "sim:x", text="words " * 5000, outcome="done"))
    store.close()
    with path.open("r+b") as file:
        file.truncate(size)
    store = Store(path)
    assert store.set_aside is not None
    assert store.set_aside.stat().st_size == size
    assert store.entries() == []
    store.close()
