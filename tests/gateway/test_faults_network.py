"""Case 55 on a real half-open connection: a network namespace whose only interface is taken down."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

SCRIPT = """
import asyncio, subprocess, time
from chatapp.client.connection import Connection, ResponseCreate
from chatapp.gateway.peer import Limits
from chatapp.stream.events import Delta, Failed, Message
from tests.gateway.scripted import TOKEN, ScriptedBackend, endless, serving, until

async def main():
    backend = ScriptedBackend(endless)
    async with serving(backend, limits=Limits(ping_s=0.5, deadline_s=1.0)) as (gateway, url):
        connection = await Connection.open(url, TOKEN)
        answer = connection.respond(ResponseCreate(model="scripted", input=(Message("user", "hi"),)))
        async for event in answer:
            if isinstance(event, Delta):
                break
        subprocess.run(["ip", "link", "set", "lo", "down"], check=True)
        await until(lambda: backend.closed_early == 1 and gateway.connections == 0, limit_s=8)
        print("noticed")
        connection._socket.transport.abort()
        await connection.aclose()

asyncio.run(main())
"""


def isolated(*command):
    return subprocess.run(
        ["unshare", "-rn", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *command],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.timeout(70)
def test_case_55_a_network_that_is_cut_is_noticed_within_the_deadline():
    if not (shutil.which("unshare") and shutil.which("ip")):
        pytest.skip("needs unshare and ip")
    if isolated("true").returncode:
        pytest.skip("a network namespace is not permitted here")
    done = isolated(sys.executable, "-c", SCRIPT)

    assert done.stdout.strip() == "noticed", done.stderr[-2000:]
