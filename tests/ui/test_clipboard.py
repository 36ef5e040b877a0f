import sys

import pytest

from chatapp.ui.clipboard import copy_text


class FakeApp:
    copied = ""

    def copy_to_clipboard(self, text: str) -> None:
        self.copied = text


@pytest.mark.skipif(sys.platform == "win32", reason="a POSIX script")
def test_a_clipboard_program_gets_the_text(tmp_path, monkeypatch):
    program = tmp_path / "xclip"
    program.write_text(f'#!/bin/sh\ncat > "{tmp_path}/got"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    app = FakeApp()
    assert copy_text(app, "some text", "answer") == "Copied answer: 9 B"
    assert (tmp_path / "got").read_text() == "some text"
    assert app.copied == "some text"


def test_without_one_it_lies_in_a_file(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    said = copy_text(FakeApp(), "half \ud83d", "code")
    assert said.endswith("state/copied.txt")
    assert (tmp_path / "state" / "copied.txt").read_text() == "half ?"


def test_where_no_file_can_be_written_the_terminal_still_got_it(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CHATAPP_STATE_DIR", str(tmp_path / "file"))
    assert copy_text(FakeApp(), "x", "code") == "Copied code: 1 B"


def test_a_program_that_fails_is_not_believed(tmp_path, monkeypatch):
    program = tmp_path / "xclip"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert "copied.txt" in copy_text(FakeApp(), "x", "code")
