import pytest

from chatapp.client.conversation import Conversation, Turn
from chatapp.stream.events import Message


def answered(conversation: Conversation, prompt: str, text: str, backend: str = "local", **values) -> Turn:
    turn = conversation.add(prompt, backend, told=values.pop("told", ""))
    turn.text = text
    turn.outcome = values.pop("outcome", "done")
    turn.kind = values.pop("kind", "local")
    turn.label = values.pop("label", backend)
    turn.response_id = values.pop("response_id", f"resp_{turn.number}")
    return turn


def test_messages_hold_the_path_and_end_in_the_prompt():
    conversation = Conversation("c")
    answered(conversation, "one", "first")
    turn = conversation.add("two", "local")
    assert conversation.messages(turn) == (
        Message("user", "one"),
        Message("assistant", "first"),
        Message("user", "two"),
    )


def test_a_failed_turn_without_text_is_no_context_and_a_partial_one_is():
    conversation = Conversation("c")
    answered(conversation, "one", "", outcome="failed")
    answered(conversation, "two", "half an ans", outcome="cancelled")
    turn = conversation.add("three", "local")
    assert [message.content for message in conversation.messages(turn)] == ["two", "half an ans", "three"]


def test_chaining_needs_a_complete_answer_that_this_connection_knows():
    conversation = Conversation("c")
    first = answered(conversation, "one", "first")
    turn = conversation.add("two", "local")
    assert conversation.previous_response(turn, {"resp_1"}) == "resp_1"
    assert conversation.previous_response(turn, set()) is None
    first.outcome = "cancelled"
    assert conversation.previous_response(turn, {"resp_1"}) is None


def test_the_first_prompt_follows_nothing():
    conversation = Conversation("c")
    turn = conversation.add("one", "local")
    assert conversation.previous_response(turn, {""}) is None


def test_editing_keeps_the_old_branch_and_both_can_be_walked():
    conversation = Conversation("c")
    answered(conversation, "one", "1")
    old = answered(conversation, "two", "2")
    answered(conversation, "three", "3")
    conversation.step_back(old)
    new = answered(conversation, "two, edited", "2b")
    assert [turn.prompt for turn in conversation.path] == ["one", "two, edited"]
    assert conversation.siblings(new) == [old, new]
    assert conversation.branch_point() is new
    assert conversation.walk(new, -1)
    assert [turn.prompt for turn in conversation.path] == ["one", "two", "three"]
    assert not conversation.walk(old, -1)
    assert conversation.walk(old, +1)
    assert conversation.last is new


def test_a_second_root_is_a_branch_too():
    conversation = Conversation("c")
    first = answered(conversation, "one", "1")
    conversation.step_back(first)
    second = answered(conversation, "uno", "1b")
    assert conversation.siblings(second) == [first, second]
    assert conversation.path == [second]


def test_a_branch_is_shown_where_it_was_left():
    conversation = Conversation("c")
    root = answered(conversation, "root", "r")
    left = answered(conversation, "left", "l")
    conversation.step_back(left)
    right = answered(conversation, "right", "r")
    conversation.walk(right, -1)
    conversation.step_back(root)
    other = answered(conversation, "other root", "o")
    conversation.walk(other, -1)
    assert conversation.last is left


class TestRetell:
    def test_a_simulated_backend_tells_the_newest_real_answer_to_the_same_prompt(self):
        conversation = Conversation("c")
        answered(conversation, "why", "old", label="Gemma")
        answered(conversation, "why", "new", label="Gemma")
        retell = conversation.retell(" why\n", "sim:cs3/kimi-k2.6")
        assert retell is not None
        assert (retell.text, retell.source) == ("new", "Gemma")

    def test_a_recorded_answer_counts_as_real(self):
        conversation = Conversation("c")
        answered(conversation, "why", "because", kind="recorded")
        assert conversation.retell("why", "sim:cs3/kimi-k2.6") is not None

    @pytest.mark.parametrize(
        ("prompt", "backend", "values"),
        [
            ("why", "local", {}),
            ("another prompt", "sim:cs3/kimi-k2.6", {}),
            ("why", "sim:cs3/kimi-k2.6", {"kind": "simulated"}),
            ("why", "sim:cs3/kimi-k2.6", {"outcome": "cancelled"}),
            ("why", "sim:cs3/kimi-k2.6", {"told": "Gemma"}),
        ],
    )
    def test_nothing_is_told(self, prompt, backend, values):
        conversation = Conversation("c")
        answered(conversation, "why", "because", **values)
        assert conversation.retell(prompt, backend) is None

    def test_a_told_answer_is_no_context(self):
        conversation = Conversation("c")
        answered(conversation, "why", "because")
        answered(conversation, "why", "because", backend="sim:cs3/kimi-k2.6", kind="simulated", told="local")
        turn = conversation.add("go on", "local")
        assert [message.content for message in conversation.messages(turn)] == ["why", "because", "go on"]
        assert conversation.previous_response(turn, {"resp_1", "resp_2"}) == "resp_1"

    def test_the_last_real_answer_is_found_behind_simulated_ones(self):
        conversation = Conversation("c")
        real = answered(conversation, "why", "because")
        answered(conversation, "how", "so", backend="sim:cs3/kimi-k2.6", kind="simulated")
        assert conversation.last_real() is real
        assert Conversation("d").last_real() is None


def test_the_title_is_the_first_line_until_one_is_given():
    conversation = Conversation("c")
    assert conversation.title == ""
    conversation.add("  How are you?\nReally?", "local")
    assert conversation.title == "How are you?"
    conversation.title = " Greetings "
    assert conversation.title == "Greetings"
    long = Conversation("d")
    long.add("word " * 40, "local")
    assert len(long.title) <= 60
    assert long.title.endswith("…")


def test_a_turn_whose_parent_is_missing_becomes_a_root():
    conversation = Conversation("c")
    conversation.restore(Turn(5, 3, "orphan", "local"))
    assert conversation.turns[5].parent is None
