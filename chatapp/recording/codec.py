"""Events to lines and back. One place knows how an event is spelled in a file."""

from __future__ import annotations

from typing import Any

import msgspec

from chatapp.stream.events import (
    ArrivalSource,
    BackendInfo,
    Delta,
    Event,
    Failed,
    Finished,
    FinishReason,
    Message,
    Notice,
    Request,
    Retell,
    Sent,
    ServerTiming,
    Usage,
)


class Parameters(msgspec.Struct, frozen=True, omit_defaults=True):
    """The limits of a request."""

    instructions: str | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    seed: int | None = None
    reasoning_effort: str | None = None
    metadata: dict[str, str] = {}


class RequestData(msgspec.Struct, frozen=True, omit_defaults=True):
    """`q`."""

    s: str
    id: str = ""
    messages: tuple[Message, ...] = ()
    params: Parameters = Parameters()
    retell: Retell | None = None


class HeadData(msgspec.Struct, frozen=True, omit_defaults=True):
    """`h`. `status` and `headers` come from other writers; request headers are never stored."""

    s: str
    backend: BackendInfo | None = None
    status: int | None = None
    headers: dict[str, str] = {}


class BeginData(msgspec.Struct, frozen=True, omit_defaults=True):
    """`b`."""

    s: str
    source: ArrivalSource = "process"
    connect_ns: dict[str, int] = {}
    reused: bool = False
    request_id: str = ""
    ns: int = 0


class TextData(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """`t`: one upstream chunk. `n`: tokens, left out where the source did not count; `un`: uncertainty in ns."""

    s: str
    i: int = 0
    x: str | None = None
    r: str | None = None
    n: int = 0
    ns: int = 0
    un: int = 0


class UsageData(msgspec.Struct, frozen=True, omit_defaults=True):
    """`u`, named as OpenTelemetry's GenAI conventions name it."""

    s: str
    input_tokens: int | None = msgspec.field(default=None, name="gen_ai.usage.input_tokens")
    output_tokens: int | None = msgspec.field(default=None, name="gen_ai.usage.output_tokens")
    reasoning_tokens: int | None = msgspec.field(default=None, name="gen_ai.usage.reasoning.output_tokens")
    cached_tokens: int | None = msgspec.field(default=None, name="gen_ai.usage.cache_read.input_tokens")


class TimingData(msgspec.Struct, frozen=True, omit_defaults=True):
    """`v`."""

    s: str
    source: str = ""
    queue_s: float | None = None
    prefill_s: float | None = None
    decode_s: float | None = None
    total_s: float | None = None
    prefill_tps: float | None = None
    decode_tps: float | None = None


class NoticeData(msgspec.Struct, frozen=True, omit_defaults=True):
    """`n`."""

    s: str
    kind: str = "warning"
    message: str = ""
    progress: float | None = None


class DoneData(msgspec.Struct, frozen=True, omit_defaults=True):
    """`d` and `c`."""

    s: str
    finish: FinishReason = "stop"
    provenance: dict[str, str] = {}
    ns: int = 0


class ErrorData(msgspec.Struct, frozen=True, omit_defaults=True):
    """`e`."""

    s: str
    code: str = "server_error"
    message: str = ""
    hint: str = ""
    status: int | None = None
    retryable: bool = False
    retry_after_s: float | None = None
    ns: int = 0


_DECODERS: dict[str, msgspec.json.Decoder[Any]] = {
    code: msgspec.json.Decoder(kind)
    for code, kind in {
        "q": RequestData,
        "h": HeadData,
        "b": BeginData,
        "t": TextData,
        "u": UsageData,
        "v": TimingData,
        "n": NoticeData,
        "d": DoneData,
        "c": DoneData,
        "e": ErrorData,
    }.items()
}
_NOTICE_KINDS = frozenset(("progress", "text_source", "no_match", "retry", "fallback", "warning", "cold"))


def request_data(stream: str, request: Request, *, response_id: str = "") -> RequestData:
    """Return the `q` line's data for a request."""
    parameters = Parameters(
        request.instructions,
        request.max_output_tokens,
        request.temperature,
        request.seed,
        request.reasoning_effort,
        request.metadata,
    )
    return RequestData(stream, response_id, request.messages, parameters, request.retell)


def event_data(stream: str, event: Event | BackendInfo, ns: int) -> tuple[str, msgspec.Struct]:
    """Return code and data of any event but a text delta, which `TextData` holds directly."""
    match event:
        case BackendInfo():
            return "h", HeadData(stream, event)
        case Sent():
            return "b", BeginData(stream, event.source, event.connect_ns, event.reused, event.request_id, ns)
        case Usage():
            return "u", UsageData(
                stream, event.input_tokens, event.output_tokens, event.reasoning_tokens, event.cached_tokens
            )
        case ServerTiming():
            return "v", TimingData(
                stream,
                event.source,
                event.queue_s,
                event.prefill_s,
                event.decode_s,
                event.total_s,
                event.prefill_tps,
                event.decode_tps,
            )
        case Notice():
            return "n", NoticeData(stream, event.kind, event.message, event.progress)
        case Finished(reason="cancelled"):
            return "c", DoneData(stream, event.reason, event.provenance, ns)
        case Finished():
            return "d", DoneData(stream, event.reason, event.provenance, ns)
        case Failed():
            return "e", ErrorData(
                stream, event.code, event.message, event.hint, event.status, event.retryable, event.retry_after_s, ns
            )
        case _:
            raise TypeError(f"not an event of a recording: {event!r}")


def decode_data(code: str, data: bytes | msgspec.Raw) -> Any:
    """Return a line's data as its typed value; None for a code that carries no event of a stream.

    Raises:
        ValueError: the data does not fit the code (`msgspec.DecodeError` and `ValidationError` are its subclasses).
    """
    decoder = _DECODERS.get(code)
    if decoder is None:
        return None
    value = decoder.decode(data)
    if code == "c" and value.finish == "stop":
        return msgspec.structs.replace(value, finish="cancelled")
    return value


def decode_request(data: RequestData) -> Request:
    """Return the request of a `q` line."""
    p = data.params
    return Request(
        data.messages,
        p.instructions,
        p.max_output_tokens,
        p.temperature,
        p.seed,
        p.reasoning_effort,
        data.retell,
        p.metadata,
    )


def decode_event(data: Any, line_ns: int) -> Event | BackendInfo | None:  # noqa: PLR0911 - one return a kind
    """Return the event of a decoded line, its instants in nanoseconds since the file's start.

    None where the line says nothing of an answer, such as a head that only has a status.
    """
    match data:
        case TextData():
            text, channel = (data.x, "answer") if data.x is not None else (data.r or "", "reasoning")
            return Delta(text, line_ns + data.ns, channel, data.n, data.un)  # type: ignore[arg-type]
        case BeginData():
            return Sent(line_ns + data.ns, data.source, data.connect_ns, data.reused, data.request_id)
        case HeadData():
            return data.backend
        case UsageData():
            return Usage(data.input_tokens, data.output_tokens, data.reasoning_tokens, data.cached_tokens)
        case TimingData():
            return ServerTiming(
                data.source,
                data.queue_s,
                data.prefill_s,
                data.decode_s,
                data.total_s,
                data.prefill_tps,
                data.decode_tps,
            )
        case NoticeData():
            kind = data.kind if data.kind in _NOTICE_KINDS else "warning"
            return Notice(kind, data.message, data.progress)  # type: ignore[arg-type]
        case DoneData():
            return Finished(line_ns + data.ns, data.finish, data.provenance)
        case ErrorData():
            return Failed(
                line_ns + data.ns,
                data.code,
                data.message,
                data.hint,
                data.status,
                data.retryable,
                data.retry_after_s,
            )
        case _:
            return None


def encodable(value: Any) -> Any:
    """Return a JSON-like value whose strings can be written as UTF-8."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, dict):
        return {encodable(k): encodable(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [encodable(v) for v in value]
    return value
