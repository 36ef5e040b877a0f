"""One HTTP response, read to its end: stamped bytes in, the events of an answer out."""

from __future__ import annotations

import asyncio
import hashlib
import time
import zlib
from collections.abc import AsyncGenerator

import httpx2

from chatapp.backends.arrival_clock import Segment
from chatapp.backends.patience import Patience
from chatapp.backends.transport import TimedBody
from chatapp.clock import NS_PER_S
from chatapp.protocol.dialects import ChatDecoder, is_failure
from chatapp.protocol.failures import failed, failure_from_body, page_text, says_error
from chatapp.protocol.sse import SseDecoder, SseOverflowError
from chatapp.redaction import REDACTOR
from chatapp.stream.events import Event, Failed, Finished, FinishReason, Notice, Sent

AFTER_FINISH_S = 2.0
"""How long usage may follow a finish_reason before the answer counts as ended without [DONE]."""
AFTER_DONE_S = 0.02
"""How long the end of the body may follow [DONE] before the connection is closed instead of kept."""
MAX_SURPLUS = 64 << 10
"""Bytes after [DONE] that are read past before the connection is given up."""
TURN_NS = 1_000_000
"""Decoding that never waits gives way to the event loop this often, so that one flood does not starve the others."""
_SHOWN_BYTES = 4096  # of a body that is no stream: enough for 200 characters of text under the markup


async def read_answer(
    response: httpx2.Response, *, patience: Patience, dialect: str = "", where: str = ""
) -> AsyncGenerator[Event, None]:
    """Yield the events of a response whose head has come with status 200.

    Args:
        response: its body unread; from a client over `TimedTransport`.
        patience: limits between texts.
        dialect: for `ChatDecoder`.
        where: who is asked, for messages.
    """
    body = _timed_body(response)
    provenance = _provenance(response)
    yield Sent(
        at_ns=body.sent_ns or time.monotonic_ns(),
        source=body.source,
        connect_ns=body.connect_ns,
        reused=body.reused,
        request_id=provenance.get("request_id", ""),
    )
    encoding = response.headers.get("content-encoding", "identity").lower()
    if encoding not in ("identity", "", "gzip", "deflate"):
        message = f"{where}: the stream is compressed by {encoding!r}, which was not asked for"
        yield failed("bad_stream", message, at_ns=time.monotonic_ns())
        return
    content_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    reader = _Reader(body, patience, where, inflate=encoding in ("gzip", "deflate"))
    if content_type in ("application/json", "text/html"):
        ending = reader.read_document(ChatDecoder(dialect))
    else:
        ending = reader.read_stream(ChatDecoder(dialect))
    async for event in ending:
        if isinstance(event, Finished):
            event = Finished(event.at_ns, event.reason, {**provenance, **event.provenance})  # noqa: PLW2901
        yield event


class _Reader:
    """The reading of one body, as a stream of events or as one document."""

    def __init__(self, body: TimedBody, patience: Patience, where: str, *, inflate: bool) -> None:
        self._body = body
        self._patience = patience
        self._where = where
        self._inflater = zlib.decompressobj(47) if inflate else None  # 47: gzip or zlib, told apart by the header
        self._start = b""  # the body's beginning, to be quoted where it is no stream
        self._last_text_ns = 0

    async def read_stream(self, chat: ChatDecoder) -> AsyncGenerator[Event, None]:
        sse = SseDecoder()
        source_warned = False
        began_ns = time.monotonic_ns()
        busy_ns = 0  # spent decoding since the event loop last had its turn from here
        seen = 0
        while True:
            try:
                segment = await self._next(chat, began_ns)
                busy_ns -= time.monotonic_ns()
                if segment is None:
                    async for event in self._end_without_done(chat, seen):
                        yield event
                    return
                sse_events = sse.feed(segment.data)
            except (httpx2.HTTPError, SseOverflowError, zlib.error) as exc:
                for event in self._broken_off(chat, exc):
                    yield event
                return
            if segment.source != self._body.source and not source_warned:
                source_warned = True
                yield Notice("warning", "some arrival times of this answer come from the process, not the kernel")
            for sse_event in sse_events:
                seen += 1
                events = chat.decode(sse_event.data, segment.at_ns, segment.uncertainty_ns, event_type=sse_event.type)
                if events:
                    self._last_text_ns = segment.at_ns
                for event in events:
                    yield event
                if is_failure(events):
                    return
                if chat.done:
                    await self._let_go()
                    for event in self._finish(chat, segment.at_ns, chat.finish_reason or "stop"):
                        yield event
                    return
            busy_ns += time.monotonic_ns()
            if busy_ns > TURN_NS:
                await asyncio.sleep(0)
                busy_ns = 0

    async def _next(self, chat: ChatDecoder, began_ns: int) -> Segment | None:
        now_ns = time.monotonic_ns()
        if chat.finish_reason is not None:
            left_s = AFTER_FINISH_S
        elif chat.deltas:
            # Comments and empty chunks keep a connection alive, not an answer.
            left_s = self._patience.idle_s - (now_ns - self._last_text_ns) / NS_PER_S
        else:
            left_s = self._patience.first_s - (now_ns - (self._body.sent_ns or began_ns)) / NS_PER_S
        segment = await self._body.receive(max(0.0, left_s))
        if segment is None:
            return None
        if self._inflater is not None:
            segment = segment._replace(data=self._inflater.decompress(segment.data))
        if len(self._start) < _SHOWN_BYTES:
            self._start += segment.data[: _SHOWN_BYTES - len(self._start)]
        return segment

    def _broken_off(self, chat: ChatDecoder, exc: Exception) -> list[Event]:
        """Return the events of a stream that did not end by itself."""
        now_ns = time.monotonic_ns()
        if chat.finish_reason is not None:
            return self._finish(chat, now_ns, chat.finish_reason)
        if isinstance(exc, httpx2.TimeoutException):
            if chat.deltas:
                message = f"{self._where}: nothing more came for {self._patience.idle_s:g} s"
                return [*chat.close(), failed("stalled", message, at_ns=now_ns)]
            message = f"{self._where}: no text within {self._patience.first_s:g} s"
            return [failed("timeout", message, at_ns=now_ns)]
        if isinstance(exc, (SseOverflowError, zlib.error)):
            return [*chat.close(), failed("bad_stream", f"{self._where}: {exc}", at_ns=now_ns)]
        if chat.deltas:
            return [Notice("warning", f"{self._where}: {exc}"), *self._finish(chat, now_ns, "truncated")]
        message = f"{self._where}: the connection broke before any text: {exc}"
        return [failed("truncated", message, at_ns=now_ns, retryable=True)]

    async def _end_without_done(self, chat: ChatDecoder, seen: int) -> AsyncGenerator[Event, None]:
        now_ns = time.monotonic_ns()
        if chat.finish_reason is not None or chat.deltas:
            for event in self._finish(chat, now_ns, chat.finish_reason or "truncated"):
                yield event
        elif not seen:
            yield self._not_a_stream(self._start, now_ns)
        else:
            message = f"{self._where}: the stream ended before any text"
            yield failed("truncated", message, at_ns=now_ns, retryable=True)

    async def read_document(self, chat: ChatDecoder) -> AsyncGenerator[Event, None]:
        """A server that does not stream: an error page, an error object, or the whole answer in one piece."""
        parts: list[bytes] = []
        held = 0
        began_ns = at_ns = time.monotonic_ns()
        try:
            while (segment := await self._next(chat, began_ns)) is not None and held < 16 << 20:
                parts.append(segment.data)
                held += len(segment.data)
                at_ns = segment.at_ns
        except (httpx2.HTTPError, zlib.error) as exc:
            for event in self._broken_off(chat, exc):
                yield event
            return
        document = b"".join(parts)
        events = chat.decode(document, at_ns)
        if chat.bad_chunks or (not events and chat.finish_reason is None):
            yield self._not_a_stream(document, at_ns)
            return
        for event in events:
            yield event
        if not is_failure(events):
            yield Notice("warning", f"{self._where} does not stream: the answer came in one piece, without a speed")
            for event in self._finish(chat, at_ns, chat.finish_reason or "stop"):
                yield event

    def _not_a_stream(self, body: bytes, at_ns: int) -> Failed:
        if says_error(body):
            return failure_from_body(body, at_ns=at_ns, where=self._where)
        said = page_text(body)
        what = f"it begins: {said}" if said else "it is empty"
        return failed("bad_stream", f"{self._where}: the response is no stream of an answer; {what}", at_ns=at_ns)

    def _finish(self, chat: ChatDecoder, at_ns: int, reason: FinishReason) -> list[Event]:
        return [*chat.close(), Finished(at_ns, reason, chat.provenance)]

    async def _let_go(self) -> None:
        """Read the end of the body, so that the connection can be used again; it comes with [DONE] or never."""
        surplus = 0
        try:
            while surplus < MAX_SURPLUS and (segment := await self._body.receive(AFTER_DONE_S)) is not None:
                surplus += len(segment.data)
        except httpx2.HTTPError:
            pass  # held open: whoever closes the response closes the connection


def _timed_body(response: httpx2.Response) -> TimedBody:
    body = response.extensions.get("timed_body")
    if isinstance(body, TimedBody):
        return body
    # Another transport, a test's: plain bytes under the process clock.
    assert isinstance(response.stream, httpx2.AsyncByteStream)
    return TimedBody(response.stream, None, chunked=False, limit=None)


_KEPT_HEADERS = {
    "x-request-id": "request_id",
    "request-id": "request_id",
    "date": "date",
    "server": "server",
    "via": "via",
    "cf-ray": "cf_ray",
    "openai-processing-ms": "openai_processing_ms",
}


def _provenance(response: httpx2.Response) -> dict[str, str]:
    """Return what an auditor needs of the response's head and connection."""
    kept = {ours: response.headers[name] for name, ours in _KEPT_HEADERS.items() if name in response.headers}
    kept |= {name: value for name, value in response.headers.items() if name.lower().startswith("x-ratelimit-")}
    network = response.extensions.get("network_stream")
    tls = network.get_extra_info("ssl_object") if network is not None else None
    certificate = tls.getpeercert(binary_form=True) if tls is not None else None
    if certificate:
        kept["tls_certificate_sha256"] = hashlib.sha256(certificate).hexdigest()
    return {name: REDACTOR.text(value)[:200] for name, value in kept.items()}
