"""The files one deploys with: read by the tools they are for, and true of the command line as it is."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from chatapp.cli.gateway import gateway

HERE = Path(__file__).parent
UNIT = HERE / "chatapp-gateway.service"
CONTAINER = HERE / "Containerfile"
HADOLINT = shutil.which("hadolint") or shutil.which("hadolint", path=str(Path(sys.executable).parent))
PROGRAM = "/opt/chatapp/bin/chatapp"


def instructions():
    """Return the instructions of the container file: (name, arguments)."""
    text = re.sub(r"^#.*\n", "", CONTAINER.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [tuple(line.split(None, 1)) for line in text.splitlines() if line.strip()]


def exec_start():
    (line,) = (line for line in UNIT.read_text().splitlines() if line.startswith("ExecStart="))
    return shlex.split(line.removeprefix("ExecStart="))


def check_arguments(program, command, *arguments):
    assert (program, command) == (PROGRAM, "gateway")
    values = gateway.make_context("gateway", list(arguments)).params
    assert values["workers"] > 1
    assert values["metrics"]
    assert values["token_file"]
    return values


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_has_nothing_to_say_against_the_unit(tmp_path):
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace(PROGRAM, sys.executable))  # it checks that the program is there
    checked = subprocess.run(
        ["systemd-analyze", "verify", str(copy)], capture_output=True, text=True, check=False, timeout=60
    )
    assert (checked.returncode, checked.stderr) == (0, "")


def test_the_unit_starts_what_the_command_line_knows():
    values = check_arguments(*exec_start())
    assert values["host"] == "127.0.0.1", "clear text stays on this machine: TLS ends in front of it"
    text = UNIT.read_text()
    assert "KillMode=mixed" in text, "only the supervisor is told to stop; two signals would cut what still streams"
    patience = int(re.search(r"TimeoutStopSec=(\d+)", text)[1])
    from chatapp.gateway.server import DRAIN_S

    assert patience > DRAIN_S


def test_the_container_starts_what_the_command_line_knows():
    found = dict(instructions())
    values = check_arguments(*json.loads(found["ENTRYPOINT"]), *json.loads(found["CMD"]))
    assert values["host"] == "0.0.0.0"
    assert found["EXPOSE"] == str(values["port"])
    assert found["STOPSIGNAL"] == "SIGTERM"


def test_the_container_runs_as_nobody_in_particular_and_says_whether_it_is_well():
    names = [name for name, _arguments in instructions()]
    assert set(names) <= {
        "FROM",
        "COPY",
        "RUN",
        "USER",
        "ENV",
        "EXPOSE",
        "HEALTHCHECK",
        "STOPSIGNAL",
        "ENTRYPOINT",
        "CMD",
    }
    found = dict(instructions())
    assert found["USER"].isdecimal(), "a number: whoever runs it may know no name"
    _options, command = found["HEALTHCHECK"].split(" CMD ")
    compile(json.loads(command)[-1], "healthcheck", "exec")
    assert "/readyz" in command


@pytest.mark.skipif(HADOLINT is None, reason="hadolint is not installed")
def test_hadolint_has_nothing_to_say_against_the_container_file():
    checked = subprocess.run([HADOLINT, str(CONTAINER)], capture_output=True, text=True, check=False, timeout=60)
    assert (checked.returncode, checked.stdout) == (0, "")
