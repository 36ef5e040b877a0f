"""One tiny request, to see whether a backend answers and what failed if it does not."""

from __future__ import annotations

import time
from contextlib import aclosing

import msgspec

from chatapp.backends.base import Backend
from chatapp.errors import BackendError
from chatapp.stream.answer import Answer
from chatapp.stream.events import Failed, Message, Request
from chatapp.stream.figures import Figures

TRIAL = Request(
    messages=(Message("user", "Count from one to ten in words."),), max_output_tokens=64, metadata={"purpose": "check"}
)
"""Some forty tokens in each direction: enough for a speed, and a fraction of a cent where it costs anything."""


class Trial(msgspec.Struct, frozen=True):
    """What came of it."""

    name: str
    ok: bool
    figures: Figures | None = None
    """None where nothing was sent."""
    failure: Failed | None = None
    failed_step: str = ""
    """`connect`: before the request; `answer`: it was sent."""
    ready_s: float = 0.0
    """Seconds to connect, to have the key checked and the model loaded: none of it is in the figures."""
    text: str = ""
    provenance: dict[str, str] = {}


async def try_backend(backend: Backend, request: Request = TRIAL) -> Trial:
    """Warm a backend and ask it once."""
    name = backend.info.name
    started_ns = time.monotonic_ns()
    try:
        await backend.warm()
    except BackendError as exc:
        refused = Failed(time.monotonic_ns(), exc.code, exc.message, exc.hint, exc.status, exc.retryable)
        return Trial(name, False, failure=refused, failed_step="connect", ready_s=_since(started_ns))
    ready_s = _since(started_ns)
    answer = Answer(backend.info, request)
    provenance: dict[str, str] = {}
    async with aclosing(backend.stream(request)) as events:
        async for event in events:
            answer.feed(event)
            provenance = getattr(event, "provenance", provenance)
    failure = answer.failure
    return Trial(
        name,
        ok=answer.outcome in ("done", "length"),
        figures=answer.final(),
        failure=failure,
        failed_step="answer" if failure is not None else "",
        ready_s=ready_s,
        text=answer.text,
        provenance=provenance,
    )


def _since(started_ns: int) -> float:
    return (time.monotonic_ns() - started_ns) / 1e9
