"""From a backend's events to a connection's frames: one task a response, cancellable at any moment."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from contextlib import aclosing

from chatapp.backends.base import Backend
from chatapp.errors import BackendError, ChatappError, MissingKeyError, UnknownNameError
from chatapp.gateway.outbox import Outbox, TextStream
from chatapp.gateway.pool import BackendPool
from chatapp.protocol.responses import WireError
from chatapp.protocol.responses_requests import Cancel, Create, History, parse_client_event, stream_id_of
from chatapp.protocol.responses_server import ResponseEncoder
from chatapp.stream.answer import Answer
from chatapp.stream.events import Delta, Event, Failed, Finished, Notice, Request, Sent

MOST_AT_ONCE = 16
"""Responses in flight on one connection."""

MOST_ERRORS = 10
"""Refused messages in a row after which a client is not talking to us."""

_log = logging.getLogger(__name__)


class Talk:
    """One connection's conversation: its responses in flight and what they may continue."""

    def __init__(self, pool: BackendPool, outbox: Outbox) -> None:
        self._pool = pool
        self._outbox = outbox
        self._history = History()
        self._running: dict[str, _Response] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._errors = 0

    @property
    def in_flight(self) -> int:
        """Responses that have not ended."""
        return len(self._running)

    def receive(self, data: bytes | str) -> bool:
        """Take a client's frame; False where the connection should be closed for sending nonsense."""
        try:
            if isinstance(data, bytes):
                raise WireError("bad_message", "binary frames are not part of this protocol: send text")
            event = parse_client_event(data)
            if isinstance(event, Cancel):
                self._cancel(event)
            else:
                self._create(event)
        except WireError as exc:
            self._errors += 1
            self._outbox.put([exc.to_frame(stream_id_of(data))])
            return self._errors < MOST_ERRORS
        self._errors = 0
        return True

    def _create(self, create: Create) -> None:
        if len(self._running) >= MOST_AT_ONCE:
            raise WireError("busy", f"{MOST_AT_ONCE} responses are in flight on this connection", status=429)
        if any(other.create.stream_id == create.stream_id for other in self._running.values()):
            where = f"stream {create.stream_id!r}" if create.stream_id is not None else "this connection"
            raise WireError(
                "conflict", f"a response is in flight on {where}; another stream_id runs beside it", status=409
            )
        request = self._history.request(create)
        try:
            backend = self._pool.get(create.model)
        except UnknownNameError as exc:
            raise WireError("model_not_found", _said(exc), status=404, param="model") from None
        except MissingKeyError as exc:
            raise WireError("missing_key", _said(exc), status=401, param="model") from None
        except ChatappError as exc:
            code = exc.code if isinstance(exc, BackendError) else "unavailable"
            raise WireError(code, _said(exc), status=400, param="model") from None
        response = _Response(create, request, backend, self._outbox)
        self._running[response.id] = response
        task = asyncio.create_task(self._run(response))
        response.task = task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, response: _Response) -> None:
        try:
            await response.run()
        finally:
            del self._running[response.id]
            if response.answer.outcome in ("done", "length"):
                self._history.remember(response.id, response.request, response.answer.text)

    def _cancel(self, cancel: Cancel) -> None:
        """Cancel what is meant; nothing in flight is no error, for a cancel may cross the end on its way."""
        for response in list(self._running.values()):
            by_id = cancel.response_id is None or cancel.response_id == response.id
            by_stream = cancel.stream_id is None or cancel.stream_id == response.create.stream_id
            if by_id and by_stream and response.task is not None:
                response.task.cancel()

    async def close(self) -> None:
        """Cancel everything; the upstreams are closed when this returns."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class _Response:
    """One response in flight."""

    def __init__(self, create: Create, request: Request, backend: Backend, outbox: Outbox) -> None:
        self.id = f"resp_{secrets.token_hex(12)}"
        self.create = create
        self.request = request
        self.task: asyncio.Task[None] | None = None
        self._backend = backend
        self._outbox = outbox
        self.answer = Answer(backend.info)
        self._encoder = ResponseEncoder(self.id, create, backend.info, created_at=time.time())
        self._text = TextStream(self._encoder)

    async def run(self) -> None:
        """Relay to the end. A cancelled relay ends its response as cancelled; what has come is kept and sent."""
        outbox = self._outbox
        outbox.put([self._encoder.created()])
        try:
            async with aclosing(self._backend.stream(self.request)) as events:
                async for event in events:
                    self.answer.feed(event)
                    if isinstance(event, Delta):
                        outbox.put_text(self._text, event)
                        if outbox.held:
                            await outbox.room()
                    else:
                        self._take(event)
        except asyncio.CancelledError:
            self._end(Finished(time.monotonic_ns(), "cancelled"))
        except Exception as exc:  # a backend's bug: the client gets an end, the log gets the traceback
            _log.exception("backend %s broke its interface", self._backend.info.name)
            self._end(
                Failed(time.monotonic_ns(), "internal", f"unexpected {type(exc).__name__}; the gateway's log says more")
            )
        else:
            self._end(Failed(time.monotonic_ns(), "truncated", "the backend ended without an end", retryable=True))

    def _take(self, event: Event) -> None:
        if isinstance(event, Sent):
            self._outbox.put(self._encoder.sent(event))
        elif isinstance(event, Notice):
            self._outbox.put([self._encoder.notice(event)])
        elif isinstance(event, (Finished, Failed)):
            self._finish(event)

    def _end(self, event: Finished | Failed) -> None:
        """End a response that has not been ended by its backend."""
        if self.answer.outcome is None:
            self.answer.feed(event)
            self._finish(event)

    def _finish(self, event: Finished | Failed) -> None:
        answer = self.answer
        if isinstance(event, Failed):
            _log.info("response failed: %s: %s: %s", self._backend.info.name, event.code, event.message)
            self._outbox.finish(self._text, self._encoder.failed(event, answer.usage))
        else:
            frames = self._encoder.finished(event, answer.usage, answer.server_timing, final_metadata(answer))
            self._outbox.finish(self._text, frames)


def final_metadata(answer: Answer) -> dict[str, str]:
    """Return the final figures as metadata strings, for clients that do not read arrivals."""
    figures = answer.final()
    names = ("ttft_ms", "ttfa_ms", "output_speed_tps", "tpot_ms", "icl_ms", "e2e_ms", "characters_per_s", "common_tps")
    found = {name: f"{value:.3f}" for name in names if (value := getattr(figures, name)) is not None}
    found |= {"token_count_source": figures.token_count_source, "arrival_source": figures.arrival_source}
    return {**found, "simulated": "true" if figures.simulated else "false"}


def _said(error: ChatappError) -> str:
    return f"{error.message} ({error.hint})" if error.hint else error.message
