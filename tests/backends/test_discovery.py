"""Servers on this machine, found or not within the budget."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from chatapp.backends.discovery import discover, list_models
from chatapp.config import Settings
from chatapp.errors import BackendError
from chatapp.redaction import Secret
from tests.integration.chat_server import ChatServer, Close, Hold, Reply, refusal


def own(**servers):
    """Settings in which the named local servers have these addresses, and the other local ones none that answers."""
    addresses = dict.fromkeys(("vllm", "llama.cpp", "ollama", "lmstudio"), "http://127.0.0.1:9/v1") | servers
    return Settings(backends={name: {"base_url": url, "local": True} for name, url in addresses.items()})


async def ask(server, key=None):
    return await asyncio.to_thread(list_models, server.base_url, key, label="Test", timeout_s=0.3)


async def test_running_servers_are_found_with_their_models():
    async with ChatServer(models=["a", "b"]) as first, ChatServer(models=["c"]) as second:
        found = await discover(own(ollama=first.base_url, vllm=second.base_url), budget_s=2.0)
    assert [entry.name for entry in found] == ["vllm/c", "ollama/a", "ollama/b"]
    assert {entry.group for entry in found} == {"On this machine"}


async def test_a_silent_server_costs_the_budget_and_hides_no_other():
    async with ChatServer(models=["a"]) as quick, ChatServer() as silent:
        silent._list_models = lambda: Reply([Hold], before=30)
        started = time.monotonic()
        found = await discover(own(ollama=quick.base_url, vllm=silent.base_url), budget_s=0.2)
        assert time.monotonic() - started < 5
    assert [entry.name for entry in found] == ["ollama/a"]


async def test_it_can_be_turned_off():
    async with ChatServer() as server:
        settings = Settings(discover=False, backends={"ollama": {"base_url": server.base_url, "local": True}})
        assert await discover(settings) == []
        assert server.connections == 0


async def test_only_this_machine_is_looked_at():
    names = ("vllm", "llama.cpp", "ollama", "lmstudio")
    far = Settings(backends={name: {"base_url": "http://127.example.test/v1", "local": True} for name in names})
    assert await discover(far) == []


async def test_list_sends_the_key():
    seen = []

    async with ChatServer() as server:
        real = server._respond

        async def respond(request, reader, writer):
            seen.append(request.headers.get("authorization"))
            return await real(request, reader, writer)

        server._respond = respond
        assert await ask(server, Secret("K", "sk-secret-secret")) == ["test-model"]
        assert await ask(server) == ["test-model"]
    assert seen == ["Bearer sk-secret-secret", None]


async def test_names_that_could_control_a_terminal_are_left_out():
    async with ChatServer(models=["good", "bad\x1b]0;x\x07"]) as server:
        assert await ask(server) == ["good"]


async def test_a_list_is_bounded():
    async with ChatServer(models=[f"m{i}" for i in range(500)]) as server:
        assert len(await ask(server)) == 200


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (refusal(401, "no key"), "auth"),
        (Reply([b"<html>"], framing="length"), "bad_stream"),
        (Reply([json.dumps({"data": 7}).encode()], framing="length"), "bad_stream"),
        (Reply([json.dumps({}).encode()], framing="length"), "bad_stream"),
        (Reply([b"x" * 10, Close]), "unreachable"),
        (Reply(before=5.0), "unreachable"),
    ],
)
async def test_what_is_no_list(reply, code):
    async with ChatServer() as server:
        server._list_models = lambda: reply
        with pytest.raises(BackendError) as caught:
            await ask(server)
    assert caught.value.code == code
    assert "Test" in caught.value.message


async def test_nothing_listens():
    with pytest.raises(BackendError, match=r"Test does not answer at .*: Connection refused"):
        await asyncio.to_thread(list_models, "http://127.0.0.1:9/v1", None, label="Test")
