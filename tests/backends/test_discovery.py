"""Servers on this machine, found or not within the budget."""

from __future__ import annotations

import time

from chatapp.backends.discovery import discover
from chatapp.config import Settings
from tests.integration.chat_server import ChatServer, Hold, Reply


def own(**servers):
    """Settings in which the named local servers have these addresses, and the other local ones none that answers."""
    addresses = dict.fromkeys(("vllm", "llama.cpp", "ollama", "lmstudio"), "http://127.0.0.1:9/v1") | servers
    return Settings(backends={name: {"base_url": url, "local": True} for name, url in addresses.items()})


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
