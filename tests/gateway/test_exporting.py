"""`chatapp gateway` with OpenTelemetry as the operator has it: processes, signals, environment variables."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

from chatapp.client.connection import Connection, ResponseCreate
from chatapp.redaction import Secret
from chatapp.stream.events import Finished, Message
from tests.gateway.collector import attributes, black_hole, collecting

pytestmark = [pytest.mark.timeout(90), pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")]

TOKEN = "token-of-the-tests-0123456789"
ASKED = ResponseCreate(model="sim:cs3/kimi-k2.6", input=(Message("user", "What is a token?"),), max_output_tokens=20)
SAYS_WHAT_IT_IMPORTED = """
import atexit, sys
from chatapp.cli import main
atexit.register(lambda: print("imported:", [name for name in sys.modules if "opentelemetry" in name], file=sys.stderr))
main()
"""


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    for name in ("CONFIG", "DATA", "STATE", "CACHE"):
        monkeypatch.setenv(f"CHATAPP_{name}_DIR", str(tmp_path / name.lower()))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "token").chmod(0o600)
    return tmp_path


@contextmanager
def gateway(folder, *options, start=("-m", "chatapp")):
    """A gateway process and its URL; killed at the end where it has not ended by itself."""
    command = [sys.executable, *start, "gateway", "--port", "0", "--token-file", str(folder / "token"), *options]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        line = process.stdout.readline()
        assert line.startswith("listening on "), process.stderr.read()
        yield process, line.split()[-1]
    finally:
        process.kill()
        process.communicate()


async def ask(url):
    connection = await Connection.open(url, Secret("token", TOKEN))
    try:
        return [event async for event in connection.respond(ASKED)][-1]
    finally:
        await connection.aclose()


async def stopped(process):
    """Stop a gateway as an operator does, and return what it said on standard error."""
    process.send_signal(signal.SIGTERM)
    _out, err = await asyncio.to_thread(process.communicate, timeout=30)
    assert process.returncode == 0
    return err


def logged(folder):
    return [
        json.loads(line)["message"] for line in (folder / "state" / "logs" / "gateway.log").read_text().splitlines()
    ]


async def test_a_drain_delivers_what_no_batch_has_taken_yet(folders, monkeypatch):
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "3600000")
        with gateway(folders) as (process, url):
            assert isinstance(await ask(url), Finished)
            err = await stopped(process)

    assert "warning" not in err
    (span,) = collector.spans
    assert span.name == "chat kimi-k2.6"
    assert attributes(span)["gen_ai.usage.output_tokens"] == 20
    assert len(collector.points("gen_ai.client.operation.duration")) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="SO_REUSEPORT as Linux has it")
async def test_each_worker_is_an_instance_of_its_own_also_where_the_operator_names_it(folders, monkeypatch):
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.instance.id=stage")

        def instances(resources):
            return {attributes(each.resource)["service.instance.id"] for each in resources}

        with gateway(folders, "--workers", "2") as (process, url):
            async with asyncio.timeout(60):
                while len(instances(collector.traced)) < 2:  # the kernel deals connections out
                    assert isinstance(await ask(url), Finished)
                    await asyncio.sleep(0.1)
            await stopped(process)

    named = instances(collector.traced)
    assert len(named) == 2
    assert all(name.startswith("stage-") for name in named)
    assert instances(collector.measured) == named
    assert {attributes(each.resource)["service.name"] for each in collector.traced} == {"chatapp-gateway"}


async def test_a_process_ends_soon_where_the_collector_never_answers(folders, monkeypatch):
    with black_hole() as endpoint:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        with gateway(folders) as (process, url):
            assert isinstance(await ask(url), Finished)
            process.send_signal(signal.SIGTERM)
            # The SDK's own patience is 10 s for an attempt and 30 s for the end.
            await asyncio.to_thread(process.communicate, timeout=9)
            assert process.returncode == 0
    assert any("did not take within 3 s what was left" in message for message in logged(folders))


@pytest.mark.parametrize("options", [(), ("--workers", "2")])
async def test_a_missing_extra_is_said_once_and_the_gateway_serves(folders, monkeypatch, options):
    if options and sys.platform != "linux":
        pytest.skip("SO_REUSEPORT as Linux has it")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    blocked = folders / "blocked"
    blocked.mkdir()
    # Also for the workers, which are processes of their own.
    (blocked / "sitecustomize.py").write_text("import sys; sys.modules['opentelemetry'] = None")
    monkeypatch.setenv("PYTHONPATH", str(blocked))
    with gateway(folders, *options) as (process, url):
        assert isinstance(await ask(url), Finished)
        err = await stopped(process)

    warning = "chatapp: warning: OpenTelemetry: what OTEL_EXPORTER_OTLP_ENDPOINT asks for needs the extra 'otel'"
    assert err.count(warning) == 1
    assert "pip install 'chatapp[otel]'" in err


async def test_a_gateway_that_is_not_asked_imports_nothing_of_it(folders):
    with gateway(folders, start=("-c", SAYS_WHAT_IT_IMPORTED)) as (process, url):
        assert isinstance(await ask(url), Finished)
        err = await stopped(process)

    assert err.endswith("imported: []\n")
