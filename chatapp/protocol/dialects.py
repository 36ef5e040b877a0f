"""Chat-completions chunks as the providers really send them: JSON in, stream events out, no I/O.

One decoder serves all: the dialects differ in where they put reasoning (`reasoning_content`, `reasoning`), usage and
their own timing, and none of them uses another's place for something else. Sources: facts on the wire of Cerebras,
Groq, Moonshot, OpenRouter, vLLM and llama.cpp; each has a test by its name.
"""

from __future__ import annotations

import json
import math
from typing import Any, Literal

import msgspec

from chatapp.protocol.failures import failure_from_body
from chatapp.protocol.halves import Halves
from chatapp.stream.events import Channel, Delta, Event, Failed, FinishReason, Notice, ServerTiming, Usage

_FINISH: dict[str, FinishReason] = {
    "length": "length",
    "max_tokens": "length",
    "max_completion_tokens": "length",
    "content_filter": "content_filter",
    "safety": "content_filter",
}
"""Everything else that ends an answer (stop, eos, end_turn, tool_calls ...) is "stop"."""


class _Delta(msgspec.Struct, gc=False):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: msgspec.Raw | None = None


class _Choice(msgspec.Struct, gc=False):
    delta: _Delta | None = None
    message: _Delta | None = None  # a server that does not stream answers with the whole message
    text: str | None = None
    index: int = 0
    finish_reason: str | None = None
    usage: dict[str, Any] | None = None  # Moonshot puts it here


class _Chunk(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None
    usage: dict[str, Any] | None = None
    error: msgspec.Raw | None = None
    time_info: dict[str, Any] | None = None
    x_groq: dict[str, Any] | None = None
    timings: dict[str, Any] | None = None
    id: str | None = None
    model: str | None = None
    system_fingerprint: str | None = None


_DECODER = msgspec.json.Decoder(_Chunk)


class ChatDecoder:
    """Decodes the chunks of one answer.

    Text events come at once; usage and the server's own timing are gathered and come from `close`, because several
    servers repeat them in every chunk.

    Args:
        provider: names the dialect in `ServerTiming.source` where the chunk itself does not.
    """

    def __init__(self, provider: str = "") -> None:
        self._provider = provider
        self._usage: dict[str, Any] | None = None
        self._usage_came = False
        self._timing: dict[str, Any] | None = None
        self._timing_source: Literal["", "seconds", "llama.cpp"] = ""
        self._counted = 0  # completion tokens at the last chunk, where usage is continuous
        self._warned: set[str] = set()
        self._halves: dict[Channel, Halves] = {"answer": Halves(), "reasoning": Halves()}
        self.finish_reason: FinishReason | None = None
        self.done = False
        """`[DONE]` has been seen."""
        self.bad_chunks = 0
        """Events that were no JSON object: skipped, counted, reported by `close`."""
        self.deltas = 0
        self.provenance: dict[str, str] = {}
        """What chunks say of the response itself: its id, the model, system_fingerprint."""

    def decode(self, data: bytes, at_ns: int, uncertainty_ns: int = 0, *, event_type: str = "") -> list[Event]:
        """Decode one SSE event that arrived at `at_ns`.

        Returns:
            Deltas and notices; a `Failed` where the chunk is an error, after which nothing may follow.
        """
        if data == b"[DONE]" or data.strip() == b"[DONE]":
            self.done = True
            return []
        try:
            chunk = _DECODER.decode(data)
        except msgspec.DecodeError:
            tolerant = _tolerant_chunk(data)
            if tolerant is None:
                if event_type == "error":
                    return [failure_from_body(data, at_ns=at_ns)]
                self.bad_chunks += 1
                return []
            chunk = tolerant
        if chunk.error is not None and bytes(chunk.error) != b"null":
            return [failure_from_body(data, at_ns=at_ns)]
        if event_type == "error":
            return [failure_from_body(data, at_ns=at_ns)]
        return self._take(chunk, at_ns, uncertainty_ns)

    def _take(self, chunk: _Chunk, at_ns: int, uncertainty_ns: int) -> list[Event]:
        if not self.provenance:
            said = {"response_id": chunk.id, "model": chunk.model, "system_fingerprint": chunk.system_fingerprint}
            self.provenance = {name: value for name, value in said.items() if value}
        tokens = self._take_figures(chunk)
        events: list[Event] = []
        for choice in chunk.choices or ():
            if choice.index != 0:
                events += self._warn("the server sent several answers; only the first is shown")
                continue
            if choice.finish_reason:
                self.finish_reason = _FINISH.get(choice.finish_reason, "stop")
            if choice.usage:
                self._usage = choice.usage
            delta = choice.delta or choice.message
            if delta is None:
                if choice.text:
                    events.append(Delta(self._joined("answer", choice.text), at_ns, "answer", tokens, uncertainty_ns))
                continue
            if delta.tool_calls is not None and bytes(delta.tool_calls) not in (b"null", b"[]"):
                events += self._warn("the model asked for a tool; tools are not offered and the call is not shown")
            thought = delta.reasoning_content or delta.reasoning
            if thought:
                spoken = 0 if delta.content else tokens
                events.append(Delta(self._joined("reasoning", thought), at_ns, "reasoning", spoken, uncertainty_ns))
            if delta.content:
                # Tokens of a chunk that holds both kinds cannot be told apart: then neither says a number.
                spoken = 0 if thought else tokens
                events.append(Delta(self._joined("answer", delta.content), at_ns, "answer", spoken, uncertainty_ns))
        self.deltas += sum(type(event) is Delta for event in events)
        return events

    def _take_figures(self, chunk: _Chunk) -> int:
        """Keep usage and timing of a chunk; return the tokens it carried where the server counts as it goes."""
        tokens = 0
        self._usage_came |= chunk.usage is not None
        if chunk.usage:
            self._usage = chunk.usage
            counted = _whole(chunk.usage.get("completion_tokens"))
            if counted is not None and chunk.choices:
                tokens = max(0, counted - self._counted)
                self._counted = counted
            if "completion_time" in chunk.usage:
                self._timing, self._timing_source = chunk.usage, "seconds"
        if chunk.x_groq and isinstance(usage := chunk.x_groq.get("usage"), dict):
            self._usage = usage
            self._timing, self._timing_source = usage, "seconds"
            self._provider = self._provider or "groq"
        if chunk.time_info:
            self._timing, self._timing_source = chunk.time_info, "seconds"
            self._provider = self._provider or "cerebras"
        if chunk.timings:
            self._timing, self._timing_source = chunk.timings, "llama.cpp"
        return tokens

    def _joined(self, channel: Channel, text: str) -> str:
        return self._halves[channel].join(text)

    def close(self) -> list[Event]:
        """Return what is known at the end: usage, the server's timing, a count of what could not be read."""
        events: list[Event] = []
        usage = read_usage(self._usage) if self._usage else None
        if usage is not None:
            events.append(usage)
        elif self._usage_came or self._usage:
            events += self._warn("the server's usage holds no counts; tokens are counted here, by the common tokenizer")
        if self._timing:
            dropped: list[str] = []
            if self._timing_source == "llama.cpp":
                timing = _llama_timing(self._timing, dropped)
            else:
                timing = _timing_in_seconds(self._timing, usage, self._provider or "server", dropped)
            if dropped:
                events += self._warn(f"impossible values in the server's timing dropped: {', '.join(dropped)}")
            if timing is not None:
                events.append(timing)
        if self.bad_chunks:
            events += self._warn(f"{self.bad_chunks} chunk(s) of the stream were not valid JSON and were skipped")
        return events

    def _warn(self, message: str) -> list[Event]:
        """Return a warning the first time only."""
        if message in self._warned:
            return []
        self._warned.add(message)
        return [Notice("warning", message)]


def read_usage(raw: dict[str, Any]) -> Usage | None:
    """Return the usage in any dialect's spelling; None where it says nothing. Impossible values count as unsaid."""
    output_detail = _table(raw.get("completion_tokens_details") or raw.get("output_tokens_details"))
    input_detail = _table(raw.get("prompt_tokens_details") or raw.get("input_tokens_details"))
    cached = _whole(input_detail.get("cached_tokens"))
    for alternative in ("cached_tokens", "prompt_cache_hit_tokens"):  # Moonshot; DeepSeek
        cached = _whole(raw.get(alternative)) if cached is None else cached
    usage = Usage(
        input_tokens=_first_whole(raw, "prompt_tokens", "input_tokens"),
        output_tokens=_first_whole(raw, "completion_tokens", "output_tokens"),
        reasoning_tokens=_whole(output_detail.get("reasoning_tokens")),
        cached_tokens=cached,
    )
    return usage if usage != Usage() else None


def is_failure(events: list[Event]) -> Failed | None:
    """Return the failure among decoded events, which is always the last one."""
    return events[-1] if events and isinstance(events[-1], Failed) else None


def _timing_in_seconds(
    raw: dict[str, Any], usage: Usage | None, source: str, dropped: list[str]
) -> ServerTiming | None:
    """Cerebras' `time_info` and Groq's usage: the same four names, in seconds."""
    queue, prefill, decode, total = (
        _positive(raw, name, dropped) for name in ("queue_time", "prompt_time", "completion_time", "total_time")
    )
    if queue is prefill is decode is total is None:
        return None
    # Their token count over their time: still the server's own statement, only divided out.
    tokens_in, tokens_out = (usage.input_tokens, usage.output_tokens) if usage else (None, None)
    return ServerTiming(
        source=source,
        queue_s=queue,
        prefill_s=prefill,
        decode_s=decode,
        total_s=total,
        prefill_tps=tokens_in / prefill if tokens_in and prefill else None,
        decode_tps=tokens_out / decode if tokens_out and decode else None,
    )


def _llama_timing(raw: dict[str, Any], dropped: list[str]) -> ServerTiming | None:
    """llama.cpp's `timings`, in milliseconds and tokens per second."""
    prompt_ms, predicted_ms = _positive(raw, "prompt_ms", dropped), _positive(raw, "predicted_ms", dropped)
    prefill_tps = _positive(raw, "prompt_per_second", dropped)
    decode_tps = _positive(raw, "predicted_per_second", dropped)
    if prompt_ms is predicted_ms is prefill_tps is decode_tps is None:
        return None
    return ServerTiming(
        source="llama.cpp",
        prefill_s=None if prompt_ms is None else prompt_ms / 1000,
        decode_s=None if predicted_ms is None else predicted_ms / 1000,
        total_s=None if prompt_ms is None or predicted_ms is None else (prompt_ms + predicted_ms) / 1000,
        prefill_tps=prefill_tps,
        decode_tps=decode_tps,
    )


def _positive(raw: dict[str, Any], name: str, dropped: list[str]) -> float | None:
    value = raw.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or value < 0:
        dropped.append(name)
        return None
    return float(value)


def _whole(value: Any) -> int | None:
    """Return a count; None for what no count can be (negative, fractional, a string)."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and value >= 0 else None


def _first_whole(raw: dict[str, Any], *names: str) -> int | None:
    return next((value for name in names if (value := _whole(raw.get(name))) is not None), None)


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _tolerant_chunk(data: bytes) -> _Chunk | None:
    """Read a chunk whose types are not the usual ones; None where it is no JSON object at all.

    Seen in the wild: NaN as a number (Python servers), content as a list of parts (Mistral), an error as a string.
    """
    try:
        raw = json.loads(data)  # unlike msgspec it takes NaN and Infinity
    except (ValueError, RecursionError):
        return None
    if not isinstance(raw, dict):
        return None
    choices = raw.get("choices")
    return _Chunk(
        choices=[_tolerant_choice(c) for c in choices if isinstance(c, dict)] if isinstance(choices, list) else None,
        usage=None if raw.get("usage") is None else _table(raw["usage"]),
        error=msgspec.Raw(b"true") if raw.get("error") else None,
        time_info=_table(raw.get("time_info")) or None,
        x_groq=_table(raw.get("x_groq")) or None,
        timings=_table(raw.get("timings")) or None,
        **{name: raw[name] for name in ("id", "model", "system_fingerprint") if isinstance(raw.get(name), str)},
    )


def _tolerant_choice(raw: dict[str, Any]) -> _Choice:
    delta = raw.get("delta", raw.get("message"))
    reason = raw.get("finish_reason")
    fields = _table(delta)
    return _Choice(
        delta=_Delta(
            content=_text(fields.get("content")),
            reasoning_content=_text(fields.get("reasoning_content")),
            reasoning=_text(fields.get("reasoning")),
            tool_calls=msgspec.Raw(b"true") if fields.get("tool_calls") else None,
        )
        if isinstance(delta, dict)
        else None,
        text=_text(raw.get("text")),
        index=_whole(raw.get("index")) or 0,
        finish_reason=reason if isinstance(reason, str) else None,
        usage=_table(raw.get("usage")) or None,
    )


def _text(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(part["text"] for part in value if isinstance(part, dict) and isinstance(part.get("text"), str))
    return None
