import json
import logging

import pytest

from chatapp import log
from chatapp.redaction import Secret


@pytest.fixture
def root_logger():
    root = logging.getLogger()
    before = list(root.handlers), root.level, logging.raiseExceptions
    yield root
    for handler in root.handlers[:]:
        if handler not in before[0]:
            root.removeHandler(handler)
            handler.close()
    root.setLevel(before[1])
    logging.raiseExceptions = before[2]


def test_one_json_object_a_line_redacted_and_escaped(monkeypatch, tmp_path, root_logger):
    monkeypatch.setenv("CHATAPP_STATE_DIR", str(tmp_path))
    log.start_logging("test")
    Secret("LOG_KEY", "canary-in-the-log")
    try:
        raise ValueError("canary-in-the-log in an exception")
    except ValueError:
        logging.getLogger("x").exception("line one\nline two \x1b[2J canary-in-the-log %s", "a" * 5000)
    logging.getLogger("x").info("second")
    lines = log.log_path("test").read_text().splitlines()
    first, second = (json.loads(line) for line in lines)
    assert len(lines) == 2
    assert "canary" not in lines[0]
    assert "\x1b" not in lines[0]
    assert first["message"].startswith("line one\nline two")
    assert len(first["message"]) == log.LIMIT_REMOTE
    assert "ValueError" in first["traceback"]
    assert second["level"] == "info"
    assert second["logger"] == "x"


def test_without_a_writable_folder_nothing_is_logged_and_nothing_breaks(monkeypatch, tmp_path, root_logger):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("CHATAPP_STATE_DIR", str(blocked))
    log.start_logging("test")
    logging.getLogger("x").error("lost")
    assert blocked.read_text() == ""
