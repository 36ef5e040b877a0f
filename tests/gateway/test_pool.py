"""Which backends stay open, and that none is closed under an answer."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from chatapp.backends.base import Remote
from chatapp.gateway.access import Access
from chatapp.gateway.pool import MOST_OPEN, BackendPool
from chatapp.gateway.server import Gateway
from chatapp.protocol.responses import PATH
from chatapp.stream.events import Delta, Finished, Message, Request, Sent
from tests.gateway.raw import connected
from tests.gateway.scripted import TOKEN, ScriptedBackend, echo, now, silent, until

pytestmark = pytest.mark.timeout(20)

ASKED = Request((Message("user", "hi"),))


class Watched(ScriptedBackend):
    """Counts how often it was closed; a stream of a closed one breaks, as a real one's connection does."""

    def __init__(self, script, name):
        super().__init__(script, name)
        self.closed = 0

    async def aclose(self):
        self.closed += 1

    async def stream(self, request):
        async with aclosing(super().stream(request)) as events:
            async for event in events:
                if self.closed:
                    return
                yield event


class Opened(dict):
    """Resolves any name, once more each time it is asked: name to all that were opened under it."""

    def __init__(self, script=echo):
        super().__init__()
        self.script = script

    def __call__(self, name):
        backend = Watched(self.script, name)
        self.setdefault(name, []).append(backend)
        return backend

    @property
    def still_open(self):
        return [backend for found in self.values() for backend in found if not backend.closed]


async def begin(pool, name):
    """Open a backend and have it answer; the caller closes the answer."""
    answer = (await pool.open(name)).stream(ASKED)
    assert isinstance(await anext(answer), Sent)
    return answer


async def test_a_backend_that_streams_is_not_closed_and_one_that_idles_goes_first():
    opened = Opened(silent)
    pool = BackendPool(opened)
    first, second = await begin(pool, "busy"), await begin(pool, "busy")
    for number in range(MOST_OPEN + 5):
        await pool.open(f"n{number}")
    await first.aclose()
    await pool.open("one more")
    await until(lambda: len(opened.still_open) == MOST_OPEN)

    assert opened["busy"][0] in opened.still_open  # its second answer goes on
    assert [len(found) for found in opened.values()] == [1] * len(opened)  # nothing was opened twice
    await second.aclose()
    await pool.open("last")
    await until(lambda: opened["busy"][0].closed)
    await pool.aclose()

    assert not opened.still_open
    assert all(found[0].closed == 1 for found in opened.values())


async def test_more_may_be_open_only_as_long_as_they_answer():
    opened = Opened(silent)
    pool = BackendPool(opened)
    answers = [await begin(pool, f"n{number}") for number in range(MOST_OPEN + 10)]
    await asyncio.sleep(0)
    assert len(opened.still_open) == MOST_OPEN + 10
    for answer in answers:
        await answer.aclose()
    await until(lambda: len(opened.still_open) == MOST_OPEN)
    await pool.aclose()

    assert not opened.still_open


async def test_the_one_that_was_just_asked_for_is_not_closed_although_all_others_are_busy():
    opened = Opened(silent)
    pool = BackendPool(opened)
    answers = [await begin(pool, f"n{number}") for number in range(MOST_OPEN)]
    await pool.open("new")
    await asyncio.sleep(0)

    assert not opened["new"][0].closed
    for answer in answers:
        await answer.aclose()
    await pool.aclose()


async def test_an_answer_ends_as_if_there_were_no_pool():
    opened = Opened()
    pool = BackendPool(opened)
    backend = await pool.open("a")
    async with aclosing(backend.stream(ASKED)) as events:
        told = [event async for event in events]
    left = await begin(pool, "a")
    await left.aclose()
    await backend.aclose()

    assert backend.info is opened["a"][0].info
    assert isinstance(told[-1], Finished)
    assert (opened["a"][0].closed_early, opened["a"][0].running, opened["a"][0].closed) == (1, 0, 1)


async def test_where_a_server_is_stays_known_and_a_backend_without_one_has_none():
    class Far(Watched):
        address = ("api.example.com", 443)

    pool = BackendPool(lambda name: Far(echo, name) if name == "far" else Watched(echo, name))
    far, near = await pool.open("far"), await pool.open("near")

    assert isinstance(far, Remote)
    assert far.address == ("api.example.com", 443)
    assert not isinstance(near, Remote)


async def test_a_backend_is_not_closed_while_it_warms_up():
    may_go_on = asyncio.Event()

    class Slow(Watched):
        async def warm(self):
            await may_go_on.wait()

    slow = Slow(echo, "slow")
    others = Opened()
    pool = BackendPool(lambda name: slow if name == "slow" else others(name))
    warming = asyncio.create_task((await pool.open("slow")).warm())
    for number in range(MOST_OPEN + 1):
        await pool.open(f"n{number}")
    assert not slow.closed
    may_go_on.set()
    await warming
    await pool.open("last")
    await until(lambda: slow.closed)


async def test_nobody_cuts_off_an_answer_by_asking_for_many_other_names():
    may_go_on = asyncio.Event()

    async def waiting(request):
        yield Sent(now())
        yield Delta("before ", now(), tokens=1)
        await may_go_on.wait()
        yield Delta("after", now(), tokens=1)
        yield Finished(now())

    mine, others = Watched(waiting, "mine"), Opened()

    async def models():
        return []

    gateway = Gateway(
        lambda name: mine if name == "mine" else others(name), models, Access(TOKEN.reveal(), loopback=True)
    )
    await gateway.listen("127.0.0.1", 0)
    url = f"ws://127.0.0.1:{gateway.port}{PATH}"
    try:
        async with connected(url) as client, connected(url) as other:
            await client.say(model="mine", input="hi")
            await client.until("response.output_text.delta")
            for number in range(MOST_OPEN + 2):
                await other.say(model=f"n{number}", input="hi")
                await other.until("response.completed")
            may_go_on.set()
            ends = await client.until("response.completed")
        assert "after" in "".join(event.get("delta", "") for event in ends)
        assert len(others.still_open) < MOST_OPEN + 2
    finally:
        await gateway.aclose()
