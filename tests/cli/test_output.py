import os

import pytest

from chatapp.cli import run
from chatapp.cli.output import check_distinct, check_output, check_recording, write_output
from chatapp.errors import ChatappError, UsageError


def test_a_dash_is_standard_output(capsys):
    check_output("-")
    check_output(None)
    write_output("-", "text\n")
    assert capsys.readouterr().out == "text\n"


def test_a_file_is_written(tmp_path):
    target = tmp_path / "x"
    check_output(str(target))
    assert not target.exists(), "a check leaves no trace"
    write_output(str(target), "ü")
    check_output(str(target))
    assert target.read_text(encoding="utf-8") == "ü"


def test_what_cannot_be_written_is_said_beforehand(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="is a folder"):
        check_output(str(tmp_path))
    with pytest.raises(UsageError, match="does not exist") as caught:
        check_output(str(tmp_path / "no" / "x"))
    assert "create it" in caught.value.hint
    with pytest.raises(UsageError, match="File name too long"):
        check_output(str(tmp_path / ("x" * 300)))
    with pytest.raises(UsageError, match="null byte"):
        check_output(f"{tmp_path}/a\0b")
    check_output("/dev/null")
    monkeypatch.setattr("os.access", lambda *_args: False)
    with pytest.raises(UsageError, match="/dev/null: cannot be written: Permission denied"):
        check_output("/dev/null")


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="Linux")
def test_a_folder_that_takes_no_files_is_found_by_trying():
    with pytest.raises(UsageError, match="cannot be written"):
        check_output("/proc/report.json")


def test_a_recording_is_a_new_file(tmp_path):
    path = tmp_path / "a.tokcast"
    check_recording(None)
    check_recording(str(path))
    path.touch()
    check_recording(str(path))
    path.write_text("x")
    with pytest.raises(UsageError, match="exists already"):
        check_recording(str(path))
    with pytest.raises(UsageError, match="goes to a file"):
        check_recording("-")


def test_two_outputs_do_not_overwrite_each_other(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check_distinct(json="a", csv="b", html=None, record=None)
    check_distinct(json="/dev/null", csv="/dev/null")
    with pytest.raises(UsageError, match="--json and --csv both go to standard output"):
        check_distinct(json="-", csv="-")
    with pytest.raises(UsageError, match=r"--json and --record both go to \./a"):
        check_distinct(json="a", csv="b", record="./a")


def test_a_write_that_fails_is_one_line_and_the_text_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(ChatappError, match="cannot be written: No such file") as caught:
        write_output(str(tmp_path / "gone" / "x.json"), "measured")
    (kept,) = tmp_path.glob("chatapp-*.json")
    assert caught.value.hint == f"it is kept in {kept}"
    assert kept.read_text() == "measured"
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    with pytest.raises(ChatappError) as caught:
        write_output(str(tmp_path / "gone" / "x.json"), "measured")
    assert caught.value.hint == "is the disk full?"


SIM = ["--backend", "sim:cs3/kimi-k2.6"]
RUNS = {
    "chat": ["chat", "--plain", "--prompt", "hi", *SIM],
    "compare": ["compare", "--prompt", "hi", *SIM, *SIM],
    "bench": ["bench", *SIM],
    "verify": ["verify", "cerebras-kimi-k2.6-speed", *SIM],
}


@pytest.mark.parametrize(
    ("command", "option"),
    [
        ("chat", "--record"),
        *(("compare", f"--{kind}") for kind in ("record", "json", "csv", "markdown", "html")),
        *(("bench", f"--{kind}") for kind in ("record", "json", "csv")),
        ("verify", "--json"),
        ("verify", "--evidence"),
    ],
)
def test_a_missing_folder_is_refused_alike_before_anything_runs(command, option, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("CHATAPP_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("CHATAPP_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr("chatapp.backends.simulated.SimulatedBackend.stream", None)
    assert run([*RUNS[command], option, str(tmp_path / "nope" / "x")]) == 2
    said = capsys.readouterr().err
    assert f"{tmp_path}/nope/x: the folder '{tmp_path}/nope' does not exist\n  create it, or name another" in said
    assert not (tmp_path / "nope").exists()
