"""What goes wrong, on purpose and repeatably: inside the stream of events, at a token.

The words are those of toxiproxy and aimock. A delay moves the stamps of everything after it, as a real one would, so
that the figures show it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress

import msgspec

from chatapp.clock import Clock
from chatapp.demo.script import Fault
from chatapp.stream.events import Delta, Event, Failed, Finished


async def apply_fault(events: AsyncGenerator[Event, None], fault: Fault, clock: Clock) -> AsyncGenerator[Event, None]:
    """Yield the events of an answer to which a fault happens. The source is closed where the fault ends it."""
    if fault.kind in ("latency", "stall"):
        changed = _held_up(events, fault, clock)
    elif fault.kind == "slice":
        changed = _in_slices(events, fault)
    else:
        changed = _cut_off(events, fault, clock)
    async with aclosing(events), aclosing(changed):
        async for event in changed:
            yield event


async def _held_up(events: AsyncGenerator[Event, None], fault: Fault, clock: Clock) -> AsyncGenerator[Event, None]:
    """The server pauses: from the fault on, everything comes later by its duration.

    The source is read on meanwhile, since it would pace itself by what is taken from it.
    """
    queue: asyncio.Queue[Event | None] = asyncio.Queue()

    async def read() -> None:
        try:
            async for event in events:
                queue.put_nowait(event)
        finally:
            queue.put_nowait(None)

    reader = asyncio.create_task(read())
    passed = 0
    delay_ns = 0
    try:
        while (event := await queue.get()) is not None:
            if isinstance(event, (Delta, Finished)) and (fault.kind == "latency" or passed >= fault.at_tokens):
                delay_ns = fault.duration_ns
            if isinstance(event, Delta):
                passed += event.tokens or 1
            if delay_ns:
                event = _later(event, delay_ns)
                if isinstance(event, (Delta, Finished, Failed)):
                    await clock.sleep_until(event.at_ns)
            yield event
    finally:
        reader.cancel()
        with suppress(asyncio.CancelledError):
            await reader


async def _in_slices(events: AsyncGenerator[Event, None], fault: Fault) -> AsyncGenerator[Event, None]:
    """The network delivers character by character."""
    passed = 0
    async for event in events:
        if isinstance(event, Delta) and passed >= fault.at_tokens and len(event.text) > 1:
            for index, character in enumerate(event.text):
                tokens = event.tokens if index == 0 else 0
                yield msgspec.structs.replace(event, text=character, tokens=tokens, arrivals=())
        else:
            yield event
        if isinstance(event, Delta):
            passed += event.tokens or 1


async def _cut_off(events: AsyncGenerator[Event, None], fault: Fault, clock: Clock) -> AsyncGenerator[Event, None]:
    """The answer ends at the fault."""
    at_tokens = 0 if fault.kind == "status" else fault.at_tokens
    passed = 0
    async for event in events:
        if isinstance(event, (Delta, Finished)) and passed >= at_tokens:
            yield _ending(fault, clock.now_ns())
            return
        if isinstance(event, Delta):
            passed += event.tokens or 1
        yield event


def _ending(fault: Fault, now_ns: int) -> Event:
    """Return the event with which a fault ends the answer."""
    where = f"after {fault.at_tokens} tokens (fault of the demo)"
    if fault.kind == "status":
        code = {401: "auth", 403: "auth", 404: "not_found", 429: "rate_limited"}.get(fault.status, "server_error")
        message = f"the server answered {fault.status} (fault of the demo)"
        return Failed(now_ns, code, message, status=fault.status, retryable=fault.status in (429, 500, 502, 503, 529))
    if fault.kind == "limit":
        return Finished(now_ns, "length")
    if fault.kind == "malformed":
        return Failed(now_ns, "bad_stream", f"the server sent something that is no event, {where}")
    verb = "reset" if fault.kind == "reset" else "closed"
    return Failed(now_ns, "truncated", f"the connection was {verb} {where}", retryable=True)


def _later(event: Event, delay_ns: int) -> Event:
    if isinstance(event, Delta):
        return msgspec.structs.replace(
            event,
            at_ns=event.at_ns + delay_ns,
            arrivals=tuple(msgspec.structs.replace(a, at_ns=a.at_ns + delay_ns) for a in event.arrivals),
        )
    if isinstance(event, (Finished, Failed)):
        return msgspec.structs.replace(event, at_ns=event.at_ns + delay_ns)
    return event
