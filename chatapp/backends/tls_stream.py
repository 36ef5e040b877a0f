"""TLS above a timed stream, by memory buffers, so that arrival stamps survive decryption."""

from __future__ import annotations

import asyncio
import ssl
import time
from typing import Any

import httpcore2

from chatapp.backends.arrival_clock import Segment
from chatapp.backends.timed_stream import READ_BYTES, TimedStream


class TlsStream(TimedStream):
    """Decrypts what a lower stream receives: plain text bears the stamp of the read that completed its record.

    Args:
        lower: a connected stream; closed with this one.
        context: as httpcore2 configured it.
        server_hostname: checked against the certificate.
    """

    def __init__(self, lower: TimedStream, context: ssl.SSLContext, server_hostname: str | None) -> None:
        super().__init__()
        self._lower = lower
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_hostname)
        self._fed = Segment(b"", time.monotonic_ns())  # the lower segment decrypted last

    async def handshake(self, timeout: float | None) -> None:
        """Negotiate.

        Raises:
            httpcore2.ConnectError: the certificate or the protocol was refused; caused by the `ssl.SSLError`.
            httpcore2.ConnectTimeout: not done within `timeout` seconds.
        """
        started_ns = time.monotonic_ns()
        try:
            async with asyncio.timeout(timeout):
                await self._negotiate()
        except BaseException as exc:
            await self.aclose()
            if isinstance(exc, TimeoutError):
                raise httpcore2.ConnectTimeout(f"no TLS handshake within {timeout:g} s") from None
            if isinstance(exc, ssl.SSLError):
                raise httpcore2.ConnectError(str(exc)) from exc
            if isinstance(exc, (httpcore2.ReadError, httpcore2.WriteError)):
                cause = ssl.SSLError(f"the connection broke in the TLS handshake: {exc}")
                raise httpcore2.ConnectError(str(cause)) from cause
            raise
        self.connect_ns = {**self._lower.connect_ns, "tls": time.monotonic_ns() - started_ns}

    async def _negotiate(self) -> None:
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush(None)
                await self._feed(None)
                if self._incoming.eof:
                    raise ssl.SSLError("the server closed the connection in the TLS handshake") from None
            else:
                await self._flush(None)
                return

    async def _flush(self, timeout: float | None) -> None:
        if self._outgoing.pending:
            await self._lower._write(self._outgoing.read(), timeout)
            self.sent_ns = self._lower.sent_ns

    async def _feed(self, timeout: float | None) -> None:
        self._fed = await self._lower.receive(timeout)
        if self._fed.data:
            self._incoming.write(self._fed.data)
        else:
            self._incoming.write_eof()

    async def _receive(self, timeout: float | None) -> Segment:
        plain: list[bytes] = []
        while True:
            try:
                plain.append(self._tls.read(READ_BYTES))  # one record
                if plain[-1]:
                    continue
            except ssl.SSLWantReadError:
                if not plain:
                    await self._flush(timeout)  # a key update wants its answer
                    await self._feed(timeout)
                    continue
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                pass  # whether an end without close_notify is a cut is for HTTP's framing to say
            except ssl.SSLError as exc:
                raise httpcore2.ReadError(f"broken TLS: {exc}") from exc
            return self._fed._replace(data=b"".join(plain))

    async def _write(self, buffer: bytes, timeout: float | None) -> None:
        try:
            self._tls.write(buffer)
        except ssl.SSLError as exc:
            raise httpcore2.WriteError(f"broken TLS: {exc}") from exc
        await self._flush(timeout)

    def has_ended(self) -> bool:
        """Return whether the lower stream ended; undecrypted bytes on an idle connection are session tickets."""
        return self._lower.has_ended()

    async def aclose(self) -> None:
        """Close at once, without a farewell: who cancels must not wait for the peer."""
        await self._lower.aclose()

    def get_extra_info(self, info: str) -> Any:
        """Answer httpcore's questions."""
        if info == "ssl_object":
            return self._tls
        return super().get_extra_info(info) if info == "is_readable" else self._lower.get_extra_info(info)
