"""From a backend's events to a connection's frames: one task a response, cancellable at any moment."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Iterator
from contextlib import aclosing
from typing import NamedTuple

from chatapp.backends.base import Backend
from chatapp.errors import BackendError, ChatappError, MissingKeyError, UnknownNameError
from chatapp.gateway.account import Account
from chatapp.gateway.metrics import Meter, NoMeter
from chatapp.gateway.outbox import Outbox, TextStream
from chatapp.gateway.pool import BackendPool
from chatapp.gateway.transcript import Transcript
from chatapp.protocol.responses import WireError
from chatapp.protocol.responses_requests import Cancel, Create, History, parse_client_event, stream_id_of
from chatapp.protocol.responses_server import ResponseEncoder
from chatapp.stream.events import Delta, Failed, Finished, Notice, Request, Sent

MOST_AT_ONCE = 16
"""Responses in flight on one connection."""

MOST_ERRORS = 10
"""Messages in a row that are `NONSENSE`, after which a client is not talking to us."""

NONSENSE = frozenset({"bad_message", "invalid_json", "unknown_type"})

YIELD_EVERY = 64
"""Deltas after which a response lets others have their turn."""

_log = logging.getLogger(__name__)


class Talk:
    """One connection's conversation: its responses in flight and what they may continue."""

    def __init__(self, pool: BackendPool, outbox: Outbox, account: Account, meter: Meter) -> None:
        self._pool = pool
        self._account = account
        self._meter = meter
        self.outbox = outbox
        self.draining = False
        """Whether new answers are refused: the gateway is about to stop."""
        self._history = History()
        self._running: dict[str, _Running] = {}
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
            self._meter.refused(exc.code)
            self._errors += exc.code in NONSENSE
            self.outbox.put([exc.to_frame(stream_id_of(data))])
            return self._errors < MOST_ERRORS
        self._errors = 0
        return True

    def _create(self, create: Create) -> None:
        if self.draining:
            raise WireError("draining", "the gateway is about to stop: open another connection", status=503)
        if len(self._running) >= MOST_AT_ONCE:
            raise WireError("busy", f"{MOST_AT_ONCE} responses are in flight on this connection", status=429)
        if any(other.create.stream_id == create.stream_id for other in self._running.values()):
            where = f"stream {create.stream_id!r}" if create.stream_id is not None else "this connection"
            raise WireError(
                "conflict", f"a response is in flight on {where}; another stream_id runs beside it", status=409
            )
        request = self._history.request(create)
        self._account.begin(create.model, time.monotonic())
        response_id = f"resp_{secrets.token_hex(12)}"
        running = _Running(create, asyncio.create_task(self._run(response_id, create, request)))
        self._running[response_id] = running

    async def _run(self, response_id: str, create: Create, request: Request) -> None:
        response: Response | None = None
        try:
            backend = await self._open(create.model)
            response = Response(response_id, create, request, backend, self.outbox)
            await response.run()
        except WireError as exc:
            self._meter.refused(exc.code)
            self.outbox.put([exc.to_frame(create.stream_id)])
        else:
            if response.transcript.is_whole:
                self._history.remember(response_id, request, response.transcript.text)
        finally:  # before anything else is waited for: the client may ask again on the same stream at once
            self._account.streams -= 1
            del self._running[response_id]
        if response is not None and not isinstance(self._meter, NoMeter):
            await asyncio.to_thread(self._report, response)

    def _report(self, response: Response) -> None:
        self._meter.ended(response.name, response.transcript.settle())

    async def _open(self, name: str) -> Backend:
        try:
            return await self._pool.open(name)
        except UnknownNameError as exc:
            raise WireError("model_not_found", _said(exc), status=404, param="model") from None
        except MissingKeyError as exc:
            raise WireError("missing_key", _said(exc), status=401, param="model") from None
        except ChatappError as exc:
            code = exc.code if isinstance(exc, BackendError) else "unavailable"
            raise WireError(code, _said(exc), status=400, param="model") from None
        except Exception as exc:
            _log.exception("backend %s cannot be opened", name)
            message = f"unexpected {type(exc).__name__}; the gateway's log says more"
            raise WireError("internal", message, status=500, param="model") from None

    def _cancel(self, cancel: Cancel) -> None:
        """Cancel what is meant; nothing in flight is no error, for a cancel may cross the end on its way."""
        for response_id, running in list(self._running.items()):
            by_id = cancel.response_id is None or cancel.response_id == response_id
            by_stream = cancel.stream_id is None or cancel.stream_id == running.create.stream_id
            if by_id and by_stream:
                running.task.cancel()

    async def close(self) -> None:
        """Cancel everything; the upstreams are closed when this returns."""
        tasks = [running.task for running in self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Running(NamedTuple):
    create: Create
    task: asyncio.Task[None]


class Response:
    """One response in flight.

    Args:
        response_id: of it.
        create: as the client asked.
        request: the whole conversation that this stands for.
        backend: what answers.
        outbox: of the client's connection.
    """

    def __init__(self, response_id: str, create: Create, request: Request, backend: Backend, outbox: Outbox) -> None:
        self.name = backend.info.name
        self.transcript = Transcript(backend.info)
        self._request = request
        self._backend = backend
        self._outbox = outbox
        self._encoder = ResponseEncoder(response_id, create, backend.info, created_at=time.time())
        self._text = TextStream(self._encoder)

    async def run(self) -> None:
        """Relay to the end. A cancelled relay ends its response as cancelled, without the text that still waited."""
        self._outbox.put([self._encoder.created()])
        transcript = self.transcript
        figures: dict[str, str] = {}
        cancelled = False
        try:
            await self._relay()
            # In a thread, so that no other stream waits for what is counted.
            figures = await asyncio.to_thread(final_metadata, transcript)
        except asyncio.CancelledError:
            cancelled = transcript.end is None
            transcript.note(Finished(time.monotonic_ns(), "cancelled"))
        except Exception as exc:  # a backend's bug: the client gets an end, the log gets the traceback
            _log.exception("backend %s broke its interface", self._backend.info.name)
            message = f"unexpected {type(exc).__name__}; the gateway's log says more"
            transcript.note(Failed(time.monotonic_ns(), "internal", message))
        self._finish(figures, drop_text=cancelled)

    async def _relay(self) -> None:
        """Pass events on until the answer has ended; the upstream is closed when this returns."""
        outbox, transcript, text = self._outbox, self.transcript, self._text
        count = 0
        async with aclosing(self._backend.stream(self._request)) as events:
            async for event in events:
                if isinstance(event, Delta):
                    transcript.add(event)
                    outbox.put_text(text, event)
                    count += 1
                    if outbox.full:
                        await outbox.space()
                    elif count % YIELD_EVERY == 0:  # a flood that always has a next event would starve all others
                        await asyncio.sleep(0)
                    continue
                transcript.note(event)
                if isinstance(event, Sent):
                    outbox.put(self._encoder.sent(event))
                elif isinstance(event, Notice):
                    outbox.put([self._encoder.notice(event)])
                elif isinstance(event, (Finished, Failed)):
                    return
        transcript.note(Failed(time.monotonic_ns(), "truncated", "the backend ended without an end", retryable=True))

    def _finish(self, figures: dict[str, str], *, drop_text: bool) -> None:
        encoder, end = self._encoder, self.transcript.end
        usage, timing = self.transcript.usage, self.transcript.server_timing
        assert end is not None
        if isinstance(end, Failed):
            _log.info("response failed: %s: %s: %s", self._backend.info.name, end.code, end.message)

        def tail() -> Iterator[bytes]:
            if isinstance(end, Failed):
                return encoder.failed(end, usage)
            return encoder.finished(end, usage, timing, figures)

        self._outbox.finish(self._text, tail, drop_text=drop_text)
        if self._text.runs:  # a slow reader: the end is known now, its text takes its time
            self._outbox.put([encoder.ending("failed" if isinstance(end, Failed) else end.reason)])


def final_metadata(transcript: Transcript) -> dict[str, str]:
    """Return the final figures as metadata strings, for clients that do not read arrivals."""
    figures = transcript.settle().final()
    names = ("ttft_ms", "ttfa_ms", "output_speed_tps", "tpot_ms", "icl_ms", "e2e_ms", "characters_per_s", "common_tps")
    found = {name: f"{value:.3f}" for name in names if (value := getattr(figures, name)) is not None}
    found |= {"token_count_source": figures.token_count_source, "arrival_source": figures.arrival_source}
    return {**found, "simulated": "true" if figures.simulated else "false"}


def _said(error: ChatappError) -> str:
    return f"{error.message} ({error.hint})" if error.hint else error.message
