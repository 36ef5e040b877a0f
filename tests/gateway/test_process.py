"""The gateway as a process: started, found dead, restarted, and never left behind. Cases 57, 58 and 60."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from chatapp.client.connection import Connection, ResponseCreate
from chatapp.errors import GatewayError
from chatapp.gateway.process import ChildGateway
from chatapp.redaction import Secret
from chatapp.stream.events import Delta, Failed, Finished, Message, Notice
from tests.gateway.raw import connected
from tests.gateway.scripted import until

pytestmark = [pytest.mark.timeout(60), pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")]

SIMULATED = ResponseCreate(
    model="sim:cs3/kimi-k2.6", input=(Message("user", "What is a token?"),), max_output_tokens=20
)


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    for name in ("CONFIG", "DATA", "STATE", "CACHE"):
        monkeypatch.setenv(f"CHATAPP_{name}_DIR", str(tmp_path / name.lower()))
    return tmp_path


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


def what_ps_shows(pid):
    return Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()


async def test_a_child_answers_and_shows_its_token_nowhere():
    child = ChildGateway()
    try:
        endpoint = await child.ready()
        assert endpoint.token.reveal().encode() not in what_ps_shows(child.pid)
        connection = await Connection.open(endpoint.url, endpoint.token)
        events = [event async for event in connection.respond(SIMULATED)]
        listed = await connection.models()
        await connection.aclose()
    finally:
        child.stop()

    assert isinstance(events[-1], Finished)
    assert any(isinstance(event, Delta) for event in events)
    assert "sim:cs3/kimi-k2.6" in [model.name for model in listed]


async def test_case_58_a_killed_gateway_is_said_and_the_next_request_starts_it_again():
    child = ChildGateway()
    try:
        endpoint = await child.ready()
        first = child.pid
        connection = await Connection.open(endpoint.url, endpoint.token)
        answer = connection.respond(ResponseCreate(model="sim:h100x16/kimi-k2.6", input=SIMULATED.input))
        async for event in answer:
            if isinstance(event, Delta):
                os.kill(first, signal.SIGKILL)
                break
        rest = [event async for event in answer]
        assert isinstance(rest[-1], Failed)
        assert rest[-1].code == "gateway_lost"
        await connection.aclose()
        await until(lambda: not child.alive)

        endpoint = await child.ready()
        again = await Connection.open(endpoint.url, endpoint.token)
        events = [event async for event in again.respond(SIMULATED)]
        await again.aclose()
    finally:
        child.stop()

    assert child.pid != first
    assert isinstance(events[-1], Finished)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_case_58_a_child_never_outlives_its_parent(how):
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import asyncio, time\n"
            "from chatapp.gateway.process import ChildGateway\n"
            "child = ChildGateway()\n"
            "asyncio.run(child.ready())\n"
            "print(child.pid, flush=True)\n"
            "time.sleep(60)\n",
        ],
        stdout=subprocess.PIPE,
    )
    pid = int(parent.stdout.readline())
    assert is_running(pid)
    parent.send_signal(how)
    parent.wait(10)
    parent.stdout.close()

    end = time.monotonic() + 10
    while is_running(pid) and time.monotonic() < end:
        time.sleep(0.02)
    assert not is_running(pid)


async def test_a_child_that_cannot_start_says_why(folders):
    (folders / "config").mkdir()
    (folders / "config" / "config.toml").write_text("seed = [broken\n")
    child = ChildGateway()
    try:
        with pytest.raises(GatewayError, match=r"config\.toml"):
            await child.ready()
    finally:
        child.stop()
    assert child.pid is None


async def test_two_that_find_it_dead_start_one():
    child = ChildGateway()
    try:
        first, second = await asyncio.gather(child.ready(), child.ready())
    finally:
        child.stop()
    assert first == second


async def test_stopping_twice_is_stopping():
    child = ChildGateway()
    await child.ready()
    child.stop()
    child.stop()
    assert not child.alive


def serve(*options, limit=None, unprivileged=False):
    def lower():
        if limit:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
        if unprivileged:  # PR_CAPBSET_DROP, CAP_NET_BIND_SERVICE: what root has and others have not
            ctypes.CDLL(None).prctl(24, 10, 0, 0, 0)

    return subprocess.Popen(
        [sys.executable, "-m", "chatapp", "gateway", "--port", "0", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lower if limit or unprivileged else None,  # noqa: PLW1509 - no threads here
    )


def url_of(process):
    line = process.stdout.readline()
    assert line.startswith("listening on "), line + process.stderr.read()
    return line.removeprefix("listening on ").strip()


def ended(process):
    process.communicate(timeout=20)
    return process.returncode


async def test_case_57_sigterm_says_1001_to_everybody_and_ends_with_0(folders):
    process = serve()
    try:
        url = await asyncio.to_thread(url_of, process)
        token = (folders / "state" / "gateway-token").read_text().strip()
        assert (folders / "state" / "gateway-token").stat().st_mode & 0o777 == 0o600
        async with connected(url, headers={**HEADERS, "Authorization": f"Bearer {token}"}) as client:
            process.send_signal(signal.SIGTERM)
            assert await client.close_code() == 1001
            client.writer.close()
        assert await asyncio.to_thread(ended, process) == 0
    finally:
        process.kill()


HEADERS = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}


async def test_case_60_without_descriptors_it_waits_and_recovers(folders):
    process = serve(limit=64)
    try:
        url = await asyncio.to_thread(url_of, process)
        port = int(url.rpartition(":")[2].partition("/")[0])
        held = []
        for _ in range(80):
            try:
                held.append(await asyncio.wait_for(asyncio.open_connection("127.0.0.1", port), 2))
            except (OSError, TimeoutError):
                break
        for _reader, writer in held:
            writer.transport.abort()
        token = (folders / "state" / "gateway-token").read_text().strip()
        headers = {**HEADERS, "Authorization": f"Bearer {token}"}

        async def served():
            while True:
                try:
                    async with connected(url, headers=headers) as client:
                        await client.say(model="sim:cs3/kimi-k2.6", input="hi", max_output_tokens=5)
                        return await client.until("response.incomplete", "response.completed")
                except (OSError, asyncio.IncompleteReadError):
                    await asyncio.sleep(0.1)

        assert await asyncio.wait_for(served(), 20)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(ended, process) == 0
    finally:
        process.kill()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--host", "192.0.2.1", "--insecure-listen"), "cannot listen on 192.0.2.1"),
        (("--host", "0.0.0.0"), "clear text"),
        (("--tls-cert", "/no/such/file"), "both --tls-cert and --tls-key"),
        (("--tls-cert", "/no/such/file", "--tls-key", "/no/such/file"), "cannot be read"),
        (("--token-file", "/no/such/file"), "secrets.token_urlsafe(32)"),
        (("--token-file", "/"), "token file / cannot be read: Is a directory"),
        (("--fallback", "sim:cs3/kimi"), "unknown"),
        (("--fallback", "groq/llama-3.1-8b-instant"), "GROQ_API_KEY is not set"),
    ],
)
def test_case_12_wrong_use_is_one_line_and_exit_code_2(options, says):
    process = serve(*options)
    _out, err = process.communicate(timeout=30)

    assert process.returncode == 2
    assert says in err
    assert "Traceback" not in err


def test_case_12_a_port_in_use_is_one_line_and_exit_code_2():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = serve("--port", str(taken.getsockname()[1]))
        _out, err = process.communicate(timeout=30)

    assert process.returncode == 2
    assert "the port is in use" in err
    assert "--port 0" in err
    assert "Traceback" not in err


@pytest.mark.skipif(sys.platform != "linux", reason="which ports are privileged is Linux's to say here")
def test_case_12_a_privileged_port_is_one_line_and_exit_code_2():
    if int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) < 1024:
        pytest.skip("no port is privileged here: net.ipv4.ip_unprivileged_port_start")
    process = serve("--port", "81", unprivileged=True)
    _out, err = process.communicate(timeout=30)

    assert process.returncode == 2
    assert "cannot listen on 127.0.0.1:81: not permitted" in err
    assert "ports below 1024 need privileges" in err
    assert "Traceback" not in err


def test_secrets_that_everybody_may_read_are_said_and_served(folders):
    token = folders / "token"
    token.write_text("token-of-the-tests-0123456789")
    token.chmod(0o644)
    process = serve("--token-file", str(token))
    url_of(process)
    process.send_signal(signal.SIGTERM)
    _out, err = process.communicate(timeout=30)

    assert process.returncode == 0
    assert err.count(f"warning: {token} can be read by every user of this machine: chmod 600 {token}") == 1


async def test_a_fallback_answers_for_a_server_that_is_not_there(folders, unused_tcp_port):
    (folders / "config").mkdir()
    (folders / "config" / "config.toml").write_text(
        f'[backends.gone]\nbase_url = "http://127.0.0.1:{unused_tcp_port}/v1"\n'
    )
    process = serve("--fallback", "sim:cs3/kimi-k2.6")
    try:
        url = await asyncio.to_thread(url_of, process)
        token = Secret("token", (folders / "state" / "gateway-token").read_text().strip())
        connection = await Connection.open(url, token)
        asked = ResponseCreate(model="gone/m", input=SIMULATED.input, max_output_tokens=5)
        events = [event async for event in connection.respond(asked)]
        await connection.aclose()
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(ended, process) == 0
    finally:
        process.kill()

    (notice,) = (event for event in events if isinstance(event, Notice) and event.kind == "fallback")
    assert "gone/m did not answer (unreachable:" in notice.message
    assert events[-1].provenance["answered_by"] == "sim:cs3/kimi-k2.6"


def test_json_of_the_readiness_line_is_all_a_parent_needs():
    process = subprocess.Popen(
        [sys.executable, "-m", "chatapp.gateway.child"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    process.stdin.write(b'{"token": "token-of-the-tests-0123456789"}\n')
    process.stdin.flush()
    line = json.loads(process.stdout.readline())
    process.stdin.close()  # the lifeline

    assert process.wait(10) == 0
    process.stdout.close()
    assert line["url"].startswith("ws://127.0.0.1:")
