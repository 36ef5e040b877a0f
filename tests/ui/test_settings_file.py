import tomllib

import pytest

from chatapp.config import Settings, load_settings
from chatapp.errors import ChatappError, UsageError
from chatapp.ui.settings_file import edit, parse_value, write_settings

FIELDS = {setting.name: setting for setting in Settings.scalar_fields()}


def test_comments_order_and_tables_stay():
    text = '# mine\ntheme = "ansi" # the terminal\'s\n\nfps = 30\n[keys]\nX = "env:Y"\n'
    edited = edit(text, {"theme": "chatapp-light", "backend": 'a "b"'})
    assert edited == (
        '# mine\ntheme = "chatapp-light"  # the terminal\'s\n\nfps = 30\nbackend = "a \\"b\\""\n[keys]\nX = "env:Y"\n'
    )
    assert tomllib.loads(edited)["backend"] == 'a "b"'


def test_a_key_of_the_same_name_in_a_table_is_left_alone():
    assert edit('[backends.x]\ntheme = "y"\n', {"theme": "ansi"}) == 'theme = "ansi"\n[backends.x]\ntheme = "y"\n'


def test_every_type_is_written_and_read_back(tmp_path):
    path = tmp_path / "deep" / "config.toml"
    changed = {"mouse": False, "fps": 30, "max_cost_usd": 2.5, "backend": "local"}
    write_settings(path, changed)
    settings = load_settings(path)
    assert {name: getattr(settings, name) for name in changed} == changed


def test_a_file_that_would_break_is_left_as_it_was(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text("fps = 30\n")
    with pytest.raises(ChatappError):
        write_settings(path, {"theme": "no such theme"})
    assert path.read_text() == "fps = 30\n"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ChatappError, match="cannot be written"):
        write_settings(tmp_path / "file" / "config.toml", {"fps": 30})


@pytest.mark.parametrize(
    ("name", "text", "value"), [("fps", " 30 ", 30), ("max_cost_usd", "2.5", 2.5), ("backend", " local ", "local")]
)
def test_typed_values(name, text, value):
    assert parse_value(FIELDS[name], text) == value


@pytest.mark.parametrize(("name", "text"), [("fps", "many"), ("fps", "500"), ("max_cost_usd", "free")])
def test_values_that_are_none(name, text):
    with pytest.raises(UsageError, match=name):
        parse_value(FIELDS[name], text)
