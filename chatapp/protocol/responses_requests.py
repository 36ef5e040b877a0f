"""What a client asks over the Responses wire: frames in, requests out. Sans-I/O, the server's side."""

from __future__ import annotations

import re
from collections import OrderedDict
from typing import Any, NamedTuple

import msgspec

from chatapp.protocol.responses import WireError
from chatapp.stream.events import Message, Request, Retell

KEPT_RESPONSES = 64
KEPT_CHARACTERS = 8_000_000
"""What one connection may have its gateway remember, for `previous_response_id`."""

MOST = 2**31 - 1
"""Of any whole number in a request: JSON knows no limit, backends do."""

LONGEST_NAME = 256
"""Of a backend, in characters: names are kept and shown in many places."""

RECORDING = "recording:"
LONGEST_PATH = 4_096
"""What may follow `recording:`, in characters: Linux's PATH_MAX."""

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
    compact: bool = False


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
    _refuse_unsupported(_decode(_ANY, raw, kind))
    create: Create = _decode(_CREATE, raw, kind)
    _check_limits(create)
    return create


def _refuse_unsupported(fields: dict[str, Any]) -> None:
    """Refuse what would change the answer if it were ignored; whatever else is unknown is ignored."""
    for name, what in UNSUPPORTED.items():
        if fields.get(name) not in (None, [], {}, False, "auto", "none"):
            raise WireError("unsupported", f"{what} are not supported by this gateway", param=name)
    if fields.get("generate") is False:
        raise WireError("unsupported", "generate: false is not supported: every response is told", param="generate")
    text = fields.get("text")
    wanted = text.get("format") if isinstance(text, dict) else None
    if isinstance(wanted, dict) and wanted.get("type") not in (None, "text"):
        raise WireError("unsupported", "structured outputs are not supported by this gateway", param="text.format")


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
    most = len(RECORDING) + LONGEST_PATH if create.model.startswith(RECORDING) else LONGEST_NAME
    if len(create.model) > most:
        message = f"model: is longer than {most} characters; GET /v1/models lists the names"
        raise WireError("invalid_value", message, param="model")
    if create.max_output_tokens is not None and not 1 <= create.max_output_tokens <= MOST:
        raise WireError("invalid_value", f"max_output_tokens: must lie between 1 and {MOST}", param="max_output_tokens")
    if create.seed is not None and abs(create.seed) > MOST:
        raise WireError("invalid_value", f"seed: must lie between -{MOST} and {MOST}", param="seed")
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


class _Kept(NamedTuple):
    conversation: str
    messages: tuple[Message, ...]


class History:
    """The conversations that the responses of one connection continue. Bounded: the oldest are forgotten."""

    def __init__(self, *, responses: int = KEPT_RESPONSES, characters: int = KEPT_CHARACTERS) -> None:
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
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
            before = known.messages
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

    def conversation(self, create: Create, response_id: str) -> str:
        """Return a name for the conversation that a response belongs to: the id of its first response."""
        known = self._kept.get(create.previous_response_id or "")
        return known.conversation if known is not None else response_id

    def remember(self, response_id: str, request: Request, answer: str, *, conversation: str = "") -> None:
        """Keep what a finished response may be continued from."""
        messages = (*request.messages, Message("assistant", answer))
        self._kept[response_id] = _Kept(conversation or response_id, messages)
        while len(self._kept) > self._responses or (len(self._kept) > 1 and self._size() > self._characters):
            self._kept.popitem(last=False)

    def _size(self) -> int:
        return sum(len(message.content) for kept in self._kept.values() for message in kept.messages)
