"""The client's side of the Responses wire: requests in, frames out; frames in, events out. Sans-I/O.

Reads our gateway's frames and those of any server that speaks the mode: without the extensions arrivals are stamped by
whoever feeds the frames.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from chatapp.protocol.responses import PROVENANCE, TIMING
from chatapp.stream.events import (
    Arrival,
    ArrivalSource,
    BackendInfo,
    Channel,
    Delta,
    Event,
    Failed,
    Finished,
    FinishReason,
    Message,
    Notice,
    Retell,
    Sent,
    ServerTiming,
    Usage,
)


class ResponseCreate(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of a backend over the wire."""

    model: str
    input: tuple[Message, ...]
    instructions: str | None = None
    previous_response_id: str | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    seed: int | None = None
    retell: Retell | None = None
    metadata: dict[str, str] = {}

    def to_frame(self, stream_id: str | None, *, compact: bool = False) -> bytes:
        """Return the `response.create` event; `compact` as a gateway of ours understands it."""
        event: dict[str, Any] = {
            "type": "response.create",
            "model": self.model,
            "input": [_item(message) for message in self.input],
            "store": False,
        }
        optional = ("instructions", "previous_response_id", "max_output_tokens", "temperature", "seed", "retell")
        event |= {name: value for name in optional if (value := getattr(self, name)) is not None}
        if self.metadata:
            event["metadata"] = self.metadata
        if stream_id is not None:
            event["stream_id"] = stream_id
        if compact:
            event["compact"] = True
        return msgspec.json.encode(event)


def _item(message: Message) -> dict[str, Any]:
    kind = "output_text" if message.role == "assistant" else "input_text"
    return {"type": "message", "role": message.role, "content": [{"type": kind, "text": message.content}]}


def cancel_frame(stream_id: str) -> bytes:
    """Return the `response.cancel` event of one stream."""
    return msgspec.json.encode({"type": "response.cancel", "stream_id": stream_id})


class _Sent(msgspec.Struct):
    at_us: int
    arrival_source: ArrivalSource = "process"
    connect_us: dict[str, int] = {}
    reused: bool = False
    request_id: str = ""


class _Details(msgspec.Struct):
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: _Details | None = None
    output_tokens_details: _Details | None = None


class _Error(msgspec.Struct):
    code: str | None = None
    message: str | None = None
    hint: str = ""
    status: int | None = None
    retryable: bool = False
    retry_after_s: float | None = None


class _Reason(msgspec.Struct):
    reason: str | None = None


class _Response(msgspec.Struct):
    id: str = ""
    status: str = ""
    usage: _Usage | None = None
    error: _Error | None = None
    incomplete_details: _Reason | None = None
    metadata: dict[str, str] | None = None


class Frame(msgspec.Struct):
    """A server's event: the fields that any event we read may have."""

    type: str = ""
    stream_id: str | None = None
    delta: str = ""
    arrivals: list[tuple[int, int, int]] | None = None
    uncertainty_us: list[int] | None = None
    response: _Response | None = None
    backend: BackendInfo | None = None
    sent: _Sent | None = None
    kind: str = ""
    message: str = ""
    progress: float | None = None
    status: int | None = None
    code: str | None = None
    error: _Error | None = None
    ended_us: int | None = None


class _Bare(msgspec.Struct):
    type: str = ""
    stream_id: str | None = None


_DECODER = msgspec.json.Decoder(Frame)
_BARE = msgspec.json.Decoder(_Bare)
_DELTAS: dict[str, Channel] = {
    "response.output_text.delta": "answer",
    "response.refusal.delta": "answer",
    "response.reasoning_text.delta": "reasoning",
    "response.reasoning_summary_text.delta": "reasoning",
}
_ENDS = ("response.completed", "response.incomplete", "response.failed", "error")
_NOTICES = ("progress", "text_source", "no_match", "retry", "fallback", "warning", "cold")
_REASONS: dict[str, FinishReason] = {
    "max_output_tokens": "length",
    "content_filter": "content_filter",
    "cancelled": "cancelled",
}


def decode_frame(data: bytes | str) -> Frame | None:
    """Return a server's event; None for what is no event and is passed over, as unknown types are.

    An event that ends a response counts even where its details are not of the documented types: without it whoever
    waits for the answer would wait for ever.
    """
    try:
        return _DECODER.decode(data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        pass
    try:
        bare = _BARE.decode(data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    return Frame(bare.type, bare.stream_id) if bare.type in _ENDS else None


class ResponseDecoder:
    """Turns the frames of one response back into events.

    Args:
        sent_ns: when the `response.create` was handed to the socket, on the client's clock: t_req for a server without
            the extensions.
    """

    def __init__(self, sent_ns: int) -> None:
        self.info: BackendInfo | None = None
        self.response_id = ""
        self.ended = False
        self._sent_ns = sent_ns
        self._zero_ns: int | None = None

    def feed(self, frame: Frame, now_ns: int) -> Iterator[Event]:
        """Yield the events of a frame that arrived at `now_ns`."""
        channel = _DELTAS.get(frame.type)
        if channel is not None:
            yield from self._delta(frame, channel, now_ns)
        elif frame.type == "response.created":
            self.info = frame.backend
            self.response_id = frame.response.id if frame.response is not None else ""
        elif frame.type in ("response.in_progress", "response.sent"):
            yield self._sent(frame.sent, now_ns)
        elif frame.type == "response.notice":
            if frame.backend is not None:  # another one answers
                self.info = frame.backend
            if frame.kind in _NOTICES:
                yield Notice(frame.kind, frame.message, frame.progress)  # type: ignore[arg-type]
        elif frame.type in ("response.completed", "response.incomplete"):
            yield from self._finished(frame, now_ns)
        elif frame.type in ("response.failed", "error"):
            failure = self._failed(frame, now_ns)
            # Cancelled before there was an answer that could end as such.
            yield Finished(now_ns, "cancelled") if failure.code == "cancelled" else failure

    def _sent(self, sent: _Sent | None, now_ns: int) -> Sent:
        if sent is None:  # a server without the extensions
            self._zero_ns = self._sent_ns
            return Sent(self._sent_ns)
        at_ns = sent.at_us * 1000
        # A stamp between our sending and now is one of our own clock: the gateway runs on this machine. Of another
        # machine's clock only differences mean anything; its frame left at t_req, so its arrival here is the zero, and
        # all latencies, being differences to it, are the gateway's own either way.
        self._zero_ns = at_ns if self._sent_ns - 1000 <= at_ns <= now_ns else now_ns
        connect = {phase: us * 1000 for phase, us in sent.connect_us.items()}
        return Sent(self._zero_ns, sent.arrival_source, connect, sent.reused, sent.request_id)

    def _delta(self, frame: Frame, channel: Channel, now_ns: int) -> Iterator[Event]:
        if self._zero_ns is None:
            yield self._sent(None, now_ns)
        zero = self._zero_ns if self._zero_ns is not None else self._sent_ns
        if not frame.arrivals:
            if frame.delta:
                yield Delta(frame.delta, now_ns, channel)
            return
        uncertainty = frame.uncertainty_us or [0] * len(frame.arrivals)
        arrivals = tuple(
            Arrival(zero + offset * 1000, characters, tokens, doubt * 1000)
            for (offset, characters, tokens), doubt in zip(frame.arrivals, uncertainty, strict=False)
        )
        last = arrivals[-1]
        if len(arrivals) == 1:
            yield Delta(frame.delta, last.at_ns, channel, last.tokens, last.uncertainty_ns)
        else:
            tokens = sum(arrival.tokens for arrival in arrivals)
            yield Delta(frame.delta, last.at_ns, channel, tokens, last.uncertainty_ns, arrivals)

    def _finished(self, frame: Frame, now_ns: int) -> Iterator[Event]:
        self.ended = True
        response = frame.response or _Response()
        metadata = response.metadata or {}
        if response.usage is not None:
            yield _usage(response.usage)
        timing = _decode_or_none(metadata.get(TIMING), ServerTiming)
        if timing is not None:
            yield timing
        provenance = _decode_or_none(metadata.get(PROVENANCE), dict[str, str]) or {}
        if response.id:
            provenance = {**provenance, "response_id": response.id}
        reason: FinishReason = "stop"
        if frame.type == "response.incomplete":
            stated = response.incomplete_details.reason if response.incomplete_details is not None else None
            reason = _REASONS.get(stated or "", "truncated")
        yield Finished(self._ended_at(frame, now_ns), reason, provenance)

    def _ended_at(self, frame: Frame, now_ns: int) -> int:
        if frame.ended_us is None or self._zero_ns is None:
            return now_ns
        return self._zero_ns + frame.ended_us * 1000

    def _failed(self, frame: Frame, now_ns: int) -> Failed:
        self.ended = True
        error = frame.error or (frame.response.error if frame.response is not None else None) or _Error()
        message = error.message or frame.message or "the server failed without saying why"
        return Failed(
            self._ended_at(frame, now_ns),
            error.code or frame.code or "server_error",
            message.removesuffix(f" ({error.hint})"),  # for clients that show nothing but the message
            error.hint,
            error.status or frame.status,
            error.retryable,
            error.retry_after_s,
        )


def _usage(usage: _Usage) -> Usage:
    into, out = usage.input_tokens_details, usage.output_tokens_details
    return Usage(
        usage.input_tokens,
        usage.output_tokens,
        out.reasoning_tokens if out is not None else None,
        into.cached_tokens if into is not None else None,
    )


def _decode_or_none(text: str | None, kind: Any) -> Any:
    if text is None:
        return None
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.MsgspecError:
        return None
