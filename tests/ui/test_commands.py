import pytest

from chatapp.errors import ConfigError
from chatapp.ui.commands import COMMANDS, bindings, check_keymap, completions, key_label, parse_slash, split_keys
from chatapp.ui.screens.chat import ChatScreen


def test_every_command_is_done_by_the_chat_screen():
    for command in COMMANDS:
        assert callable(getattr(ChatScreen, f"command_{command.action_name}")), command.name


def test_no_two_commands_share_a_key_or_a_name():
    assert check_keymap({}) == []
    assert len({command.name for command in COMMANDS}) == len(COMMANDS)


def test_every_binding_can_be_rebound_by_its_command_name():
    assert {binding.id for binding in bindings()} == {command.name for command in COMMANDS if command.keys}


def test_a_clash_is_named_with_both_commands():
    assert check_keymap({"retry": "f2"}) == ["key f2 is bound to retry and backend; the first one gets it"]
    assert check_keymap({"why": "f6"}) == ["key f6 is bound to why and detail; the first one gets it"]
    assert check_keymap({"why": "f12", "detail": "f12"}) == [
        "key f12 is bound to detail and why; the first one gets it"
    ]


def test_a_name_that_is_no_command_names_the_nearest():
    with pytest.raises(ConfigError, match=r"keymap\.retri.*retry"):
        check_keymap({"retri": "f5"})


@pytest.mark.parametrize(
    ("keys", "label"),
    [("f2,ctrl+t", "F2"), ("ctrl+t", "^T"), ("escape", "Esc"), ("ctrl+up", "Ctrl+Up"), ("alt+c", "Alt+C"), ("", "")],
)
def test_key_labels(keys, label):
    assert key_label(keys) == label


def test_split_keys():
    assert split_keys(" f2 , ctrl+t,") == ["f2", "ctrl+t"]


@pytest.mark.parametrize(
    "text", ["hello", "/", "/etc/hosts is a file", "/Retry", "/2", "/retry\nthis", " /retry", "//", "1/2"]
)
def test_these_are_prompts(text):
    assert parse_slash(text) is None


def test_these_are_commands():
    command, name, argument = parse_slash("/backend sim:cs3/kimi-k2.6 ")
    assert (command.name, name, argument) == ("backend", "backend", "sim:cs3/kimi-k2.6")
    command, name, _argument = parse_slash("/branch-next")
    assert command.name == "branch-next"
    assert parse_slash("/nonsense")[0] is None


def test_completions():
    assert [command.name for command in completions("/re")] == ["retry", "reasoning", "retell", "record"]
    assert completions("/retry now") == []
    assert completions("re") == []
