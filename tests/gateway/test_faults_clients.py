"""Cases 51 to 57, 60 and 61: clients that leave, stall, dawdle or vanish, and too many of them."""

from __future__ import annotations

import asyncio
import gc
import time
from contextlib import AsyncExitStack

import pytest

from chatapp.client.connection import Connection, ResponseCreate
from chatapp.gateway.outbox import MOST_HELD, Outbox, TextStream
from chatapp.gateway.peer import Limits, Peer
from chatapp.gateway.relay import Talk
from chatapp.gateway.transcript import Transcript
from chatapp.stream.events import Delta, Failed, Finished, Message, Sent, Usage
from tests.gateway.raw import connected, event, frame
from tests.gateway.scripted import TOKEN, ScriptedBackend, echo, endless, now, serving, silent, until
from tests.gateway.toxics import poisoned

pytestmark = pytest.mark.timeout(30)

HELLO = (Message("user", "hi"),)


async def flood(request):
    """Write without end and without a pause."""
    yield Sent(now())
    while True:
        yield Delta("word ", now(), tokens=1)


def counted(words):
    """A backend that writes numbered words at 500 a second."""

    async def script(request):
        yield Sent(now())
        for number in range(words):
            yield Delta(f"w{number} ", now(), tokens=1)
            await asyncio.sleep(0.002)
        yield Usage(1, words)
        yield Finished(now())

    return script


@pytest.mark.parametrize("leave", ["reset", "close"])
@pytest.mark.parametrize(
    ("script", "wait_for"), [(silent, "response.in_progress"), (endless, "response.output_text.delta")]
)
async def test_case_51_when_a_client_leaves_its_upstream_is_closed(leave, script, wait_for):
    backend = ScriptedBackend(script)
    async with serving(backend) as (gateway, url), connected(url) as client:
        await client.say(model="scripted", input="hi")
        await client.until(wait_for)
        left = time.monotonic()
        if leave == "reset":
            client.reset()
        else:
            client.writer.close()
        await until(lambda: backend.closed_early == 1)

        # The figure is the benchmark's (well under 100 ms); here only that nothing waits for a timer or a deadline.
        assert backend.closed_at - left < 1
        await until(lambda: gateway.connections == 0)


async def test_case_52_a_client_that_never_reads_is_dropped_and_holds_little():
    backend = ScriptedBackend(flood)
    limits = Limits(deadline_s=0.5)
    async with serving(backend, limits=limits) as (gateway, url):
        async with connected(url, receive_buffer=4096, pongs=False) as client:
            await client.say(model="scripted", input="hi")
            await until(lambda: any(talk and talk.outbox.full for talk in gateway._peers.values()))
            (talk,) = gateway._peers.values()
            (peer,) = gateway._peers
            assert talk.outbox.held <= MOST_HELD + 4096
            assert peer.buffered + peer.window.undelivered <= 64 * 1024
            await until(lambda: gateway.connections == 0)
        await until(lambda: backend.closed_early == 1)


async def test_case_52_a_client_that_answers_no_ping_is_dropped_even_where_it_reads():
    async with serving(ScriptedBackend(endless), limits=Limits(deadline_s=0.3)) as (gateway, url):
        async with connected(url, pongs=False) as client:
            await client.say(model="scripted", input="hi")
            assert await client.close_code() == 1006
        await until(lambda: gateway.connections == 0)


async def test_case_53_a_slow_reader_gets_joined_text_and_loses_nothing():
    words = 600
    async with (
        serving(ScriptedBackend(counted(words))) as (gateway, url),
        poisoned(gateway.port, bandwidth=20_000) as (_proxy, port),
        connected(url, port=port) as client,
    ):
        await client.say(model="scripted", input="hi", compact=True)
        events = await client.until("response.completed")

    deltas = [e for e in events if e["type"] == "response.output_text.delta"]
    assert "".join(e["delta"] for e in deltas) == "".join(f"w{number} " for number in range(words))
    assert sum(len(e["arrivals"]) for e in deltas) == words
    assert len(deltas) < words / 2
    assert [e["sequence_number"] for e in events] == list(range(len(events)))


@pytest.mark.parametrize("bandwidth", [5_000, 20_000])
async def test_case_53_a_cancel_is_answered_soon_at_a_slow_reader(bandwidth):
    async with (
        serving(ScriptedBackend(flood)) as (gateway, url),
        poisoned(gateway.port, bandwidth=bandwidth, receive_buffer=2048) as (_proxy, port),
        connected(url, port=port, receive_buffer=2048) as client,
    ):
        await client.say(model="scripted", input="hi", compact=True)
        for _ in range(15):
            await client.event()
        (peer,) = gateway._peers
        # What is on its way is read in the window's target, and the end stands behind nothing else.
        assert peer.window.undelivered <= bandwidth // 2
        await client.send(frame(event("response.cancel")))
        after = 0
        while (got := await client.event())["type"] != "response.incomplete":
            after += len(str(got))

    assert after <= bandwidth // 2


@pytest.mark.parametrize(
    ("end", "outcome"), [(Failed(0, "server_error", "it broke"), "failed"), (Finished(0), "stop")], ids=["error", "end"]
)
async def test_case_53_an_error_and_a_completion_are_told_before_the_text_that_waits(end, outcome):
    async def script(request):
        yield Sent(now())
        for _ in range(100):
            yield Delta("thirty characters of some text" * 3, now(), tokens=3)
        yield end

    async with (
        serving(ScriptedBackend(script)) as (gateway, url),
        poisoned(gateway.port, bandwidth=20_000, receive_buffer=2048) as (_proxy, port),
        connected(url, port=port, receive_buffer=2048) as client,
    ):
        await client.say(model="scripted", input="hi", compact=True)
        events = await client.until("response.completed", "response.failed")

    kinds = [e["type"] for e in events]
    assert kinds.count("response.ending") == 1
    told = kinds.index("response.ending")
    assert events[told]["outcome"] == outcome
    sizes = [len(e.get("delta", "")) for e in events]
    assert sum(sizes) == 9000
    assert sum(sizes[:told]) < 4500, "most of the text comes behind it"
    assert [e["sequence_number"] for e in events] == list(range(len(events)))


async def test_case_53_who_reads_promptly_is_told_of_the_end_by_the_end():
    async with serving(ScriptedBackend(counted(20))) as (_gateway, url), connected(url) as client:
        await client.say(model="scripted", input="hi", compact=True)
        events = await client.until("response.completed")

    assert "response.ending" not in [e["type"] for e in events]


async def test_case_54_one_stalled_client_of_many_holds_up_nobody():
    words = 50
    slow, quick = ScriptedBackend(flood, "flood"), ScriptedBackend(counted(words), "counted")
    async with serving(slow, quick) as (gateway, url), AsyncExitStack() as stack:
        stalled = await stack.enter_async_context(connected(url, receive_buffer=4096, pongs=False))
        await stalled.say(model="flood", input="hi")
        await until(lambda: any(talk and talk.outbox.full for talk in gateway._peers.values()))
        others = [await stack.enter_async_context(connected(url)) for _ in range(20)]
        for client in others:
            await client.say(model="counted", input="hi")
        ends = await asyncio.gather(*(client.until("response.completed") for client in others))

    assert all(events[-1]["response"]["usage"]["output_tokens"] == words for events in ends)


async def test_case_54_a_flooding_upstream_starves_nobody():
    flooding, quick = ScriptedBackend(flood, "flood"), ScriptedBackend(counted(50), "counted")
    async with serving(flooding, quick) as (_gateway, url), connected(url) as one, connected(url) as other:
        await one.say(model="flood", input="hi")
        drain = asyncio.create_task(one.close_code())
        await other.say(model="counted", input="hi")
        async with asyncio.timeout(10):
            await other.until("response.completed")
        drain.cancel()
        await asyncio.gather(drain, return_exceptions=True)


async def test_case_55_a_client_that_vanished_is_noticed_while_nothing_streams():
    limits = Limits(ping_s=0.1, deadline_s=0.3)
    async with (
        serving(ScriptedBackend(echo), limits=limits) as (gateway, url),
        poisoned(gateway.port) as (proxy, port),
        connected(url, port=port),
    ):
        proxy.toxic.timeout = True  # no byte, no end: a cable that was pulled
        await until(lambda: gateway.connections == 0)


async def test_case_55_a_client_that_vanished_is_noticed_while_text_streams():
    backend = ScriptedBackend(endless)
    async with (
        serving(backend, limits=Limits(deadline_s=0.3)) as (gateway, url),
        poisoned(gateway.port) as (proxy, port),
        connected(url, port=port) as client,
    ):
        await client.say(model="scripted", input="hi")
        await client.until("response.output_text.delta")
        proxy.toxic.timeout = True
        await until(lambda: backend.closed_early == 1)


async def test_case_55_a_silent_client_that_is_there_stays():
    limits = Limits(ping_s=0.05, deadline_s=0.3)
    async with serving(ScriptedBackend(echo), limits=limits) as (gateway, url), connected(url) as client:
        reading = asyncio.create_task(client.read())
        await until(lambda: client.pings >= 3)
        assert gateway.connections == 1
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


@pytest.mark.parametrize("how", ["reset_peer", "limit_data"])
async def test_case_56_a_lost_connection_keeps_the_text_and_a_new_one_goes_on_with_the_whole_input(how):
    backend = ScriptedBackend(counted(200))
    async with serving(backend) as (gateway, url):
        toxic = {"limit_data": 6000} if how == "limit_data" else {}
        text = ""
        async with poisoned(gateway.port, **toxic) as (proxy, port):
            connection = await Connection.open(f"ws://127.0.0.1:{port}/v1/responses", TOKEN)
            response_id = ""
            async for got, decoder in connection.exchange(ResponseCreate(model="scripted", input=HELLO)):
                response_id = decoder.response_id
                if isinstance(got, Delta):
                    text += got.text
                    if how == "reset_peer" and len(text) > 100:
                        proxy.reset_peer()
                last = got
            assert isinstance(last, Failed)
            assert last.code == "gateway_lost"
            assert text
            assert "".join(f"w{number} " for number in range(200)).startswith(text)
            assert not connection.alive
            await connection.aclose()
        await until(lambda: backend.closed_early == 1)
        again = await Connection.open(url, TOKEN)
        request = ResponseCreate(model="scripted", input=HELLO, previous_response_id=response_id)
        (failure,) = [got async for got in again.respond(request)]
        await again.aclose()

    # What was lost is said, and never filled in silently: the client then sends its whole conversation.
    assert failure.code == "previous_response_not_found"


@pytest.mark.parametrize("toxic", [{"slicer": 1}, {"slicer": 7}, {"latency_s": 0.01}])
async def test_frames_in_any_pieces_are_the_same_frames(toxic):
    async with (
        serving(ScriptedBackend(echo)) as (gateway, url),
        poisoned(gateway.port, **toxic) as (_proxy, port),
        connected(url, port=port) as client,
    ):
        await client.say(model="scripted", input="hi", compact=True)
        events = await client.until("response.completed")

    assert "".join(e.get("delta", "") for e in events) == "1 messages: hi"


async def test_case_57_a_gateway_that_stops_says_so_to_everybody():
    backend = ScriptedBackend(endless)
    async with serving(backend) as (gateway, url), AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connected(url)) for _ in range(20)]
        for client in clients:
            await client.say(model="scripted", input="hi")
            await client.until("response.output_text.delta")
        stopping = asyncio.create_task(gateway.aclose())
        codes = await asyncio.gather(*(client.close_code() for client in clients))
        for client in clients:
            client.writer.close()
        await stopping

        assert set(codes) == {1001}
        assert backend.closed_early == 20
        assert gateway.connections == 0


async def test_case_57_a_drain_lets_answers_finish_and_takes_no_new_ones():
    backend = ScriptedBackend(counted(100))
    async with serving(backend) as (gateway, url), connected(url) as client:
        await client.say(model="scripted", input="hi")
        await client.until("response.output_text.delta")
        draining = asyncio.create_task(gateway.drain(20))
        await asyncio.sleep(0)
        await client.say(model="scripted", input="more", stream_id="s2")
        events = await client.until("response.completed")
        code = await client.close_code()
        client.writer.close()
        await draining

    refused = [e for e in events if e["type"] == "error"]
    assert [e["error"]["code"] for e in refused] == ["draining"]
    assert code == 1001
    assert backend.closed_early == 0


async def test_case_57_a_drain_ends_at_its_limit():
    backend = ScriptedBackend(endless)
    async with serving(backend) as (gateway, url), connected(url) as client:
        await client.say(model="scripted", input="hi")
        await client.until("response.output_text.delta")
        await asyncio.gather(gateway.drain(0.1), client.close_code())

    assert backend.closed_early == 1


async def test_nothing_is_left_of_clients_that_came_and_went():
    kinds = (Peer, Talk, Outbox, TextStream, Transcript)
    before = {id(thing) for thing in gc.get_objects() if type(thing) in kinds}
    backend = ScriptedBackend(endless)
    async with serving(backend, ScriptedBackend(echo, "echo")) as (gateway, url):
        for number in range(24):
            async with connected(url) as client:
                await client.say(model="echo" if number % 2 else "scripted", input="hi")
                await client.until("response.output_text.delta")
                if number % 3 == 0:
                    client.reset()
                elif number % 3 == 1:
                    await client.send(b"\xf1\x80")
        await until(lambda: not gateway._peers and not gateway._closing and not backend.running)
        await asyncio.sleep(0)
        gc.collect()
        left = [thing for thing in gc.get_objects() if type(thing) in kinds and id(thing) not in before]

        assert left == []
        assert len(asyncio.all_tasks()) == 1


async def test_case_61_many_connections_at_once_are_served():
    async with serving(ScriptedBackend(echo)) as (_gateway, url), AsyncExitStack() as stack:
        clients = await asyncio.gather(*(stack.enter_async_context(connected(url)) for _ in range(120)))
        for client in clients:
            await client.say(model="scripted", input="hi")
        ends = await asyncio.gather(*(client.until("response.completed") for client in clients))

    assert len(ends) == 120
