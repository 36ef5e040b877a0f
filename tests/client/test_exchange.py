"""One answer from a real gateway to whoever reads it: what is shown, kept and recorded, also of a fallback's."""

from __future__ import annotations

import io

import pytest

from chatapp.client.link import FixedLink
from chatapp.client.plain import ask
from chatapp.client.saver import Saver
from chatapp.client.session import Session
from chatapp.config import Settings
from chatapp.errors import MissingKeyError
from chatapp.protocol.responses import ModelListing
from chatapp.recording.answers import load_answers
from chatapp.recording.reader import Recording
from chatapp.stream.events import Delta, Failed, Finished, Sent, Usage
from tests.gateway.scripted import TOKEN, ScriptedBackend, endless, now, serving

pytestmark = pytest.mark.timeout(20)


async def fails(request):
    yield Sent(now())
    yield Failed(now(), "server_error", "HTTP 503: out of order", hint="try again", retryable=True)


async def answers(request):
    yield Sent(now())
    yield Delta("from the fallback", now(), tokens=3)
    yield Usage(1_000_000, 1_000_000)
    yield Finished(now())


@pytest.fixture
def session(tmp_path):
    def make(url, backend="asked"):
        saver = Saver(tmp_path / "conversations.db", enabled=False)
        return Session(FixedLink(url, TOKEN), backend=backend, saver=saver, settings=Settings())

    return make


async def test_a_fallbacks_answer_bears_its_name_its_price_and_the_reason(session, tmp_path):
    out, err = io.StringIO(), io.StringIO()
    asked, other = ScriptedBackend(fails, "asked"), ScriptedBackend(answers, "other")
    async with serving(asked, other, fallback="other") as (_gateway, url):
        chat = session(url)
        chat.listings = {
            "asked": ModelListing("asked", input_usd=100.0, output_usd=100.0),
            "other": ModelListing("other", input_usd=1.0, output_usd=1.0),
        }
        chat.start_recording(tmp_path / "run.tokcast")
        assert await ask(chat, "hello", out, err)
        await chat.aclose()

    assert out.getvalue() == "from the fallback\n"
    notice, line = err.getvalue().splitlines()
    assert notice.startswith("chatapp: warning: asked did not answer (server_error: HTTP 503: out of order; ")
    assert notice.endswith("s lost): other instead")
    assert line.startswith("[other · ")
    assert "$2.00 · fallback for asked" in line
    turn = chat.conversation.last
    assert (turn.backend, turn.label, turn.text) == ("asked", "Other", "from the fallback")
    assert any(warning.startswith("fallback: asked did not answer") for warning in turn.figures["warnings"])

    with Recording.open(tmp_path / "run.tokcast") as recording:
        (recorded,) = load_answers(recording)
    assert recorded.info.name == "other"
    (kept,) = (event for event in recorded.events if getattr(event, "kind", "") == "fallback")
    assert kept.message == notice.removeprefix("chatapp: warning: ")
    assert recorded.events[-1].provenance["asked_backend"] == "asked"


async def test_what_to_do_about_a_refused_request_is_said_once(session):
    err = io.StringIO()
    async with serving(ScriptedBackend(answers, "other")) as (gateway, url):

        def resolve(name):
            raise MissingKeyError("groq", "GROQ_API_KEY")

        gateway.pool._resolve = resolve
        chat = session(url)
        assert not await ask(chat, "hello", io.StringIO(), err)
        await chat.aclose()

    assert err.getvalue().count("export GROQ_API_KEY=") == 1
    assert err.getvalue().splitlines()[0] == (
        "chatapp: error: backend 'groq' needs an API key and GROQ_API_KEY is not set"
    )


async def test_over_a_fixed_address_nobody_starts_a_lost_gateway_again(session):
    err = io.StringIO()

    class Out(io.StringIO):
        """Ends the gateway when the first text has come."""

        def flush(self):
            for peer in list(gateway._peers):
                peer.abort()

    async with serving(ScriptedBackend(endless, "asked")) as (gateway, url):
        chat = session(url)
        assert not await ask(chat, "hello", Out(), err)
        await chat.aclose()

    assert "what came is kept; the next prompt connects again" in err.getvalue()
