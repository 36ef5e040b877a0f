import asyncio

from chatapp.client.connection import ResponseCreate
from chatapp.clock import VirtualClock
from chatapp.demo.script import Fault, Place
from chatapp.demo.watch import WatchedLink
from chatapp.stream.events import Delta, Failed, Finished, Message
from tests.demo.scripted_stage import make


class Link:
    def __init__(self, speaker):
        self.speaker = speaker
        self.closed = False

    async def connect(self):
        return self.speaker

    async def aclose(self):
        self.closed = True


def create(model="x", prompt="hi"):
    return ResponseCreate(model=model, input=(Message("user", prompt),))


async def watched():
    clock = VirtualClock(autojump=True)
    _stage, watch, speaker = make(clock)
    link = Link(speaker)
    return watch, await WatchedLink(link, watch).connect(), link, WatchedLink(link, watch)


async def test_answers_pass_unchanged_and_are_kept():
    watch, speaker, link, outer = await watched()
    assert speaker.alive
    assert await speaker.models() == []
    events = [event async for event in speaker.respond(create())]
    assert isinstance(events[-1], Finished)
    assert watch.answers["a"].text == "".join(e.text for e in events if isinstance(e, Delta))
    assert watch.answers["a"].info.name == "x"
    assert watch.asked["a"] == "hi"
    assert not watch.active
    await speaker.aclose()
    await outer.aclose()
    assert link.closed


async def test_what_happened_is_taken_once_and_only_since_the_window_opened():
    watch, speaker, _link, _outer = await watched()
    [event async for event in speaker.respond(create())]
    assert watch.take("sent", "a")
    assert watch.take("first_token", "a")
    assert not watch.take("first_token", "a")
    assert not watch.take("failed", "a")
    watch.open_window()
    assert not watch.take("done", "a")


async def test_an_answer_that_is_left_has_ended():
    watch, speaker, _link, _outer = await watched()
    stream = speaker.exchange(create())
    await anext(stream)
    assert watch.active
    await stream.aclose()
    assert not watch.active
    assert watch.take("done", "a")
    assert watch.answers["a"].outcome == "cancelled"


async def test_a_planned_fault_hits_the_next_answer_of_its_stream():
    watch, speaker, _link, _outer = await watched()
    watch.plan_fault(Fault(kind="disconnect", at_tokens=2, place=Place(1, 1)))
    first = [event async for event in speaker.respond(create())]
    assert isinstance(first[-1], Failed)
    assert watch.failure("a") == "the connection was closed after 2 tokens (fault of the demo)"
    second = [event async for event in speaker.respond(create())]
    assert isinstance(second[-1], Finished)
    assert watch.failure("a") == ""


async def test_news_wakes_whoever_waits():
    watch, _speaker, _link, _outer = await watched()
    waiting = asyncio.create_task(watch.news())
    await asyncio.sleep(0)
    watch.wake()
    await asyncio.wait_for(waiting, 1)
