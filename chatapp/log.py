"""The log: one JSON object a line in the state folder, redacted, never on the screen."""

from __future__ import annotations

import json
import logging
import logging.handlers
import time
from pathlib import Path

from chatapp.config import state_folder
from chatapp.redaction import REDACTOR

LIMIT_REMOTE = 2000
"""Characters kept of one field: remote text must not fill a disk."""


class JsonFormatter(logging.Formatter):
    """A log record as one JSON line: control characters escaped, secrets replaced."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line."""
        entry = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": REDACTOR.text(record.getMessage())[:LIMIT_REMOTE],
        }
        if record.exc_info:
            entry["traceback"] = REDACTOR.text(self.formatException(record.exc_info))
        return json.dumps(entry, ensure_ascii=True)


def log_path(process: str = "chatapp") -> Path:
    """Return where this process's log is written."""
    return state_folder() / "logs" / f"{process}.log"


def start_logging(process: str = "chatapp", *, level: int = logging.INFO) -> None:
    """Send all log records to the file (1 MiB, three old ones kept); without a writable folder, nowhere."""
    root = logging.getLogger()
    root.setLevel(level)
    path = log_path(process)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler: logging.Handler = logging.handlers.RotatingFileHandler(
            path, maxBytes=1 << 20, backupCount=3, encoding="utf-8", delay=True
        )
    except OSError:
        handler = logging.NullHandler()
    handler.setFormatter(JsonFormatter())
    root.addHandler(handler)
    logging.raiseExceptions = False  # a full disk must not print tracebacks over the screen
