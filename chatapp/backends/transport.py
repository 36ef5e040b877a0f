"""The HTTP transport under the SDK: httpx2 above, timed streams below, and a body that keeps its arrival times.

`AsyncOpenAI(http_client=httpx2.AsyncClient(transport=TimedTransport()))` works as ever. Each response also carries, in
`extensions["timed_body"]`, the `TimedBody` that hands out its bytes with the stamp of the read that brought them.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
import urllib.request
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from typing import Any

import httpcore2
import httpx2

from chatapp.addresses import is_loopback
from chatapp.backends.arrival_clock import Segment
from chatapp.backends.dialing import TimedBackend
from chatapp.backends.timed_stream import TimedStream
from chatapp.protocol.chunked import ChunkedDecoder, ChunkedError
from chatapp.stream.events import ArrivalSource

KEEPALIVE_S = 55.0
"""Idle connections are kept this long: servers commonly close theirs after 60 s, and whoever closes first is safe."""
MAX_ERROR_BODY = 64 << 10
"""Bytes read of a response that is no success; its first 200 characters are quoted."""


class TimedTransport(httpx2.AsyncBaseTransport):
    """HTTP/1.1 over timed streams, direct or through the proxies that the environment names.

    Args:
        kernel_stamps: ask the kernel for arrival times where it has them.
        ssl_context: for servers with certificates of their own; the default verifies against the usual authorities.
        max_connections: at once; None: no bound.
    """

    def __init__(
        self,
        *,
        kernel_stamps: bool = True,
        ssl_context: ssl.SSLContext | None = None,
        max_connections: int | None = None,
    ) -> None:
        self._backend = TimedBackend(kernel_stamps=kernel_stamps)
        self._ssl_context = ssl_context
        self._max_connections = max_connections
        self._pools: dict[str, httpcore2.AsyncConnectionPool] = {}

    def _pool(self, proxy: str) -> httpcore2.AsyncConnectionPool:
        if proxy not in self._pools:
            if self._ssl_context is None:
                self._ssl_context = httpx2.create_ssl_context()
            settings = httpx2.Proxy(proxy) if proxy else None
            self._pools[proxy] = httpcore2.AsyncConnectionPool(
                ssl_context=self._ssl_context,
                proxy=None
                if settings is None
                else httpcore2.Proxy(
                    url=str(settings.url), auth=settings.raw_auth, headers=settings.headers.raw, ssl_context=None
                ),
                max_connections=self._max_connections,
                max_keepalive_connections=self._max_connections,
                keepalive_expiry=KEEPALIVE_S,
                http1=True,
                http2=False,
                network_backend=self._backend,
            )
        return self._pools[proxy]

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request and return its response, the body unread."""
        pool = self._pool(proxy_for(request.url))
        while True:
            opened = _Opened()
            try:
                with map_exceptions():
                    response = await pool.handle_async_request(_core_request(request, opened))
            except (httpx2.RemoteProtocolError, httpx2.ReadError):
                # A server closes an idle connection just as it is used again. Nothing of a response has come, so the
                # request is sent again at once, as browsers do; on a connection of its own there is no such excuse.
                if opened.connection:
                    raise
            else:
                break
        assert isinstance(response.stream, AsyncIterable)
        network = response.extensions.get("network_stream")
        headers = {name.lower(): value.lower() for name, value in response.headers}
        body = TimedBody(
            response.stream,
            network if isinstance(network, TimedStream) else None,
            chunked=headers.get(b"transfer-encoding") == b"chunked",
            limit=None if response.status < 300 else MAX_ERROR_BODY,
        )
        return httpx2.Response(
            status_code=response.status,
            headers=response.headers,
            stream=body,
            extensions={**response.extensions, "timed_body": body},
        )

    async def aclose(self) -> None:
        """Close all connections."""
        for pool in self._pools.values():
            await pool.aclose()
        self._pools.clear()


class _Opened:
    """Learns from httpcore's trace whether a request opened a connection."""

    connection = False

    async def trace(self, name: str, _info: dict[str, Any]) -> None:
        if name.startswith("connection.connect_tcp"):
            self.connection = True


def _core_request(request: httpx2.Request, opened: _Opened) -> httpcore2.Request:
    assert isinstance(request.stream, httpx2.AsyncByteStream)
    return httpcore2.Request(
        method=request.method,
        url=httpcore2.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=request.url.port,
            target=request.url.raw_path,
        ),
        headers=request.headers.raw,
        content=request.stream,
        extensions={**request.extensions, "trace": opened.trace},
    )


class TimedBody(httpx2.AsyncByteStream):
    """A response's body as stamped segments, and, for the HTTP library, as plain bytes.

    A chunked body is decoded here, straight from the network stream. Any other is passed through the HTTP library,
    which asks for a read only when it has used up the one before: what it returns arrived with that read.
    """

    def __init__(
        self,
        core: AsyncIterable[bytes],
        network: TimedStream | None,
        *,
        chunked: bool,
        limit: int | None,
    ) -> None:
        self._core = core
        self._iterator = core.__aiter__()
        self._network = network
        self._decoder = ChunkedDecoder() if chunked and network is not None and network.at_body else None
        self._left = limit
        self._ended = False
        self.sent_ns = network.sent_ns if network is not None else 0
        """`t_req` of the request; 0 where it is not known."""
        self.connect_ns = network.connect_ns if network is not None and network.exchanges == 1 else {}
        self.reused = network is not None and network.exchanges > 1
        self.source: ArrivalSource = network.last.source if network is not None else "process"
        """Who stamped the response's head."""

    async def receive(self, timeout: float | None = None) -> Segment | None:
        """Return the next bytes with their arrival, None at the regular end.

        Raises:
            httpx2.ReadTimeout: nothing came within `timeout` seconds.
            httpx2.ReadError, httpx2.RemoteProtocolError: the body broke off.
        """
        if self._ended:
            return None
        with map_exceptions():
            if self._decoder is not None:
                segment = await self._decode(self._decoder, timeout)
            else:
                segment = await self._pass_on(timeout)
        if segment is None:
            self._ended = True
        elif self._left is not None:
            segment = segment._replace(data=segment.data[: self._left])
            self._left -= len(segment.data)
            self._ended = self._left == 0
        return segment

    async def _pass_on(self, timeout: float | None) -> Segment | None:
        try:
            async with asyncio.timeout(timeout):
                data = await anext(self._iterator, None)
        except TimeoutError:
            raise httpcore2.ReadTimeout("nothing was received in time") from None
        if data is None:
            return None
        if self._network is None:
            return Segment(data, time.monotonic_ns())
        return self._network.last._replace(data=data)

    async def _decode(self, decoder: ChunkedDecoder, timeout: float | None) -> Segment | None:
        assert self._network is not None
        while decoder.rest is None:
            if decoder.fault is not None:
                raise httpcore2.RemoteProtocolError(str(decoder.fault))
            segment = await self._network.receive(timeout)
            if not segment.data:
                raise httpcore2.RemoteProtocolError("the connection was closed in the middle of the body")
            try:
                data = decoder.feed(segment.data)
            except ChunkedError as exc:
                raise httpcore2.RemoteProtocolError(str(exc)) from exc
            if decoder.rest is not None:
                # The HTTP library reads the last chunk itself: then it knows that the connection may be used again.
                self._network.unread(segment._replace(data=decoder.rest))
            if data:
                return segment._replace(data=data)
        async for _nothing in self._iterator:
            pass
        return None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the bytes without their times."""
        while (segment := await self.receive()) is not None:
            yield segment.data

    async def aclose(self) -> None:
        """Return the connection to the pool where the body was read to its end; else close it."""
        close = getattr(self._iterator, "aclose", None)
        if close is not None:
            await close()
        with map_exceptions():
            await self._core.aclose()  # type: ignore[attr-defined]


def proxy_for(url: httpx2.URL) -> str:
    """Return the proxy that HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY choose for a URL, or an empty string.

    This machine itself is never asked for through a proxy: what runs on it is exactly what a proxy cannot reach.
    """
    host = url.host
    if is_loopback(host):
        return ""
    proxies = urllib.request.getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all") or ""
    if not proxy or urllib.request.proxy_bypass(host):
        return ""
    return proxy if "://" in proxy else f"http://{proxy}"


_EXCEPTIONS: tuple[tuple[type[Exception], type[httpx2.TransportError]], ...] = (
    # the special before the general
    (httpcore2.ConnectTimeout, httpx2.ConnectTimeout),
    (httpcore2.ReadTimeout, httpx2.ReadTimeout),
    (httpcore2.WriteTimeout, httpx2.WriteTimeout),
    (httpcore2.PoolTimeout, httpx2.PoolTimeout),
    (httpcore2.ConnectError, httpx2.ConnectError),
    (httpcore2.ReadError, httpx2.ReadError),
    (httpcore2.WriteError, httpx2.WriteError),
    (httpcore2.ProxyError, httpx2.ProxyError),
    (httpcore2.UnsupportedProtocol, httpx2.UnsupportedProtocol),
    (httpcore2.LocalProtocolError, httpx2.LocalProtocolError),
    (httpcore2.RemoteProtocolError, httpx2.RemoteProtocolError),
)


@contextlib.contextmanager
def map_exceptions() -> Iterator[None]:
    """Turn httpcore's exceptions into httpx's, as httpx's own transport does; the cause is kept."""
    try:
        yield
    except Exception as exc:
        for source, target in _EXCEPTIONS:
            if isinstance(exc, source):
                raise target(str(exc)) from exc
        raise
