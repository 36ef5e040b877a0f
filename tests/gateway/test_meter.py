"""Several who watch one gateway, and that none of them misses an answer."""

from __future__ import annotations

import asyncio
import threading

import pytest

from chatapp.gateway.meter import Meter, Meters
from tests.gateway.raw import OPENING, connected
from tests.gateway.scripted import ScriptedBackend, echo, endless, serving, until

pytestmark = pytest.mark.timeout(20)

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Heard(Meter):
    """Notes everything."""

    def __init__(self, page=None):
        self.notes = []
        self.page = page

    def __getattribute__(self, name):
        if name in ("refused", "fell_back", "joined", "dropped", "lag", "stands"):
            return lambda *values: self.notes.append((name, *values))
        return super().__getattribute__(name)

    def render(self, connections, streams):
        return self.page

    async def aclose(self):
        self.notes.append(("closed",))


class Reader(Heard):
    """Takes its time over each answer."""

    reads_answers = True

    def __init__(self, may_go_on=None):
        super().__init__()
        self.began = threading.Event()
        self.may_go_on = may_go_on
        self.ended_answers = []

    def ended(self, ended):
        self.began.set()
        if self.may_go_on is not None:
            self.may_go_on.wait(10)
        self.ended_answers.append(ended)


async def test_all_are_told_and_only_readers_of_answers_read_them():
    first, second = Heard(page=b"page"), Reader()
    meters = Meters(second, first)
    for call, values in (
        (meters.refused, ("code",)),
        (meters.fell_back, ("a", "b", "code")),
        (meters.joined, (2, 1)),
        (meters.dropped, ("stalled",)),
        (meters.lag, (0.1,)),
        (meters.stands, (3, 4)),
    ):
        call(*values)
    meters.ended("answer")
    await meters.aclose()

    assert meters.reads_answers
    assert not Meters(first).reads_answers
    assert first.notes == second.notes
    assert [note[0] for note in first.notes] == ["refused", "fell_back", "joined", "dropped", "lag", "stands", "closed"]
    assert second.ended_answers == ["answer"]
    assert meters.render(0, 0) == b"page"
    assert Meters(second).render(0, 0) is None


def test_one_that_breaks_costs_the_others_nothing(caplog):
    class Broken(Meter):
        reads_answers = True

        def ended(self, ended):
            raise ValueError("a bug")

    second = Reader()
    Meters(Broken(), second).ended("answer")

    assert second.ended_answers == ["answer"]
    assert "Broken could not take an answer" in caplog.text


async def test_a_gateway_closes_only_when_every_answer_has_been_counted():
    may_go_on = threading.Event()
    meter = Reader(may_go_on)
    async with serving(ScriptedBackend(echo), meter=meter) as (gateway, url):
        async with connected(url) as client:
            await client.say(model="scripted", input="hi")
            await client.until("response.completed")
            await asyncio.to_thread(meter.began.wait, 10)
        closing = asyncio.create_task(gateway.drain())
        await until(lambda: gateway.draining)
        assert gateway.streams == 0
        assert not meter.ended_answers
        may_go_on.set()
        await closing

    assert len(meter.ended_answers) == 1
    assert meter.notes[-1] == ("closed",)


async def test_what_is_told_of_an_answer():
    meter = Reader()
    backend = ScriptedBackend(endless)
    backend.address = ("api.example.com", 443)
    async with serving(backend, ScriptedBackend(echo, "other"), meter=meter) as (_gateway, url):
        async with connected(url, headers={**OPENING, "traceparent": TRACE, "tracestate": "a=1"}) as client:
            await client.say(model="scripted", input="hi", stream_id="s")
            await client.until("response.output_text.delta")
            await client.say(kind="response.cancel")
            cancelled = (await client.until("response.incomplete"))[-1]["response"]["id"]
            await client.say(model="other", input="hi")
            first = (await client.until("response.completed"))[-1]["response"]["id"]
            await client.say(model="other", input="and", previous_response_id=first)
            second = (await client.until("response.completed"))[-1]["response"]["id"]
        await until(lambda: len(meter.ended_answers) == 3)

    told = {ended.response_id: ended for ended in meter.ended_answers}
    assert told[cancelled].answer.outcome == "cancelled"
    assert told[cancelled].address == ("api.example.com", 443)
    assert told[first].address is None
    assert [told[at].conversation_id for at in (cancelled, first, second)] == [cancelled, first, first]
    for ended in told.values():
        assert dict(ended.trace) == {"traceparent": TRACE, "tracestate": "a=1"}
        assert ended.begun_ns <= ended.answer.sent.at_ns
        assert (ended.asked, ended.asked_code) == ("", "")
