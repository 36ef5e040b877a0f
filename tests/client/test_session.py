import pytest

from chatapp.client.conversation import Conversation
from chatapp.client.saver import Saver
from chatapp.client.session import Session
from chatapp.config import Settings
from chatapp.errors import GatewayError
from chatapp.protocol.responses import ModelListing
from tests.ui.scripted import ScriptedConnection, ScriptedLink, StandingClock

PRICED = ModelListing("x/y", label="X · y", provider="X", model="y", input_usd=1.0, output_usd=2.0)


@pytest.fixture
def session(tmp_path) -> Session:
    clock = StandingClock()
    connections = [ScriptedConnection([[]], clock, listings=(PRICED,)) for _ in range(2)]
    saver = Saver(tmp_path / "conversations.db", enabled=False)
    return Session(ScriptedLink(connections), backend="x/y", saver=saver, settings=Settings(), clock=clock)


async def test_one_connection_serves_until_it_breaks(session):
    first = await session.speaker()
    assert await session.speaker() is first
    session.known.add("resp_1")
    first.closed = True
    assert await session.speaker() is not first
    assert session.known == set()


async def test_what_is_known_of_a_backend_comes_from_its_listing_or_its_name(session):
    assert (session.info().label, session.info().kind) == ("x/y", "live")
    await session.refresh_listings()
    assert (session.info().label, session.info().provider) == ("X · y", "X")
    kinds = {name: session.info(name).kind for name in ("sim:a/b", "recording:f", "local", "local:m.gguf", "groq/z")}
    assert kinds == {
        "sim:a/b": "simulated",
        "recording:f": "recorded",
        "local": "local",
        "local:m.gguf": "local",
        "groq/z": "live",
    }


async def test_a_cost_needs_prices_and_counts(session):
    assert session.price("x/y", 1000, 500) is None
    await session.refresh_listings()
    assert session.price("x/y", 1000, 500) == pytest.approx(0.002)
    assert session.price("x/y", None, 500) is None
    assert session.price("local", 1000, 500) is None


async def test_closing_closes_connection_link_and_recording(session, tmp_path):
    speaker = await session.speaker()
    session.start_recording(tmp_path / "run.tokcast")
    await session.aclose()
    assert speaker.closed
    assert session.link.closed
    assert session.recorder is None
    session.stop_recording()


async def test_a_gateway_that_cannot_be_reached_is_an_error(tmp_path):
    saver = Saver(tmp_path / "conversations.db", enabled=False)
    session = Session(ScriptedLink([GatewayError("gone")]), backend="x", saver=saver, settings=Settings())
    with pytest.raises(GatewayError):
        await session.refresh_listings()


async def test_a_saved_conversation_goes_on_with_what_answered_it_last(session):
    def saved(backend: str) -> Conversation:
        conversation = Conversation("c")
        conversation.add("hello", backend)
        return conversation

    session.go_on_with(saved("sim:cs3/kimi-k2.6"))
    assert session.backend == "sim:cs3/kimi-k2.6"
    session.go_on_with(saved("x/y"))
    assert session.backend == "sim:cs3/kimi-k2.6", "a live service is not chosen before it is known to be ready"
    await session.refresh_listings()
    session.go_on_with(saved("x/y"))
    assert session.backend == "x/y"
    session.go_on_with(saved("local"), keep_backend=True)
    assert session.backend == "x/y"
