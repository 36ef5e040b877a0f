import pytest

from chatapp.ui.commands import BY_NAME, COMMANDS, completions, nearest_commands, parse_slash
from chatapp.ui.screens.chat import ChatScreen
from chatapp.ui.screens.compare import CompareScreen


def test_every_command_is_done_by_the_chat_screen():
    for command in COMMANDS:
        assert callable(getattr(ChatScreen, command.method)), command.name


@pytest.mark.parametrize("screen", [ChatScreen, CompareScreen])
def test_no_screen_has_a_command_that_is_not_in_the_table(screen):
    known = {command.method for command in COMMANDS} | {"command_hint"}
    assert {name for name in dir(screen) if name.startswith("command_")} <= known


def test_no_two_commands_share_a_name():
    assert len(BY_NAME) == len(COMMANDS)


@pytest.mark.parametrize("text", ["hello", "/", "/etc/hosts is a file", "/2", "/retry\nthis", " /retry", "//", "1/2"])
def test_these_are_prompts(text):
    assert parse_slash(text) is None


def test_these_are_commands():
    command, name, argument = parse_slash("/backend sim:cs3/kimi-k2.6 ")
    assert (command.name, name, argument) == ("backend", "backend", "sim:cs3/kimi-k2.6")
    command, name, _argument = parse_slash("/branch-next")
    assert command.name == "branch-next"
    assert parse_slash("/nonsense")[0] is None
    assert parse_slash("/Retry")[0] is BY_NAME["retry"]


def test_completions():
    assert [command.name for command in completions("/re")] == ["retry", "reasoning", "retell", "record"]
    assert completions("/retry now") == []
    assert completions("re") == []
    assert [command.name for command in completions("/re", {"retry"})] == ["retry"]


def test_an_unknown_command_gets_its_nearest():
    assert nearest_commands("retrry", BY_NAME)[0] == "/retry"
    assert nearest_commands("exp", BY_NAME) == ["/export"]
    assert nearest_commands("retrry", {"help"}) == []
