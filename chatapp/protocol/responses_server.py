"""What the server says over the Responses wire: a backend's events in, frames out, in order and numbered. Sans-I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from chatapp.protocol.responses import PROVENANCE, TIMING
from chatapp.protocol.responses_requests import Create
from chatapp.stream.events import (
    Arrival,
    BackendInfo,
    Channel,
    Delta,
    Failed,
    Finished,
    Notice,
    Sent,
    ServerTiming,
    Usage,
)


class _Delta(msgspec.Struct, kw_only=True, gc=False):
    """The one frame that is sent thousands of times: a struct encodes in a third of a dict's time."""

    type: str
    sequence_number: int
    delta: str
    item_id: str
    output_index: int
    content_index: int
    arrivals: list[tuple[int, int, int]]
    uncertainty_us: list[int] | UnsetType = UNSET
    logprobs: list[Any] | UnsetType = UNSET
    stream_id: str | UnsetType = UNSET


_encode = msgspec.json.Encoder().encode


class ResponseEncoder:
    """The frames of one response, in order and numbered.

    Args:
        response_id: of this response.
        create: what was asked.
        info: what answers.
        created_at: seconds since the epoch.
    """

    def __init__(self, response_id: str, create: Create, info: BackendInfo, *, created_at: float) -> None:
        self.response_id = response_id
        self.info = info
        self._create = create
        self._created_at = created_at
        self._sequence = 0
        self._items: list[dict[str, Any]] = []
        self._open: Channel | None = None
        self._item_id = ""
        self._item_text: list[str] = []
        self._stream_id: str | UnsetType = UNSET if create.stream_id is None else create.stream_id
        self._sent: Sent | None = None
        self._in_progress = False

    def created(self) -> bytes:
        """Return the first frame."""
        return self._frame("response.created", response=self._response("in_progress"), backend=self._backend())

    def _backend(self) -> dict[str, Any]:
        return {**msgspec.to_builtins(self.info), "simulated": self.info.simulated}

    def notice(self, notice: Notice) -> bytes:
        """Return the frame of a notice."""
        return self._frame("response.notice", kind=notice.kind, message=notice.message, progress=notice.progress)

    def replaced(self, info: BackendInfo, notice: Notice) -> bytes:
        """Return the frame that says that another backend answers from here on; `response.model` says so at the end."""
        self.info = info
        return self._frame("response.notice", kind=notice.kind, message=notice.message, backend=self._backend())

    def sent(self, sent: Sent) -> Iterator[bytes]:
        """Yield the frame that says the request has left; of a retry, the one that moves the zero of all offsets."""
        self._sent = sent
        if not self._in_progress:
            yield self._progress()
        else:
            yield self._frame("response.sent", sent=_sent(sent))

    def _progress(self) -> bytes:
        self._in_progress = True
        extra: dict[str, Any] = {}
        if self._sent is not None:
            extra["sent"] = _sent(self._sent)
        return self._frame("response.in_progress", response=self._response("in_progress"), **extra)

    def delta(self, channel: Channel, text: str, arrivals: Sequence[Arrival]) -> Iterator[bytes]:
        """Yield the frames of text: of a joined delta with the arrival of each chunk in it."""
        rows = [(arrival.at_ns, arrival.characters, arrival.tokens) for arrival in arrivals]
        return self.joined(channel, text, rows, [arrival.uncertainty_ns for arrival in arrivals])

    def joined(
        self, channel: Channel, text: str, rows: Iterable[tuple[int, int, int]], uncertainty_ns: Sequence[int]
    ) -> Iterator[bytes]:
        """As `delta`, with the arrivals as rows of time, characters and tokens."""
        if not self._in_progress:
            yield self._progress()
        if channel != self._open:
            yield from self._close_item()
            yield from self._open_item(channel)
        yield self._text(text, rows, uncertainty_ns)

    def chunk(self, delta: Delta) -> Iterable[bytes]:
        """As `delta`, for the one chunk that nearly every frame of a stream at reading speed holds."""
        if delta.channel != self._open or delta.arrivals:
            arrivals = delta.arrivals or (Arrival(delta.at_ns, len(delta.text), delta.tokens, delta.uncertainty_ns),)
            return self.delta(delta.channel, delta.text, arrivals)
        row = (delta.at_ns, len(delta.text), delta.tokens)
        return (self._text(delta.text, (row,), (delta.uncertainty_ns,)),)

    def _text(self, text: str, rows: Iterable[tuple[int, int, int]], uncertainty_ns: Sequence[int]) -> bytes:
        if not self._create.compact:
            self._item_text.append(text)
        zero = self._sent.at_ns // 1000 if self._sent is not None else 0
        answer = self._open == "answer"
        frame = _Delta(
            type="response.output_text.delta" if answer else "response.reasoning_text.delta",
            sequence_number=self._sequence,
            delta=text,
            item_id=self._item_id,
            output_index=len(self._items) - 1,
            content_index=0,
            arrivals=[(at_ns // 1000 - zero, characters, tokens) for at_ns, characters, tokens in rows],
            stream_id=self._stream_id,
        )
        if any(uncertainty_ns):
            frame.uncertainty_us = [-(-each // 1000) for each in uncertainty_ns]
        if answer:
            frame.logprobs = []
        self._sequence += 1
        return _encode(frame)

    def _place(self) -> dict[str, Any]:
        return {"item_id": self._item_id, "output_index": len(self._items) - 1, "content_index": 0}

    def _open_item(self, channel: Channel) -> Iterator[bytes]:
        self._open = channel
        self._item_text = []
        index = len(self._items)
        prefix = "msg" if channel == "answer" else "rs"
        self._item_id = f"{prefix}_{self.response_id.removeprefix('resp_')}_{index}"
        item: dict[str, Any] = {"id": self._item_id, "status": "in_progress"}
        if channel == "answer":
            item |= {"type": "message", "role": "assistant", "content": []}
        else:
            item |= {"type": "reasoning", "summary": [], "content": []}
        self._items.append(item)
        yield self._frame("response.output_item.added", output_index=index, item=item)
        yield self._frame("response.content_part.added", part=_part(channel, ""), **self._place())

    def _close_item(self, status: str = "completed") -> Iterator[bytes]:
        channel = self._open
        if channel is None:
            return
        self._open = None
        if self._create.compact:
            self._items[-1]["status"] = status
            return
        text = "".join(self._item_text)
        kind = "output_text" if channel == "answer" else "reasoning_text"
        extra: dict[str, Any] = {"logprobs": []} if channel == "answer" else {}
        yield self._frame(f"response.{kind}.done", text=text, **self._place(), **extra)
        part = _part(channel, text)
        yield self._frame("response.content_part.done", part=part, **self._place())
        item = {**self._items[-1], "status": status, "content": [part]}
        self._items[-1] = item
        yield self._frame("response.output_item.done", output_index=len(self._items) - 1, item=item)

    def finished(
        self, finished: Finished, usage: Usage | None, timing: ServerTiming | None, figures: dict[str, str]
    ) -> Iterator[bytes]:
        """Yield the last frames of an answer that ended, whole or cut short."""
        whole = finished.reason == "stop"
        if not self._in_progress:
            yield self._progress()
        yield from self._close_item("completed" if whole else "incomplete")
        metadata = {**(self._create.metadata or {}), **figures}
        if timing is not None:
            metadata[TIMING] = msgspec.json.encode(timing).decode()
        if finished.provenance:
            metadata[PROVENANCE] = msgspec.json.encode(finished.provenance).decode()
        reason = {"length": "max_output_tokens"}.get(finished.reason, finished.reason)
        status = "completed" if whole else "cancelled" if reason == "cancelled" else "incomplete"
        response = self._response(status, usage=usage, metadata=metadata)
        if not whole:
            response["incomplete_details"] = {"reason": reason}
        yield self._frame(
            "response.completed" if whole else "response.incomplete", response=response, **self._end(finished.at_ns)
        )

    def ending(self, outcome: str) -> bytes:
        """Return the frame that tells of the end before the text that still waits for a slow reader."""
        return self._frame("response.ending", outcome=outcome)

    def failed(self, failure: Failed, usage: Usage | None = None) -> Iterator[bytes]:
        """Yield the last frames of an answer that broke."""
        yield from self._close_item("incomplete")
        response = self._response("failed", usage=usage)
        response["error"] = {
            "code": failure.code,
            "message": failure.message,
            "hint": failure.hint,
            "status": failure.status,
            "retryable": failure.retryable,
            "retry_after_s": failure.retry_after_s,
        }
        yield self._frame("response.failed", response=response, **self._end(failure.at_ns))

    def _end(self, at_ns: int) -> dict[str, int]:
        # Rounded as arrivals are, or an end that came with the last text would lie a microsecond before it.
        return {"ended_us": at_ns // 1000 - self._sent.at_ns // 1000} if self._sent is not None else {}

    def _response(
        self,
        status: Literal["in_progress", "completed", "incomplete", "cancelled", "failed"] | str,
        *,
        usage: Usage | None = None,
        metadata: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        create = self._create
        if create.compact and status != "in_progress":
            # The end must reach a reader of 5 kB/s within a quarter of a second: only what it does not know yet.
            return {"id": self.response_id, "status": status, "metadata": metadata or {}, "usage": _usage(usage)}
        return {
            "id": self.response_id,
            "object": "response",
            "created_at": self._created_at,
            "status": status,
            "model": self.info.name,
            "output": [] if status == "in_progress" or create.compact else list(self._items),
            "error": None,
            "incomplete_details": None,
            "instructions": create.instructions,
            "max_output_tokens": create.max_output_tokens,
            "previous_response_id": create.previous_response_id,
            "temperature": create.temperature,
            "metadata": metadata if metadata is not None else create.metadata or {},
            "parallel_tool_calls": False,
            "tool_choice": "none",
            "tools": [],
            "store": False,
            "usage": _usage(usage),
        }

    def _frame(self, event_type: str, **fields: Any) -> bytes:
        event: dict[str, Any] = {"type": event_type, "sequence_number": self._sequence, **fields}
        self._sequence += 1
        if self._create.stream_id is not None:
            event["stream_id"] = self._create.stream_id
        return _encode(event)


def _sent(sent: Sent) -> dict[str, Any]:
    return {
        "at_us": sent.at_ns // 1000,
        "arrival_source": sent.source,
        "connect_us": {phase: ns // 1000 for phase, ns in sent.connect_ns.items()},
        "reused": sent.reused,
        "request_id": sent.request_id,
    }


def _part(channel: Channel, text: str) -> dict[str, Any]:
    if channel == "answer":
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {"type": "reasoning_text", "text": text}


def _usage(usage: Usage | None) -> dict[str, Any] | None:
    if usage is None or (usage.input_tokens is None and usage.output_tokens is None):
        return None
    known = usage.input_tokens is not None and usage.output_tokens is not None
    return {
        "input_tokens": usage.input_tokens,
        # cache_write_tokens: the official types require it, and no backend here says it.
        "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": (usage.input_tokens or 0) + (usage.output_tokens or 0) if known else None,
    }
