"""The transport under the real HTTP client: framings, keep-alive, HTTPS, proxies, arrival times."""

from __future__ import annotations

import asyncio
import time

import httpx2
import pytest

from chatapp.backends.transport import MAX_ERROR_BODY, TimedBody, TimedTransport, proxy_for
from tests.integration.chat_server import ChatServer, Close, Hold, Raw, Reply, Sleep, answer


async def post(client, url):
    request = client.build_request("POST", f"{url}/chat/completions", json={})
    return await client.send(request, stream=True)


async def read(response):
    body = response.extensions["timed_body"]
    segments = []
    while (segment := await body.receive(2.0)) is not None:
        segments.append(segment)
    return segments


@pytest.fixture
async def client():
    async with httpx2.AsyncClient(transport=TimedTransport()) as client:
        yield client


@pytest.mark.parametrize("framing", ["chunked", "close", "length"])
async def test_every_framing_gives_the_bytes_with_their_arrivals(client, framing):
    async with ChatServer(Reply([b"ab", Sleep(0.01), b"cd"], framing=framing)) as server:
        segments = await read(await post(client, server.base_url))
        first_ns, second_ns = (at_ns for at_ns, _size in server.requests[0].sent)
    assert b"".join(s.data for s in segments) == b"abcd"
    assert first_ns - 20_000 <= segments[0].at_ns < second_ns
    assert second_ns - 20_000 <= segments[-1].at_ns <= time.monotonic_ns()


@pytest.mark.parametrize("framing", ["chunked", "length"])
async def test_a_body_read_to_its_end_leaves_a_connection_that_is_used_again(client, framing):
    async with ChatServer(Reply([b"ab"], framing=framing)) as server:
        for reused in (False, True, True):
            response = await post(client, server.base_url)
            assert response.extensions["timed_body"].reused is reused
            await read(response)
            await response.aclose()
        assert server.connections == 1


async def test_a_body_left_in_the_middle_closes_its_connection(client):
    async with ChatServer(Reply([b"ab", Hold])) as server:
        response = await post(client, server.base_url)
        await response.extensions["timed_body"].receive(1.0)
        await response.aclose()
        await read_nothing_more(response)
        response = await post(client, server.base_url)
        await response.aclose()
        assert server.connections == 2


async def read_nothing_more(response):
    assert response.is_closed


async def test_plain_reading_works_as_ever(client):
    async with ChatServer(Reply([b"ab", b"cd"])) as server:
        assert (await client.post(f"{server.base_url}/x", json={})).content == b"abcd"


async def test_request_time_is_before_the_server_has_it(client):
    async with ChatServer(Reply([b"ab"])) as server:
        before_ns = time.monotonic_ns()
        response = await post(client, server.base_url)
        body = response.extensions["timed_body"]
        assert before_ns < body.sent_ns < server.requests[0].at_ns
        assert set(body.connect_ns) == {"tcp"}
        await response.aclose()


async def test_trailers(client):
    steps = [b"ab", Raw(b"0\r\nX-Sum: 1\r\n\r\n"), Hold]
    async with ChatServer(Reply(steps)) as server:
        assert [s.data for s in await read(await post(client, server.base_url))] == [b"ab"]


@pytest.mark.parametrize("steps", [[b"ab", Close], [b"ab", Raw(b"zz\r\n"), Hold]])
async def test_a_body_that_breaks_off(client, steps):
    async with ChatServer(Reply(steps)) as server:
        response = await post(client, server.base_url)
        body = response.extensions["timed_body"]
        assert (await body.receive(1.0)).data == b"ab"
        with pytest.raises(httpx2.RemoteProtocolError):
            await body.receive(1.0)
        await response.aclose()


@pytest.mark.parametrize("framing", ["chunked", "close"])
async def test_silence_is_a_timeout(client, framing):
    async with ChatServer(Reply([b"ab", Hold], framing=framing)) as server:
        response = await post(client, server.base_url)
        body = response.extensions["timed_body"]
        await body.receive(1.0)
        with pytest.raises(httpx2.ReadTimeout):
            await body.receive(0.01)
        await response.aclose()


async def test_an_error_body_is_bounded(client):
    async with ChatServer(Reply([b"x" * 50_000] * 3, 500)) as server:
        response = await client.post(f"{server.base_url}/x", json={})
        assert len(response.content) == MAX_ERROR_BODY


async def test_https(server_tls, client_tls):
    async with (
        ChatServer(Reply([b"ab", b"cd"]), tls=server_tls) as server,
        httpx2.AsyncClient(transport=TimedTransport(ssl_context=client_tls)) as client,
    ):
        response = await post(client, server.base_url)
        body = response.extensions["timed_body"]
        assert set(body.connect_ns) == {"dns", "tcp", "tls"}
        segments = await read(response)
        assert b"".join(s.data for s in segments) == b"abcd"
        await response.aclose()
        response = await post(client, server.base_url)
        assert response.extensions["timed_body"].reused
        await response.aclose()


async def test_the_process_clock_where_it_is_asked_for():
    async with (
        ChatServer(Reply([b"ab"])) as server,
        httpx2.AsyncClient(transport=TimedTransport(kernel_stamps=False)) as client,
    ):
        response = await post(client, server.base_url)
        assert response.extensions["timed_body"].source == "process"
        assert (await read(response))[0].source == "process"
        await response.aclose()


async def test_unsupported_scheme(client):
    with pytest.raises(httpx2.UnsupportedProtocol):
        await client.get("gopher://example.test/")


async def test_a_body_without_a_network_stream():
    class Core:
        async def __aiter__(self):
            yield b"ab"

        async def aclose(self):
            pass

    body = TimedBody(Core(), None, chunked=True, limit=None)
    assert (body.sent_ns, body.connect_ns, body.reused) == (0, {}, False)
    assert (await body.receive(1.0)).data == b"ab"
    assert await body.receive(1.0) is None
    assert await body.receive(1.0) is None
    await body.aclose()


async def test_two_hundred_streams_at_once(client):
    words = [f"w{i} " for i in range(5)]
    async with ChatServer(answer(words, gap=0.001)) as server:

        async def one():
            response = await post(client, server.base_url)
            data = b"".join(s.data for s in await read(response))
            await response.aclose()
            return data.count(b"data: ")

        assert await asyncio.gather(*(one() for _ in range(200))) == [5 + 4] * 200


# --- proxies


class Proxy:
    """A proxy that takes every name to one port: forwarding for http, tunnelling for https."""

    def __init__(self, port):
        self._port = port
        self.asked = []

    async def __aenter__(self):
        self._tasks = set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_exc):
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)

    @property
    def url(self):
        return f"http://user:secret@127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader, writer):
        self._tasks.add(asyncio.current_task())
        head = await reader.readuntil(b"\r\n\r\n")
        self.asked.append(head)
        upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", self._port)
        if head.startswith(b"CONNECT"):
            writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        else:
            upstream_writer.write(head)

        async def pump(source, sink):
            while data := await source.read(1 << 16):
                sink.write(data)
            sink.close()

        try:
            await asyncio.gather(pump(reader, upstream_writer), pump(upstream_reader, writer))
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            upstream_writer.close()


async def test_http_through_a_proxy_of_the_environment(client, monkeypatch):
    async with ChatServer(Reply([b"ab"])) as server, Proxy(server.port) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("http_proxy", proxy.url)
        response = await post(client, "http://provider.test/v1")
        segments = await read(response)
        await response.aclose()
    assert segments[0].data == b"ab"
    assert proxy.asked[0].startswith(b"POST http://provider.test/v1/chat/completions ")
    assert b"Proxy-Authorization: Basic" in proxy.asked[0]


async def test_https_through_a_proxy_of_the_environment(server_tls, client_tls, monkeypatch):
    async with (
        ChatServer(Reply([b"ab"]), tls=server_tls) as server,
        Proxy(server.port) as proxy,
        httpx2.AsyncClient(transport=TimedTransport(ssl_context=client_tls)) as client,
    ):
        monkeypatch.setenv("https_proxy", proxy.url)
        response = await post(client, "https://provider.test/v1")
        body = response.extensions["timed_body"]
        assert {"tcp", "tls"} <= set(body.connect_ns)
        assert (await read(response))[0].data == b"ab"
        await response.aclose()
    assert proxy.asked[0].startswith(b"CONNECT provider.test:443 ")


def test_which_proxy(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    assert proxy_for(httpx2.URL("http://provider.test")) == ""
    monkeypatch.setenv("http_proxy", "proxy.test:3128")
    monkeypatch.setenv("all_proxy", "socks5://proxy.test:1080")
    monkeypatch.setenv("no_proxy", "inside.test")
    assert proxy_for(httpx2.URL("http://provider.test")) == "http://proxy.test:3128"
    assert proxy_for(httpx2.URL("https://provider.test")) == "socks5://proxy.test:1080"
    assert proxy_for(httpx2.URL("http://a.inside.test")) == ""
    assert proxy_for(httpx2.URL("http://127.0.0.1:8000")) == ""
    assert proxy_for(httpx2.URL("http://localhost:8000")) == ""
