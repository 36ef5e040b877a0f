"""The child gateway's main: what it says where it cannot start."""

import io
import json
import sys
from types import SimpleNamespace

import pytest

from chatapp.errors import UsageError
from chatapp.gateway import child


@pytest.mark.parametrize(
    ("error", "said", "code"),
    [(UsageError("port taken"), "port taken", 2), (ZeroDivisionError("a bug"), "ZeroDivisionError: a bug", 1)],
)
def test_what_keeps_it_from_starting_is_told_to_the_parent_and_a_bug_is_logged(
    monkeypatch, tmp_path, capsys, caplog, error, said, code
):
    def broken():
        raise error

    monkeypatch.setenv("CHATAPP_STATE_DIR", str(tmp_path))
    monkeypatch.setattr(child, "die_with_parent", lambda: None)
    monkeypatch.setattr(child, "start_logging", lambda _name: None)
    monkeypatch.setattr(child, "load_settings", broken)
    told = {"token": "t", "own": {}, "pace": None, "load": None, "seed": None}
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(json.dumps(told).encode() + b"\n")))
    with pytest.raises(SystemExit) as left:
        child.main()
    assert left.value.code == code
    assert json.loads(capsys.readouterr().out) == {"error": said}
    assert ("ZeroDivisionError" in caplog.text) == isinstance(error, ZeroDivisionError)
