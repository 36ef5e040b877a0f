"""The models that a server lists, or why there is no list."""

from __future__ import annotations

import asyncio
import json

import pytest

from chatapp.backends.model_list import list_models
from chatapp.errors import BackendError
from chatapp.redaction import Secret
from tests.integration.chat_server import ChatServer, Close, Reply, refusal


async def ask(server, key=None):
    return await asyncio.to_thread(list_models, server.base_url, key, label="Test", timeout_s=0.3)


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
