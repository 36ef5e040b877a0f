import json

import pytest

from chatapp.client.conversation import Conversation
from chatapp.client.transfer import from_json, to_json, to_markdown, write_export
from chatapp.errors import ChatappError, FileFormatError


@pytest.fixture
def conversation():
    conversation = Conversation("c", instructions="Be brief.\nBe kind.")
    first = conversation.add("What is light?\nIn one line.", "local")
    first.text, first.outcome, first.kind, first.label = "A wave.\n", "done", "local", "Gemma"
    first.footer = "55 tok/s"
    second = conversation.add("Really?", "sim:cs3/kimi-k2.6", told="Gemma")
    second.text, second.outcome, second.kind = "And a par", "cancelled", "simulated"
    conversation.step_back(second)
    third = conversation.add("Sure?", "local")
    third.outcome, third.failure = "failed", "refused"
    conversation.walk(third, -1)
    return conversation


def test_markdown_shows_the_path_and_marks_what_is_partial_or_simulated(conversation):
    assert to_markdown(conversation) == (
        "# What is light?\n\n> Be brief.\n> Be kind.\n\n## What is light?\n\nIn one line.\n\nA wave.\n\n"
        "*Gemma · 55 tok/s*\n\n## Really?\n\nAnd a par\n\n"
        "*sim:cs3/kimi-k2.6 · simulated · text: Gemma · partial: cancelled*\n"
    )


def test_json_holds_every_branch_and_comes_back(conversation, tmp_path):
    path = tmp_path / "talk.json"
    write_export(conversation, path)
    read = from_json(path)
    assert read.identity != conversation.identity
    assert read.turns == conversation.turns
    assert [turn.prompt for turn in read.path] == [turn.prompt for turn in conversation.path]
    assert (read.title, read.instructions) == (conversation.title, conversation.instructions)


def test_response_ids_stay_behind(conversation):
    conversation.turns[1].response_id = "resp_1"
    assert "resp_1" not in to_json(conversation)


def test_an_unfinished_turn_comes_back_as_truncated(tmp_path):
    path = tmp_path / "talk.json"
    path.write_text('{"schema": "chatapp.conversation/1", "turns": [{"number": 1, "prompt": "x", "backend": "local"}]}')
    assert from_json(path).turns[1].outcome == "truncated"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{",
        b'{"schema": "other/1"}',
        b'{"schema": "chatapp.conversation/1", "turns": [{"number": "one"}]}',
        b'{"schema": "chatapp.conversation/1", "turns": [{"number": 1, "prompt": "x", "backend": "b", "kind": "odd"}]}',
        b'{"schema": "chatapp.conversation/1", "turns": [{"number": 1, "parent": 1, "prompt": "x", "backend": "b"}]}',
        b"[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_files_that_are_no_conversation_are_refused(tmp_path, content):
    path = tmp_path / "talk.json"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=r"talk\.json"):
        from_json(path)


def test_a_missing_file_and_an_odd_ending_are_said(conversation, tmp_path):
    with pytest.raises(FileFormatError, match="cannot be read"):
        from_json(tmp_path / "nothing.json")
    with pytest.raises(ChatappError, match="cannot export"):
        write_export(conversation, tmp_path / "talk.pdf")
    with pytest.raises(ChatappError, match="cannot be written"):
        write_export(conversation, tmp_path / "no" / "talk.md")


def test_exports_are_utf8_whatever_the_model_wrote(conversation, tmp_path):
    conversation.turns[1].text = "half \ud83d"
    write_export(conversation, tmp_path / "talk.md")
    write_export(conversation, tmp_path / "talk.json")
    assert json.loads((tmp_path / "talk.json").read_text(encoding="utf-8"))["turns"][0]["text"] == "half ?"
