"""Several workers on one port: one dies, another serves; a signal ends all of them; nothing is left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest

from chatapp.client.connection import Connection, ResponseCreate
from chatapp.errors import GatewayError, UsageError
from chatapp.gateway.supervisor import Supervisor, reserved
from chatapp.redaction import Secret
from chatapp.stream.events import Delta, Finished, Message

pytestmark = [
    pytest.mark.timeout(90),
    pytest.mark.skipif(sys.platform != "linux", reason="SO_REUSEPORT as Linux has it"),
]

TOKEN = "token-of-the-tests-0123456789"
ASKED = ResponseCreate(model="sim:cs3/kimi-k2.6", input=(Message("user", "What is a token?"),), max_output_tokens=20)
LONG = ResponseCreate(model="sim:h100x16/kimi-k2.6", input=(Message("user", "Why?"),), max_output_tokens=400)


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    for name in ("CONFIG", "DATA", "STATE", "CACHE"):
        monkeypatch.setenv(f"CHATAPP_{name}_DIR", str(tmp_path / name.lower()))
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # what a killed supervisor cannot remove stays in the test's own folder
    (tmp_path / "token").write_text(TOKEN)
    return tmp_path


class Fleet:
    """`chatapp gateway --workers 2` as a process."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process = process
        self.url = url

    @property
    def workers(self) -> list[int]:
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return sorted(int(pid) for pid in path.read_text().split())

    def metrics(self) -> dict[str, float]:
        """Return what `/metrics` says now; empty where a worker that has just died was asked."""
        url = self.url.replace("ws:", "http:").replace("/v1/responses", "/metrics")
        try:
            asked = urllib.request.Request(url, headers={"Authorization": f"Bearer {TOKEN}"})
            with urllib.request.urlopen(asked, timeout=5) as page:
                lines = page.read().decode().splitlines()
        except OSError:
            return {}
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line[:1] != "#"}

    async def ask(self, request: ResponseCreate = ASKED) -> list[object]:
        connection = await Connection.open(self.url, Secret("token", TOKEN))
        try:
            return [event async for event in connection.respond(request)]
        finally:
            await connection.aclose()


@pytest.fixture
def fleet(folders):
    arguments = ["gateway", "--workers", "2", "--metrics", "--port", "0", "--token-file", str(folders / "token")]
    process = subprocess.Popen(
        [sys.executable, "-m", "chatapp", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    line = process.stdout.readline()
    assert line.startswith("listening on ws://127.0.0.1:"), process.stderr.read()
    workers = []
    try:
        yield (found := Fleet(process, line.split()[-1]))
    finally:
        with suppress(OSError):
            workers = found.workers
        process.kill()
        process.communicate()
        for pid in workers:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def what_ps_shows(pid):
    return Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


async def until(condition, limit_s=30.0):
    async with asyncio.timeout(limit_s):
        while not condition():  # noqa: ASYNC110 - another process has no event of ours
            await asyncio.sleep(0.02)


async def test_a_dead_worker_is_replaced_and_a_signal_ends_all(fleet):
    before = fleet.workers
    assert len(before) == 2
    assert TOKEN.encode() not in b"".join(what_ps_shows(pid) for pid in before)
    assert isinstance((await fleet.ask())[-1], Finished)
    os.kill(before[0], signal.SIGKILL)
    await until(lambda: before[0] not in fleet.workers and len(fleet.workers) == 2)
    assert isinstance((await fleet.ask())[-1], Finished)

    everyone = fleet.workers
    fleet.process.send_signal(signal.SIGTERM)
    out, err = await asyncio.to_thread(fleet.process.communicate, timeout=40)
    assert fleet.process.returncode == 0
    assert out == "", "one line, once"
    assert "worker 1 (pid" in err
    assert "killed by signal 9: another one in 0.5 s" in err or "killed by signal 9: another one in 0.25 s" in err
    assert not any(is_running(pid) for pid in everyone)


async def test_any_worker_answers_with_the_metrics_of_all(fleet):
    pytest.importorskip("prometheus_client", reason="needs the extra `metrics`")
    for _ in range(6):
        await fleet.ask()
    held = [await Connection.open(fleet.url, Secret("token", TOKEN)) for _ in range(16)]
    for _ in range(4):  # the kernel deals these out to different workers, too
        await until(lambda: fleet.metrics().get("chatapp_connections") == 16)
    responses = 'chatapp_responses_total{backend="sim:cs3/kimi-k2.6",outcome="length"}'
    assert {fleet.metrics()[responses] for _ in range(4)} == {6.0}, "whichever worker is asked"
    os.kill(fleet.workers[0], signal.SIGKILL)
    await until(lambda: fleet.metrics().get("chatapp_connections", 16) < 16)
    await until(lambda: fleet.metrics().get(responses) == 6.0)  # what it had counted stays counted
    for connection in held:
        await connection.aclose()


async def test_workers_finish_their_streams_when_told_to_stop(fleet):
    connection = await Connection.open(fleet.url, Secret("token", TOKEN))
    events = []
    async for event in connection.respond(LONG):
        events.append(event)
        if isinstance(event, Delta) and sum(isinstance(e, Delta) for e in events) == 1:
            fleet.process.send_signal(signal.SIGTERM)
    await connection.aclose()
    assert isinstance(events[-1], Finished)
    assert await asyncio.to_thread(fleet.process.wait, 40) == 0


async def test_workers_leave_when_their_supervisor_is_killed(fleet):
    workers = fleet.workers
    fleet.process.kill()
    await until(lambda: not any(is_running(pid) for pid in workers))


def supervisor(program: str, said: list[str]) -> Supervisor:
    return Supervisor((sys.executable, "-c", program), 2, say=said.append, first_wait_s=0.001)


async def test_a_worker_that_dies_at_once_again_and_again_is_given_up():
    said = []
    one = supervisor("raise SystemExit(3)", said)
    with pytest.raises(
        GatewayError, match=r"worker \d ended 5 times within 5 s of its start \(exit code 3\): giving up"
    ):
        await one.start()
    assert one.pids == []
    assert any("another one in 0.002 s" in line for line in said)
    assert any("another one in 0.016 s" in line for line in said), "it waits longer each time"


async def test_a_worker_that_refuses_is_not_started_again():
    said = []
    with pytest.raises(GatewayError, match="refuses to start"):
        await supervisor("raise SystemExit(2)", said).start()
    assert said == []


async def test_a_signal_while_workers_start_ends_them():
    one = supervisor("import time; time.sleep(600)", [])
    starting = asyncio.create_task(one.start())
    await until(lambda: len(one.pids) == 2)
    pids = one.pids
    one.signal(signal.SIGTERM)
    assert await starting is False
    assert not any(is_running(pid) for pid in pids)


async def test_a_program_that_is_not_there_is_an_error():
    with pytest.raises(GatewayError, match="could not be started"):
        await Supervisor(("/nonexistent/program",), 1, say=print).start()


def test_a_port_that_somebody_listens_on_is_refused_even_where_he_would_share_it():
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(UsageError, match="the port is in use"), reserved("127.0.0.1", other.getsockname()[1]):
            pass


def test_systems_that_cannot_share_a_port_say_so(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(UsageError, match="needs Linux"), reserved("127.0.0.1", 0):
        pass


@pytest.mark.parametrize("workers", ["0", "10000", "-1", "two"])
def test_a_number_of_workers_that_makes_no_sense_is_wrong_use(workers, capsys):
    from chatapp.cli import run

    assert run(["gateway", "--workers", workers]) == 2
    assert "--workers" in capsys.readouterr().err


def test_a_worker_is_given_every_option_that_its_supervisor_was_given():
    from chatapp.cli.gateway import as_arguments, gateway

    given = ["--host", "0.0.0.0", "--insecure-listen", "--allow-origin", "https://a", "--allow-origin", "https://b"]
    values = gateway.make_context("gateway", [*given, "--workers", "4"]).params
    own = {"port": 1234, "token_file": "/t", "workers": 1, "share_port": True}
    told = gateway.make_context("gateway", as_arguments(gateway, values | own)).params
    assert told == values | own
    assert told["origins"] == ("https://a", "https://b")


def test_limits_that_count_in_each_worker_are_said_at_start(tmp_path):
    from chatapp.cli.gateway import warnings_of
    from chatapp.gateway.tokens import TokenFile

    path = tmp_path / "tokens.toml"
    path.write_text(f'[tokens.stage]\ntoken = "{TOKEN}-stage"\nstreams = 3\n[tokens.team]\ntoken = "{TOKEN}-team"\n')
    path.chmod(0o600)

    assert warnings_of(TokenFile(path), path, None, workers=4) == [
        "limits count in each of 4 workers, so 4 times as much may pass: stage"
    ]
    assert warnings_of(TokenFile(path), path, None, workers=1) == []
