import pytest

from chatapp.cli.output import check_output, write_output
from chatapp.errors import ChatappError, UsageError


def test_a_dash_is_standard_output(capsys):
    check_output("-")
    check_output(None)
    write_output("-", "text\n")
    assert capsys.readouterr().out == "text\n"


def test_a_file_is_written(tmp_path):
    target = tmp_path / "x"
    check_output(str(target))
    write_output(str(target), "ü")
    check_output(str(target))
    assert target.read_text(encoding="utf-8") == "ü"


def test_what_cannot_be_written_is_said_beforehand(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="is a folder"):
        check_output(str(tmp_path))
    with pytest.raises(UsageError, match="does not exist"):
        check_output(str(tmp_path / "no" / "x"))
    monkeypatch.setattr("os.access", lambda *_args: False)
    with pytest.raises(UsageError, match="may not be written"):
        check_output(str(tmp_path / "x"))


def test_a_write_that_fails_is_one_line(tmp_path):
    with pytest.raises(ChatappError, match="cannot be written"):
        write_output(str(tmp_path / "no" / "x"), "text")
