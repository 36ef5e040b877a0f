import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatapp.errors import ConfigError, FileFormatError, SourceError
from chatapp.tomlfile import TomlFile, dotted, read_config

TEXT = '''\
top = 1
"quoted key" = 2

[table]
inner.deep = 3
text = """
[not a header]
not_a_key = 1
"""
after = 4

[[rows]]
name = "a"
[rows.child]
x = 1
[[rows]]
name = "b"
[rows.child]
x = 2
'''


def test_every_key_knows_its_line():
    toml = TomlFile("f.toml", TEXT)
    assert toml.line(("top",)) == 1
    assert toml.line(("quoted key",)) == 2
    assert toml.line(("table", "inner", "deep")) == 5
    assert toml.line(("table", "after")) == 10
    assert toml.line(("rows", 0, "name")) == 13
    assert toml.line(("rows", 0, "child", "x")) == 15
    assert toml.line(("rows", 1, "child", "x")) == 19
    assert ("table", "not_a_key") not in toml._lines


def test_an_unknown_key_is_placed_at_its_nearest_parent():
    toml = TomlFile("f.toml", TEXT)
    assert toml.line(("rows", 1, "missing")) == 16
    assert toml.line(("nowhere",)) is None
    assert toml.fail(("rows", 1, "missing"), "is required").message == "f.toml:16: rows[1].missing: is required"
    assert toml.fail((), "is empty").message == "f.toml: is empty"


def test_dotted():
    assert dotted(("a", 2, "b")) == "a[2].b"


def test_broken_toml_names_line_and_column(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text('a = 1\nb = "x\n')
    with pytest.raises(ConfigError) as caught:
        read_config(path)
    assert caught.value.line == 2
    assert caught.value.column is not None
    with pytest.raises(FileFormatError) as caught:
        TomlFile("x", "a = [1,\n")
    assert caught.value.line == 2


def test_unreadable_files_are_named(tmp_path):
    with pytest.raises(FileFormatError, match="cannot be read"):
        TomlFile.read(tmp_path / "missing.toml")
    bad = tmp_path / "bad.toml"
    bad.write_bytes(b"a = '\xff'")
    with pytest.raises(FileFormatError, match="not UTF-8"):
        TomlFile.read(bad)


@given(st.text())
def test_no_text_raises_anything_but_a_located_error(text):
    with contextlib.suppress(SourceError):
        assert isinstance(TomlFile("f", text).data, dict)
