"""The one vocabulary of a streamed answer, as frozen values.

A backend yields, for one request: any number of `Notice`; one `Sent`; `Delta`s, with `Usage` and `ServerTiming` where
the server gives them; then exactly one of `Finished` or `Failed`. The gateway puts these on the wire, the client takes
them off again, recordings store them, and the screen, the benchmark and the verifier all read the same values.

Times are nanoseconds on one monotonic clock. A *delta* is a piece of text as it arrived; it is not a token.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Role = Literal["system", "developer", "user", "assistant"]
Channel = Literal["answer", "reasoning"]
ArrivalSource = Literal["kernel", "process", "schedule", "recording"]
"""Who stamped an arrival: the kernel at receipt, the process at read, the hardware model's schedule, a recording."""

BackendKind = Literal["live", "local", "simulated", "recorded"]
FinishReason = Literal["stop", "length", "content_filter", "cancelled", "truncated"]
"""Why an answer ended. `truncated`: the stream ended without saying so; the answer is partial and never "done"."""


class Message(msgspec.Struct, frozen=True):
    """One message of a conversation."""

    role: Role
    content: str


class Retell(msgspec.Struct, frozen=True):
    """A text that a simulated backend is to tell at its own pace, instead of choosing one."""

    text: str
    source: str
    """Where the text came from, as shown to the reader: a backend's name, or a recording's."""
    reasoning: str = ""


class Request(msgspec.Struct, frozen=True):
    """What is asked of a backend: the whole conversation, and limits."""

    messages: tuple[Message, ...]
    instructions: str | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    seed: int | None = None
    reasoning_effort: str | None = None
    retell: Retell | None = None
    metadata: dict[str, str] = {}

    @property
    def prompt(self) -> str:
        """The last user message, or an empty string."""
        return next((m.content for m in reversed(self.messages) if m.role == "user"), "")


class BackendInfo(msgspec.Struct, frozen=True):
    """What is behind an answer, as far as a viewer must know to judge its figures."""

    name: str
    """The name a user types, e.g. `sim:cs3/kimi-k2.6`."""
    label: str
    """The name a screen shows, e.g. `CS-3 · Kimi K2.6`."""
    kind: BackendKind
    provider: str
    model: str
    note: str = ""
    """One line that belongs beside every figure, e.g. "simulated: timing from a model, text from the library"."""
    detail: dict[str, str | float] = {}
    """More for a detail view: of a simulated backend its physical limit, dominating term, assumptions."""

    @property
    def simulated(self) -> bool:
        """Whether the timing comes from a model instead of a machine."""
        return self.kind == "simulated"


class Notice(msgspec.Struct, frozen=True, tag="notice"):
    """Something the reader should know that is neither text nor figure."""

    kind: Literal["progress", "text_source", "no_match", "retry", "fallback", "warning", "cold"]
    message: str
    progress: float | None = None
    """0 to 1 where `kind` is `progress` and the share is known."""


class Sent(msgspec.Struct, frozen=True, tag="sent"):
    """The request left: the zero point of all latencies."""

    at_ns: int
    """`t_req`: immediately before the send that hands the request's last byte to the kernel."""
    source: ArrivalSource = "process"
    connect_ns: dict[str, int] = {}
    """Connection set-up that preceded it, by phase: dns, tcp, tls. Empty on a warm connection."""
    reused: bool = False
    """Whether a warm connection was used."""
    request_id: str = ""


class Arrival(msgspec.Struct, frozen=True, gc=False):
    """One upstream chunk's arrival, where a delta joins several."""

    at_ns: int
    characters: int
    tokens: int = 0
    """0 where the source did not say."""
    uncertainty_ns: int = 0
    """The arrival lies between `at_ns - uncertainty_ns` and `at_ns`."""


class Delta(msgspec.Struct, frozen=True, gc=False, tag="delta"):
    """A piece of text, with the arrival of each upstream chunk in it."""

    text: str
    at_ns: int
    """Arrival of the (last) chunk."""
    channel: Channel = "answer"
    tokens: int = 0
    """Tokens in it where the source knows them exactly (simulation, recording), else 0."""
    uncertainty_ns: int = 0
    arrivals: tuple[Arrival, ...] = ()
    """Empty for one chunk; else one entry for each, characters summing to `len(text)`."""


class Usage(msgspec.Struct, frozen=True, tag="usage"):
    """The server's own count. None where it did not say."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    """Part of `output_tokens`."""
    cached_tokens: int | None = None
    """Part of `input_tokens`."""


class ServerTiming(msgspec.Struct, frozen=True, tag="server_timing"):
    """What the provider says of its own speed, in seconds and tokens per second. Shown beside ours, never instead."""

    source: str
    """Whose dialect: cerebras, groq, llama.cpp, ..."""
    queue_s: float | None = None
    prefill_s: float | None = None
    decode_s: float | None = None
    total_s: float | None = None
    prefill_tps: float | None = None
    decode_tps: float | None = None


class Finished(msgspec.Struct, frozen=True, tag="finished"):
    """The answer ended."""

    at_ns: int
    reason: FinishReason = "stop"
    provenance: dict[str, str] = {}
    """What an auditor needs of the response: request ids, Date header, system_fingerprint, certificate hash."""


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The answer did not come, or broke off; what came before stays valid and is marked partial."""

    at_ns: int
    code: str
    """See `chatapp.errors.BackendError`."""
    message: str
    hint: str = ""
    status: int | None = None
    retryable: bool = False
    retry_after_s: float | None = None


Event = Notice | Sent | Delta | Usage | ServerTiming | Finished | Failed
