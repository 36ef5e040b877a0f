"""The server's side of the Responses wire: bytes in, requests out; events in, frames out. Sans-I/O."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import msgspec

from chatapp.protocol.responses import PROVENANCE, TIMING, WireError
from chatapp.stream.events import (
    Arrival,
    BackendInfo,
    Channel,
    Failed,
    Finished,
    Message,
    Notice,
    Request,
    Retell,
    Sent,
    ServerTiming,
    Usage,
)

KEPT_RESPONSES = 64
KEPT_CHARACTERS = 8_000_000
"""What one connection may have its gateway remember, for `previous_response_id`."""

DEEPEST = 64
"""Nesting beyond this is no request; msgspec itself stops at the interpreter's recursion limit."""

UNSUPPORTED = {
    "tools": "tool calls",
    "tool_choice": "tool calls",
    "prompt": "stored prompts",
    "conversation": "stored conversations",
    "background": "background responses",
}
_TEXT_PARTS = ("input_text", "output_text", "text")


class Retold(msgspec.Struct, frozen=True):
    """The extension `retell`, as it comes."""

    text: str
    source: str = ""
    reasoning: str = ""


class Create(msgspec.Struct, frozen=True, kw_only=True):
    """A `response.create`, its shape checked; unknown fields are ignored."""

    model: str
    input: str | list[dict[str, Any]] = ""
    instructions: str | None = None
    previous_response_id: str | None = None
    stream_id: str | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    seed: int | None = None
    reasoning: dict[str, Any] | None = None
    metadata: dict[str, str] | None = None
    retell: Retold | None = None


class Cancel(msgspec.Struct, frozen=True):
    """A `response.cancel`: of one response, of one stream, or of all."""

    response_id: str | None = None
    stream_id: str | None = None


class _Type(msgspec.Struct, frozen=True):
    type: str = ""


_CREATE = msgspec.json.Decoder(Create)
_CANCEL = msgspec.json.Decoder(Cancel)
_TYPE = msgspec.json.Decoder(_Type)
_ANY = msgspec.json.Decoder()


def parse_client_event(data: bytes | str) -> Create | Cancel:
    """Return what a client's frame asks for.

    Raises:
        WireError: it is not JSON, not an event we know, has a field of a wrong type, or asks for what we cannot do.
    """
    raw = data.encode() if isinstance(data, str) else data
    kind: str = _decode(_TYPE, raw, "an object with a `type`").type
    if kind == "response.cancel":
        cancel: Cancel = _decode(_CANCEL, raw, kind)
        return cancel
    if kind == "response.steer":
        raise WireError("unsupported", "response.steer is not supported: cancel, and create another response")
    if kind != "response.create":
        raise WireError(
            "unknown_type",
            f"unknown event type {kind[:80]!r}: response.create and response.cancel are known",
            param="type",
        )
    fields = _decode(_ANY, raw, kind)
    for name, what in UNSUPPORTED.items():
        if fields.get(name) not in (None, [], {}, False, "auto", "none"):
            raise WireError("unsupported", f"{what} are not supported by this gateway", param=name)
    create: Create = _decode(_CREATE, raw, kind)
    _check_limits(create)
    return create


def stream_id_of(data: bytes | str) -> str | None:
    """Return the stream id of a frame, where one can be made out, so that an error reaches its stream."""
    try:
        fields = _ANY.decode(data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    found = fields.get("stream_id") if isinstance(fields, dict) else None
    return found if isinstance(found, str) else None


def _decode(decoder: msgspec.json.Decoder[Any], raw: bytes, what: str) -> Any:
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as exc:
        message, _, path = str(exc).partition(" - at `$")
        param = path.strip("`.") or None
        where = f"{param}: " if param else ""
        raise WireError("invalid_value", f"{what}: {where}{message}", param=param) from None
    except (msgspec.DecodeError, UnicodeError) as exc:
        raise WireError("invalid_json", f"not a JSON object: {exc}") from None
    except RecursionError:
        raise WireError("invalid_json", "nested too deeply") from None


def _check_limits(create: Create) -> None:
    if not create.model:
        raise WireError("invalid_value", "model: is empty; GET /v1/models lists the names", param="model")
    if create.max_output_tokens is not None and create.max_output_tokens < 1:
        raise WireError("invalid_value", "max_output_tokens: must be at least 1", param="max_output_tokens")
    if create.temperature is not None and not 0 <= create.temperature <= 2:
        raise WireError("invalid_value", "temperature: must lie between 0 and 2", param="temperature")
    if create.stream_id is not None and not re.fullmatch(r"[\x21-\x7e]{1,128}", create.stream_id):
        raise WireError("invalid_value", "stream_id: 1 to 128 printable ASCII characters", param="stream_id")


def input_messages(create: Create) -> tuple[Message, ...]:
    """Return the messages of `input`.

    Raises:
        WireError: an item that is no text message.
    """
    if isinstance(create.input, str):
        return (Message("user", create.input),) if create.input else ()
    return tuple(_message(item, f"input[{index}]") for index, item in enumerate(create.input))


def _message(item: dict[str, Any], path: str) -> Message:
    kind = item.get("type", "message")
    if kind != "message":
        raise WireError("unsupported", f"{path}: items of type {str(kind)[:40]!r} are not supported", param=path)
    role = item.get("role")
    if role not in ("user", "assistant", "system", "developer"):
        raise WireError("invalid_value", f"{path}.role: not a role: {str(role)[:40]!r}", param=f"{path}.role")
    content = item.get("content")
    if isinstance(content, str):
        return Message(role, content)
    if not isinstance(content, list):
        raise WireError("invalid_value", f"{path}.content: must be text or a list of parts", param=f"{path}.content")
    return Message(role, "".join(_text(part, f"{path}.content[{index}]") for index, part in enumerate(content)))


def _text(part: Any, path: str) -> str:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind not in _TEXT_PARTS:
        what = {"input_image": "images", "input_file": "files", "input_audio": "audio"}.get(
            str(kind), f"{kind!r} parts"
        )
        raise WireError("unsupported", f"{path}: {what} are not supported, only text", param=path)
    text = part.get("text")
    if not isinstance(text, str):
        raise WireError("invalid_value", f"{path}.text: must be text", param=f"{path}.text")
    return text


class History:
    """The conversations that the responses of one connection continue. Bounded: the oldest are forgotten."""

    def __init__(self, *, responses: int = KEPT_RESPONSES, characters: int = KEPT_CHARACTERS) -> None:
        self._kept: OrderedDict[str, tuple[Message, ...]] = OrderedDict()
        self._responses = responses
        self._characters = characters

    def request(self, create: Create) -> Request:
        """Return the whole request that a `response.create` stands for.

        Raises:
            WireError: an unknown `previous_response_id`, or nothing to answer.
        """
        before: tuple[Message, ...] = ()
        if create.previous_response_id is not None:
            known = self._kept.get(create.previous_response_id)
            if known is None:
                raise WireError(
                    "previous_response_not_found",
                    f"no response {create.previous_response_id[:80]!r} on this connection: send the whole input",
                    param="previous_response_id",
                )
            before = known
        messages = (*before, *input_messages(create))
        if not any(message.content for message in messages):
            raise WireError("invalid_value", "input: is empty", param="input")
        effort = (create.reasoning or {}).get("effort")
        told = create.retell
        return Request(
            messages=messages,
            instructions=create.instructions,
            max_output_tokens=create.max_output_tokens,
            temperature=create.temperature,
            seed=create.seed,
            reasoning_effort=effort if isinstance(effort, str) else None,
            retell=Retell(told.text, told.source, told.reasoning) if told is not None else None,
            metadata=create.metadata or {},
        )

    def remember(self, response_id: str, request: Request, answer: str) -> None:
        """Keep what a finished response may be continued from."""
        self._kept[response_id] = (*request.messages, Message("assistant", answer))
        while len(self._kept) > self._responses or (len(self._kept) > 1 and self._size() > self._characters):
            self._kept.popitem(last=False)

    def _size(self) -> int:
        return sum(len(message.content) for messages in self._kept.values() for message in messages)


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
        self._texts: dict[Channel, list[str]] = {"answer": [], "reasoning": []}
        self._items: list[dict[str, Any]] = []
        self._open: Channel | None = None
        self._item_text: list[str] = []
        self._sent: Sent | None = None
        self._in_progress = False

    @property
    def answer(self) -> str:
        """The answer's text so far."""
        return "".join(self._texts["answer"])

    def created(self) -> bytes:
        """Return the first frame."""
        backend = {**msgspec.to_builtins(self.info), "simulated": self.info.simulated}
        return self._frame("response.created", response=self._response("in_progress"), backend=backend)

    def notice(self, notice: Notice) -> bytes:
        """Return the frame of a notice."""
        return self._frame("response.notice", kind=notice.kind, message=notice.message, progress=notice.progress)

    def sent(self, sent: Sent) -> Iterator[bytes]:
        """Yield the frame that says the request has left; of a retry, none."""
        self._sent = sent
        if not self._in_progress:
            yield self._progress()

    def _progress(self) -> bytes:
        self._in_progress = True
        extra: dict[str, Any] = {}
        if self._sent is not None:
            connect = {phase: ns // 1000 for phase, ns in self._sent.connect_ns.items()}
            extra["sent"] = {
                "at_us": self._sent.at_ns // 1000,
                "arrival_source": self._sent.source,
                "connect_us": connect,
                "reused": self._sent.reused,
            }
        return self._frame("response.in_progress", response=self._response("in_progress"), **extra)

    def delta(self, channel: Channel, text: str, arrivals: Sequence[Arrival]) -> Iterator[bytes]:
        """Yield the frames of text: of a joined delta with the arrival of each chunk in it."""
        if not self._in_progress:
            yield self._progress()
        if channel != self._open:
            yield from self._close_item()
            yield from self._open_item(channel)
        self._item_text.append(text)
        self._texts[channel].append(text)
        zero = self._sent.at_ns // 1000 if self._sent is not None else 0
        extra: dict[str, Any] = {
            "arrivals": [[a.at_ns // 1000 - zero, a.characters, a.tokens] for a in arrivals],
        }
        if any(a.uncertainty_ns for a in arrivals):
            extra["uncertainty_us"] = [-(-a.uncertainty_ns // 1000) for a in arrivals]
        if channel == "answer":
            extra["logprobs"] = []
            yield self._frame("response.output_text.delta", delta=text, **self._place(), **extra)
        else:
            yield self._frame("response.reasoning_text.delta", delta=text, **self._place(), **extra)

    def _place(self) -> dict[str, Any]:
        return {"item_id": self._items[-1]["id"], "output_index": len(self._items) - 1, "content_index": 0}

    def _open_item(self, channel: Channel) -> Iterator[bytes]:
        self._open = channel
        self._item_text = []
        index = len(self._items)
        prefix = "msg" if channel == "answer" else "rs"
        item: dict[str, Any] = {
            "id": f"{prefix}_{self.response_id.removeprefix('resp_')}_{index}",
            "status": "in_progress",
        }
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
        yield self._frame("response.completed" if whole else "response.incomplete", response=response)

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
        yield self._frame("response.failed", response=response)

    def _response(
        self,
        status: Literal["in_progress", "completed", "incomplete", "cancelled", "failed"] | str,
        *,
        usage: Usage | None = None,
        metadata: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        create = self._create
        return {
            "id": self.response_id,
            "object": "response",
            "created_at": self._created_at,
            "status": status,
            "model": self.info.name,
            "output": list(self._items) if status != "in_progress" else [],
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
        return msgspec.json.encode(event)


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
        "input_tokens_details": {"cached_tokens": usage.cached_tokens},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": (usage.input_tokens or 0) + (usage.output_tokens or 0) if known else None,
    }
