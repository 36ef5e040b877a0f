"""An ended answer in the words of OpenTelemetry's GenAI conventions. Pure: no OpenTelemetry is needed to say them.

Names, units and bucket boundaries are those of the conventions' own repository, in the state of November 2026, built on
semantic conventions 1.42 (https://github.com/open-telemetry/semantic-conventions-genai, docs/gen-ai/gen-ai-spans.md and
gen-ai-metrics.md; all of it has the status "Development"). `gen_ai.provider.name` was `gen_ai.system` up to 1.36.

What is measured is what this gateway sees: `gen_ai.server.time_to_first_token` holds the network to the server, too.
Attributes that the conventions have no name for begin with `chatapp.`; `chatapp.backend.kind` is on everything, so that
nobody averages what a model of hardware paced with what a machine did.

No text of a prompt, an answer or an error message is ever among the attributes, and no key: an upstream's message may
quote all three.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from chatapp.gateway.meter import Ended
from chatapp.stream.answer import Answer
from chatapp.stream.events import BackendInfo
from chatapp.stream.figures import Figures
from chatapp.text.sanitize import sanitize_line

Attributes = dict[str, str | bool | int | float | list[str]]

OPERATION = "chat"

PROVIDERS = {
    "groq": "groq",
    "moonshot ai": "moonshot_ai",
    "openai": "openai",
    "xai": "x_ai",
}
"""Providers of the catalog that the conventions have a name for; others are named as the catalog has them."""

LONGEST = 200
"""Characters kept of what a server says of itself."""


class Histogram(NamedTuple):
    """One instrument."""

    name: str
    unit: str
    description: str
    boundaries: tuple[float, ...]


_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)

DURATION = Histogram("gen_ai.client.operation.duration", "s", "GenAI operation duration.", _SECONDS)
FIRST_CHUNK = Histogram(
    "gen_ai.client.operation.time_to_first_chunk", "s", "Time from the request to the first chunk.", _SECONDS
)
TOKENS = Histogram(
    "gen_ai.client.token.usage",
    "{token}",
    "Number of input and output tokens used.",
    tuple(float(4**power) for power in range(14)),
)
FIRST_TOKEN = Histogram(
    "gen_ai.server.time_to_first_token",
    "s",
    "Time to generate first token for successful responses.",
    (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
)
PER_TOKEN = Histogram(
    "gen_ai.server.time_per_output_token",
    "s",
    "Time per output token generated after the first token for successful responses.",
    (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5),
)
HISTOGRAMS = (DURATION, FIRST_CHUNK, TOKENS, FIRST_TOKEN, PER_TOKEN)


class Observation(NamedTuple):
    """One value for one instrument, with what it has beside the common attributes."""

    histogram: Histogram
    value: float
    beside: Attributes


def provider_name(info: BackendInfo) -> str:
    """Return the provider, with a name of its own for what asks nobody."""
    if info.kind in ("simulated", "recorded"):
        return info.kind
    if info.kind == "local":
        return "llama.cpp"
    name = info.provider.lower()
    return PROVIDERS.get(name) or re.sub(r"[^a-z0-9.:-]+", "_", name).strip("_") or "_OTHER"


def error_type(answer: Answer) -> str | None:
    """Return the class of error: a code of `chatapp.errors.BackendError`. A cancel and a length limit are none."""
    if answer.failure is not None:
        return _line(answer.failure.code)
    cut = answer.finished is not None and answer.finished.reason == "truncated"
    return "truncated" if cut else None


def started_ns(ended: Ended) -> int:
    """Return when the request left (t_req); when the gateway began with it, where none ever did. CLOCK_MONOTONIC."""
    return ended.answer.request_ns if ended.answer.request_ns is not None else ended.begun_ns


def ended_ns(ended: Ended) -> int:
    """Return when the last of the answer came, its end included; never before the start. CLOCK_MONOTONIC."""
    answer = ended.answer
    end = answer.failure or answer.finished
    last = answer.timeline.at_ns[-1] if len(answer.timeline) else 0
    return max(started_ns(ended), last, end.at_ns if end is not None else 0)


def common(ended: Ended) -> Attributes:
    """Return the attributes of the span and of every metric."""
    answer, info = ended.answer, ended.answer.info
    attributes: Attributes = {
        "gen_ai.operation.name": OPERATION,
        "gen_ai.provider.name": provider_name(info),
        "gen_ai.request.model": _line(info.model),
        "chatapp.backend.kind": info.kind,
    }
    said = answer.finished.provenance.get("model") if answer.finished is not None else None
    if said:
        attributes["gen_ai.response.model"] = _line(said)
    if ended.address is not None:
        attributes["server.address"], attributes["server.port"] = ended.address
    return attributes


def describe(ended: Ended, figures: Figures) -> Attributes:
    """Return the attributes of the span alone."""
    answer, request, usage = ended.answer, ended.request, ended.answer.usage
    finished, sent = answer.finished, answer.sent
    ttft_ms = figures.ttft_ms
    found: dict[str, str | bool | int | float | list[str] | None] = {
        "error.type": error_type(answer),
        "gen_ai.conversation.id": ended.conversation_id,
        "gen_ai.request.max_tokens": request.max_output_tokens,
        "gen_ai.request.seed": request.seed,
        "gen_ai.request.stream": True,
        "gen_ai.request.temperature": request.temperature,
        "gen_ai.response.finish_reasons": [finished.reason] if finished is not None else None,
        "gen_ai.response.id": ended.response_id,
        "gen_ai.response.time_to_first_chunk": ttft_ms / 1e3 if ttft_ms is not None else None,
        "gen_ai.usage.cache_read.input_tokens": usage.cached_tokens if usage is not None else None,
        "gen_ai.usage.input_tokens": usage.input_tokens if usage is not None else None,
        "gen_ai.usage.output_tokens": usage.output_tokens if usage is not None else None,
        "gen_ai.usage.reasoning.output_tokens": usage.reasoning_tokens if usage is not None else None,
        "chatapp.arrival_source": answer.arrival_source,
        "chatapp.backend.name": _line(answer.info.name),
        "chatapp.fallback.asked": _line(ended.asked) or None,
        "chatapp.fallback.code": ended.asked_code or None,
        "chatapp.upstream.request_id": (_line(sent.request_id) or None) if sent is not None else None,
    }
    return {name: value for name, value in found.items() if value is not None}


def observe(ended: Ended, figures: Figures) -> list[Observation]:
    """Return what the instruments are told.

    Tokens are those that the server counted: where it did not say, nothing is. As the conventions have it, the two
    figures of a model server are of answers that came whole.
    """
    answer, usage = ended.answer, ended.answer.usage
    error = error_type(answer)
    failed: Attributes = {"error.type": error} if error is not None else {}
    found = [Observation(DURATION, (ended_ns(ended) - started_ns(ended)) / 1e9, failed)]
    if usage is not None:
        counts = (("input", usage.input_tokens), ("output", usage.output_tokens))
        found += [Observation(TOKENS, n, {"gen_ai.token.type": kind}) for kind, n in counts if n is not None]
    if figures.ttft_ms is not None:
        found.append(Observation(FIRST_CHUNK, figures.ttft_ms / 1e3, {}))
    if answer.outcome in ("done", "length"):
        if figures.ttft_ms is not None:
            found.append(Observation(FIRST_TOKEN, figures.ttft_ms / 1e3, {}))
        if figures.tpot_ms is not None and figures.token_count_source == "usage":
            found.append(Observation(PER_TOKEN, figures.tpot_ms / 1e3, {}))
    return found


def _line(text: str) -> str:
    return sanitize_line(text, limit=LONGEST)
