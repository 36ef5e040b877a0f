from chatapp.client.connection import ResponseCreate
from chatapp.clock import VirtualClock
from chatapp.config import Settings
from chatapp.demo.inprocess import InProcessLink
from chatapp.recording.writer import Recorder
from chatapp.stream.events import Delta, Failed, Finished, Message, Request, Sent

S = 1_000_000_000


def create(model, prompt="What is the KV cache?"):
    return ResponseCreate(model=model, input=(Message("user", prompt),))


async def test_simulated_answers_come_on_the_virtual_clock():
    clock = VirtualClock(5 * S, autojump=True, settle=3)
    link = InProcessLink(Settings(), clock=clock)
    speaker = await link.connect()
    assert speaker.alive
    pairs = [pair async for pair in speaker.exchange(create("sim:cs3/kimi-k2.6"))]
    assert pairs[-1][1].info.name == "sim:cs3/kimi-k2.6"
    events = [event for event, _behind in pairs]
    assert next(e for e in events if isinstance(e, Sent)).at_ns == 5 * S
    assert isinstance(events[-1], Finished)
    assert events[-1].at_ns == clock.now_ns()
    assert "sim:cs3/kimi-k2.6" in {listing.name for listing in await speaker.models()}
    await speaker.aclose()
    await link.aclose()
    await link.aclose()


async def test_recordings_answer_too(tmp_path):
    path = tmp_path / "a.tokcast"
    with Recorder.open(path, clock=VirtualClock()) as recorder:
        recorder.begin("a", Request((Message("user", "hi"),)))
        recorder.record("a", Sent(0))
        recorder.record("a", Delta("hello", 3 * S))
        recorder.record("a", Finished(4 * S))
    clock = VirtualClock(autojump=True)
    speaker = await InProcessLink(Settings(), clock=clock).connect()
    events = [event async for event in speaker.respond(create(f"recording:{path}", "hi"))]
    assert [e.text for e in events if isinstance(e, Delta)] == ["hello"]
    assert clock.now_ns() == 4 * S


async def test_what_cannot_be_opened_is_a_failed_answer():
    speaker = await InProcessLink(Settings()).connect()
    (event,) = [event async for event in speaker.respond(create("nowhere/x"))]
    assert isinstance(event, Failed)
    assert "unknown backend" in event.message
