import pytest

from chatapp.errors import ConfigError
from chatapp.ui.commands import COMMANDS
from chatapp.ui.keymap import key_label, resolve_keys, split_keys


def test_by_default_every_key_runs_one_command_and_nothing_is_wrong():
    table = resolve_keys({})
    assert not table.problems
    assert {name: list(keys) for name, keys in table.by_command.items()} == {
        command.name: split_keys(command.keys) for command in COMMANDS
    }


@pytest.mark.parametrize("name", [command.name for command in COMMANDS])
def test_every_command_can_be_rebound(name):
    table = resolve_keys({name: "shift+f11"})
    assert table.of(name) == ("shift+f11",)
    assert table.label(name) == "Shift+F11"
    assert not table.problems


def test_a_key_of_two_commands_belongs_to_the_rebound_one_and_the_other_shows_what_it_has_left():
    table = resolve_keys({"retry": "f2"})
    assert table.of("retry") == ("f2",)
    assert table.of("backend") == ("ctrl+t",)
    assert table.problems == ("key f2 is bound to retry and backend; the first one gets it",)


def test_a_command_that_loses_its_only_key_is_said_and_shown_as_a_slash_command():
    table = resolve_keys({"detail": "f7"})
    assert table.label("detail") == "F7"
    assert table.of("why") == ()
    assert table.label("why") == "/why"
    assert table.problems == ("key f7 is bound to detail and why; the first one gets it; /why can still be typed",)


def test_of_two_rebound_commands_the_first_of_the_table_gets_the_key():
    table = resolve_keys({"why": "f12", "detail": "f12"})
    assert table.of("detail") == ("f12",)
    assert table.of("why") == ()


def test_two_commands_can_change_places():
    table = resolve_keys({"why": "f6", "detail": "f7"})
    assert (table.of("why"), table.of("detail"), table.problems) == (("f6",), ("f7",), ())


def test_an_empty_text_takes_the_keys_away():
    assert resolve_keys({"retry": ""}).of("retry") == ()


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("x", "writes the prompt"),
        ("X", "writes the prompt"),
        ("shift+a", "writes the prompt"),
        ("full_stop", "writes the prompt"),
        ("enter", "writes the prompt"),
        ("ctrl+j", "writes the prompt"),
        ("ctlr+x", "no such key: ctlr+x"),
        ("f99", "no such key: f99"),
        ("ctrl-x", "no such key: ctrl-x"),
        ("+", "writes the prompt"),
    ],
)
def test_a_key_that_cannot_be_used_is_named_and_the_default_stays(key, why):
    table = resolve_keys({"retry": key})
    assert table.of("retry") == ("f5",)
    assert len(table.problems) == 1
    assert table.problems[0].startswith("keymap.retry: ")
    assert why in table.problems[0]


@pytest.mark.parametrize("key", ["ctrl+alt+x", "ctrl+full_stop", "alt+enter", "f24", "pageup", "alt+5"])
def test_keys_beyond_the_usual(key):
    table = resolve_keys({"record": key})
    assert table.of("record") == (key,)
    assert not table.problems


def test_a_name_that_is_no_command_names_the_nearest():
    with pytest.raises(ConfigError, match=r"keymap\.retri.*retry"):
        resolve_keys({"retri": "f5"})


def test_a_screens_own_keys_are_taken_out():
    table = resolve_keys({}).without({"f6"})
    assert table.of("detail") == ()
    assert table.of("why") == ("f7",)


@pytest.mark.parametrize(
    ("key", "label"),
    [
        ("f2", "F2"),
        ("ctrl+t", "^T"),
        ("escape", "Esc"),
        ("ctrl+up", "Ctrl+Up"),
        ("ctrl+alt+x", "Ctrl+Alt+X"),
        ("alt+c", "Alt+C"),
        ("", ""),
    ],
)
def test_key_labels(key, label):
    assert key_label(key) == label


def test_keys_may_be_written_as_they_are_shown():
    assert split_keys(" f2 , ctrl+t,") == ["f2", "ctrl+t"]
    assert split_keys("F2, ^T, Esc, Alt+Left, PgUp, F2") == ["f2", "ctrl+t", "escape", "alt+left", "pageup"]
