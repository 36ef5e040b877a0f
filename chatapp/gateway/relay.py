"""From a backend's events to a connection's frames: one task a response, cancellable at any moment."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import aclosing
from typing import NamedTuple

from chatapp.backends.base import Backend, Remote
from chatapp.errors import BackendError, ChatappError, MissingKeyError, UnknownNameError, UsageError
from chatapp.gateway.account import Account
from chatapp.gateway.fallback import Fallback, Rescue, Substitution
from chatapp.gateway.meter import NO_TRACE, Ended, Meter
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

_UNBEGUN = WireError("cancelled", "cancelled before the answer began", status=499)
_log = logging.getLogger(__name__)


class Talk:
    """One connection's conversation: its responses in flight and what they may continue."""

    def __init__(
        self,
        pool: BackendPool,
        outbox: Outbox,
        account: Account,
        meter: Meter,
        fallback: Fallback | None = None,
        trace: Mapping[str, str] = NO_TRACE,
    ) -> None:
        self._pool = pool
        self._trace = trace
        self._fallback = fallback
        self._account = account
        self._meter = meter
        self.outbox = outbox
        self.draining = False
        """Whether new answers are refused: the gateway is about to stop."""
        self._history = History()
        self._running: dict[str, _Running] = {}
        self._reporting: list[asyncio.Task[None]] = []
        """Responses that have ended and are being counted: few, and an empty list costs a quarter of an empty set."""
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
        task = asyncio.create_task(self._run(response_id, create, request))
        self._running[response_id] = _Running(create, task)
        task.add_done_callback(lambda _task: self._release(response_id, unbegun=True))

    async def _run(self, response_id: str, create: Create, request: Request) -> None:
        response: Response | None = None
        conversation = self._history.conversation(create, response_id)
        fallback = self._fallback
        # A text that is to be told again at one system's pace is no question to another.
        if fallback is not None and (request.retell is not None or not self._account.grant.allows(fallback.name)):
            fallback = None
        rescue = Rescue(create.model, fallback)
        try:
            backend = await self._open(create.model, rescue)
            response = Response(response_id, create, request, backend, self.outbox, rescue)
            await response.run()
        except WireError as exc:
            self._meter.refused(exc.code)
            self.outbox.put([exc.to_frame(create.stream_id)])
        except asyncio.CancelledError:  # while its backend was being opened: a begun response ends by itself
            self.outbox.put([_UNBEGUN.to_frame(create.stream_id)])
            raise
        else:
            if response.transcript.is_whole:
                self._history.remember(response_id, request, response.transcript.text, conversation=conversation)
        finally:  # before anything else is waited for: the client may ask again on the same stream at once
            self._release(response_id)
        task = asyncio.current_task()
        if response is not None and task is not None and self._meter.reads_answers:
            self._reporting.append(task)
            task.add_done_callback(self._reporting.remove)
            await asyncio.to_thread(self._report, response, conversation)

    def _release(self, response_id: str, *, unbegun: bool = False) -> None:
        """Give a response's place back, once. One cancelled before its task's first step has only this to end it."""
        running = self._running.pop(response_id, None)
        if running is not None:
            self._account.streams -= 1
            if unbegun:
                self.outbox.put([_UNBEGUN.to_frame(running.create.stream_id)])

    def _report(self, response: Response, conversation: str) -> None:
        self._meter.ended(response.ended(conversation, self._trace))

    async def _open(self, name: str, rescue: Rescue) -> Backend:
        """Return what answers: the backend of a name, or where that cannot be had the fallback."""
        try:
            return await self._pool.open(name)
        except Exception as exc:
            error = refusal(name, exc)
        backend = await rescue.stand_in(error.code, error.message) if rescue.helps(error.code) else None
        if backend is None:
            raise error
        return backend

    def _cancel(self, cancel: Cancel) -> None:
        """Cancel what is meant; nothing in flight is no error, for a cancel may cross the end on its way."""
        for response_id, running in list(self._running.items()):
            by_id = cancel.response_id is None or cancel.response_id == response_id
            by_stream = cancel.stream_id is None or cancel.stream_id == running.create.stream_id
            if by_id and by_stream:
                running.task.cancel()

    async def close(self) -> None:
        """Cancel everything; when this returns the upstreams are closed, and what has ended is counted."""
        tasks = [running.task for running in self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, *self._reporting, return_exceptions=True)


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
        rescue: who answers instead where the backend fails before its first token, or does so already.
    """

    def __init__(
        self, response_id: str, create: Create, request: Request, backend: Backend, outbox: Outbox, rescue: Rescue
    ) -> None:
        self.name = backend.info.name
        self.transcript = Transcript(backend.info)
        self._begun_ns = time.monotonic_ns()
        self._id = response_id
        self._request = request
        self._backend = backend
        self._outbox = outbox
        self._rescue = rescue
        self._encoder = ResponseEncoder(response_id, create, backend.info, created_at=time.time())
        self._text = TextStream(self._encoder)
        self._announced = False

    async def run(self) -> None:
        """Relay to the end. A cancelled relay ends its response as cancelled, without the text that still waited."""
        self._outbox.put([self._encoder.created()])
        if self._rescue.substitution is not None:
            self._tell(self._rescue.substitution)
        figures: dict[str, str] = {}
        cancelled = False
        try:
            failure = await self._relay()
            if failure is not None:
                await self._fall_back(failure)
            self._announce()
            # In a thread, so that no other stream waits for what is counted.
            figures = await asyncio.to_thread(final_metadata, self.transcript)
        except asyncio.CancelledError:
            cancelled = self.transcript.end is None
            self.transcript.note(Finished(time.monotonic_ns(), "cancelled"))
        except Exception as exc:  # a backend's bug: the client gets an end, the log gets the traceback
            _log.exception("backend %s broke its interface", self.name)
            message = f"unexpected {type(exc).__name__}; the gateway's log says more"
            self.transcript.note(Failed(time.monotonic_ns(), "internal", message))
        self._finish(figures, drop_text=cancelled)

    def ended(self, conversation: str, trace: Mapping[str, str]) -> Ended:
        """Return what meters are told, everything counted: milliseconds for a long answer."""
        substitution, backend = self._rescue.substitution, self._backend
        return Ended(
            self._id,
            conversation,
            self._request,
            self.transcript.settle(),
            self._begun_ns,
            address=backend.address if isinstance(backend, Remote) else None,
            asked=substitution.asked if substitution is not None else "",
            asked_code=substitution.code if substitution is not None else "",
            trace=trace,
        )

    async def _relay(self) -> Failed | None:
        """Pass events on until the answer has ended; the upstream is closed when this returns.

        Returns:
            The failure that the fallback may mend: nothing was told of this answer yet.
        """
        outbox, transcript, text = self._outbox, self.transcript, self._text
        end: Failed | None = None
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
                if isinstance(event, Failed):
                    end = event
                    break
                transcript.note(event)
                if isinstance(event, Sent):
                    outbox.put(self._encoder.sent(event))
                elif isinstance(event, Notice):
                    outbox.put([self._encoder.notice(event)])
                elif isinstance(event, Finished):
                    return None
        end = end or Failed(time.monotonic_ns(), "truncated", "the backend ended without an end", retryable=True)
        if not count and self._rescue.helps(end.code):
            return end
        transcript.note(end)
        return None

    async def _fall_back(self, failure: Failed) -> None:
        """Have the fallback answer; where it cannot be had, the failure is the answer's end."""
        backend = await self._rescue.stand_in(failure.code, failure.message)
        if backend is None or self._rescue.substitution is None:
            self.transcript.note(failure)
            return
        self._backend, self.name = backend, backend.info.name
        self.transcript = Transcript(backend.info)
        self._tell(self._rescue.substitution)
        await self._relay()

    def _tell(self, substitution: Substitution) -> None:
        notice = substitution.notice
        self.transcript.note(notice)
        self._outbox.put([self._encoder.replaced(substitution.answers, notice)])

    def _finish(self, figures: dict[str, str], *, drop_text: bool) -> None:
        encoder, end = self._encoder, self.transcript.end
        usage, timing = self.transcript.usage, self.transcript.server_timing
        assert end is not None
        if self._rescue.substitution is not None:
            end = self._rescue.substitution.marked(end)
        if isinstance(end, Failed):
            _log.info("response failed: %s: %s: %s", self.name, end.code, end.message)

        def tail() -> Iterator[bytes]:
            if isinstance(end, Failed):
                return encoder.failed(end, usage)
            return encoder.finished(end, usage, timing, figures)

        if not drop_text:
            self._announce()
        self._outbox.finish(self._text, tail, drop_text=drop_text)

    def _announce(self) -> None:
        """Tell a slow reader, once, that the end is known: before more of its text, which takes its time."""
        end = self.transcript.end
        if end is not None and not self._announced and self._outbox.behind(self._text):
            self._announced = True
            self._outbox.put([self._encoder.ending("failed" if isinstance(end, Failed) else end.reason)])


def final_metadata(transcript: Transcript) -> dict[str, str]:
    """Return the final figures as metadata strings, for clients that do not read arrivals."""
    figures = transcript.settle().final()
    names = ("ttft_ms", "ttfa_ms", "output_speed_tps", "tpot_ms", "icl_ms", "e2e_ms", "characters_per_s", "common_tps")
    found = {name: f"{value:.3f}" for name in names if (value := getattr(figures, name)) is not None}
    found |= {"token_count_source": figures.token_count_source, "arrival_source": figures.arrival_source}
    return {**found, "simulated": "true" if figures.simulated else "false"}


def refusal(name: str, exc: Exception) -> WireError:
    """Return what a client is told of a backend that cannot be opened."""
    if not isinstance(exc, ChatappError):
        _log.error("backend %s cannot be opened", name, exc_info=exc)
        message = f"unexpected {type(exc).__name__}; the gateway's log says more"
        return WireError("internal", message, status=500, param="model")
    if isinstance(exc, UnknownNameError):
        code, status = "model_not_found", 404
    elif isinstance(exc, MissingKeyError):
        code, status = "missing_key", 401
    elif isinstance(exc, BackendError):
        code, status = exc.code, 400
    else:
        code, status = "bad_request" if isinstance(exc, UsageError) else "unavailable", 400
    return WireError(code, exc.message, hint=exc.hint, status=status, param="model")
