"""Opening connections: steps timed apart, addresses tried in turn, each failure by its own name."""

from __future__ import annotations

import asyncio
import socket

import httpcore2
import pytest

from chatapp.backends import dialing
from chatapp.backends.dialing import DialError, TimedBackend
from chatapp.backends.timed_stream import PlainStream, TcpStream


@pytest.fixture
def listening():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def resolve_to(monkeypatch, *addresses):
    """Let every name be these (host, port) addresses."""

    async def getaddrinfo(_self, _host, _port, **_options):
        return [
            (socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port))
            for host, port in addresses
        ]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", getaddrinfo)


async def test_look_up_and_connect_are_timed_apart(listening):
    stream = await TimedBackend().connect_tcp("localhost", listening, 2.0)
    assert isinstance(stream, TcpStream)
    assert set(stream.connect_ns) == {"dns", "tcp"}
    assert all(duration > 0 for duration in stream.connect_ns.values())
    await stream.aclose()


async def test_an_address_needs_no_look_up(listening):
    options = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    stream = await TimedBackend().connect_tcp("127.0.0.1", listening, 2.0, "127.0.0.1", options)
    assert set(stream.connect_ns) == {"tcp"}
    assert stream.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    await stream.aclose()


async def test_the_next_address_is_tried_when_one_refuses(listening, monkeypatch):
    resolve_to(monkeypatch, ("127.0.0.1", 9), ("127.0.0.1", listening))
    stream = await TimedBackend().connect_tcp("provider.test", 1, 2.0)
    assert stream.get_extra_info("server_addr")[1] == listening
    await stream.aclose()


async def test_the_next_address_is_tried_beside_one_that_is_silent(listening, monkeypatch):
    silent = asyncio.Event()
    real = dialing._connect

    async def connect(address, local):
        if address[1][0] == "::1":
            await silent.wait()
        return await real(address, local)

    monkeypatch.setattr(dialing, "_connect", connect)
    monkeypatch.setattr(dialing, "STAGGER_S", 0.01)
    resolve_to(monkeypatch, ("::1", 1), ("127.0.0.1", listening))
    stream = await TimedBackend().connect_tcp("provider.test", 1, 2.0)
    assert stream.get_extra_info("server_addr")[1] == listening
    await stream.aclose()


async def test_families_alternate(monkeypatch):
    resolve_to(monkeypatch, ("::1", 1), ("::2", 1), ("::3", 1), ("1.1.1.1", 1))
    found = await dialing._look_up("provider.test", 1)
    assert [where[0] for _family, where in found] == ["::1", "1.1.1.1", "::2", "::3"]


async def test_of_two_that_answer_at_once_one_is_kept(listening, monkeypatch):
    real = dialing._connect
    both = asyncio.Barrier(2)
    made = []

    async def connect(address, local):
        await both.wait()
        made.append(await real(address, local))
        return made[-1]

    monkeypatch.setattr(dialing, "_connect", connect)
    monkeypatch.setattr(dialing, "STAGGER_S", 0.001)
    sock = await dialing._connect_first([(socket.AF_INET, ("127.0.0.1", listening))] * 2, None)
    await asyncio.sleep(0.01)
    assert sum(s.fileno() >= 0 for s in made) == 1
    sock.close()


async def test_refused_everywhere():
    with pytest.raises(DialError, match=r"127\.0\.0\.1:9 cannot be reached: connection refused") as caught:
        await TimedBackend().connect_tcp("127.0.0.1", 9, 2.0)
    assert caught.value.code == "unreachable"


async def test_no_such_name(monkeypatch):
    async def getaddrinfo(*_args, **_options):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", getaddrinfo)
    with pytest.raises(DialError, match=r"'nowhere\.test' cannot be found: Name or service not known") as caught:
        await TimedBackend().connect_tcp("nowhere.test", 1, 2.0)
    assert caught.value.code == "dns"


async def test_silence_is_a_timeout_and_leaves_nothing_open(monkeypatch):
    async def connect(_address, _local):
        await asyncio.Event().wait()

    monkeypatch.setattr(dialing, "_connect", connect)
    with pytest.raises(httpcore2.ConnectTimeout, match=r"within 0\.01 s"):
        await TimedBackend().connect_tcp("127.0.0.1", 9, 0.01)
    assert len(asyncio.all_tasks()) <= 2


async def test_a_connection_that_comes_too_late_is_closed(listening, monkeypatch):
    late = asyncio.create_task(dialing._connect((socket.AF_INET, ("127.0.0.1", listening)), None))
    sock = await late
    dialing._close_late(late)
    assert sock.fileno() < 0


async def test_a_bug_is_not_a_refusal(monkeypatch):
    async def connect(_address, _local):
        raise ZeroDivisionError

    monkeypatch.setattr(dialing, "_connect", connect)
    with pytest.raises(ZeroDivisionError):
        await TimedBackend().connect_tcp("127.0.0.1", 9, 1.0)


async def test_a_loop_that_cannot_watch_sockets_is_served_by_the_process_clock(listening, monkeypatch):
    monkeypatch.setattr(dialing, "_can_watch_sockets", lambda: False)
    stream = await TimedBackend().connect_tcp("127.0.0.1", listening, 2.0)
    assert isinstance(stream, PlainStream)
    assert set(stream.connect_ns) == {"tcp"}
    await stream.aclose()


async def test_sleep():
    await TimedBackend().sleep(0)
