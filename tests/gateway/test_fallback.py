"""Another backend answers where the asked one fails before its first token, and everybody is told. Real sockets."""

from __future__ import annotations

import json
import logging
from contextlib import asynccontextmanager

import pytest

from chatapp.client.connection import Connection, ResponseCreate
from chatapp.errors import ExtraMissingError, MissingKeyError, UnknownNameError, UsageError
from chatapp.gateway.access import Access
from chatapp.gateway.metrics import PrometheusMeter
from chatapp.gateway.server import Gateway
from chatapp.gateway.tokens import Grant, Tokens
from chatapp.protocol.responses import PATH, PROVENANCE
from chatapp.stream.answer import Answer
from chatapp.stream.events import Delta, Failed, Finished, Message, Notice, Sent, Usage
from tests.gateway.raw import connected
from tests.gateway.scripted import TOKEN, ScriptedBackend, now, serving, silent, until

pytestmark = pytest.mark.timeout(20)


async def rescue(request):
    yield Sent(now())
    for word in ("from ", "the ", "fallback"):
        yield Delta(word, now(), tokens=1)
    yield Usage(10, 3)
    yield Finished(now(), "stop", {"request_id": "req_of_the_fallback"})


def failing(code, *, after=(), message="it says no"):
    async def script(request):
        yield Sent(now() - 2_000_000_000)  # long before: none of this may be in the fallback's figures
        for event in after:
            yield event
        yield Failed(now(), code, message, hint="wait", retryable=True)

    return ScriptedBackend(script, "asked")


def standing_in():
    return ScriptedBackend(rescue, "other")


@asynccontextmanager
async def opening(error):
    """A gateway whose backend `asked` cannot be opened."""
    other = standing_in()

    def resolve(name):
        if name == "other":
            return other
        raise error

    async def models():
        return []

    gateway = Gateway(resolve, models, Access(TOKEN.reveal(), loopback=True), fallback="other")
    await gateway.listen("127.0.0.1", 0)
    try:
        yield f"ws://127.0.0.1:{gateway.port}{PATH}"
    finally:
        await gateway.aclose()


async def respond(url, model="asked"):
    connection = await Connection.open(url, TOKEN)
    try:
        create = ResponseCreate(model=model, input=(Message("user", "hello"),))
        return [(event, decoder.info) async for event, decoder in connection.exchange(create)]
    finally:
        await connection.aclose()


def text_of(pairs):
    return "".join(event.text for event, _info in pairs if isinstance(event, Delta))


@pytest.mark.parametrize(
    "code", ["unreachable", "dns", "tls", "server_error", "rate_limited", "auth", "timeout", "truncated", "internal"]
)
async def test_what_fails_before_its_first_token_is_answered_by_the_fallback(code, caplog):
    asked, other = failing(code, message="HTTP 503: out of order"), standing_in()
    with caplog.at_level(logging.WARNING):
        async with serving(asked, other, fallback="other") as (_gateway, url):
            pairs = await respond(url)

    assert text_of(pairs) == "from the fallback"
    (notice, info) = next((event, info) for event, info in pairs if isinstance(event, Notice))
    assert notice.kind == "fallback"
    for said in ("asked did not answer", code, "HTTP 503: out of order", "s lost", "other instead"):
        assert said in notice.message
    assert info.name == "other", "who answers is known before the first token"
    assert pairs.index((notice, info)) < next(i for i, (event, _) in enumerate(pairs) if isinstance(event, Delta))
    assert notice.message in caplog.text
    assert other.requests == asked.requests, "the same request"


async def test_the_figures_begin_with_the_fallbacks_own_request_and_the_time_lost_is_apart():
    async with serving(failing("server_error"), standing_in(), fallback="other") as (_gateway, url):
        pairs = await respond(url)

    answer = Answer(pairs[-1][1])
    for event, _info in pairs:
        answer.feed(event)
    figures = answer.final()
    assert answer.info.name == "other"
    assert figures.ttft_ms < 1000, "the two seconds of the asked backend are in no figure"
    assert figures.output_tokens == 3
    assert any(warning.startswith("fallback: asked did not answer") for warning in figures.warnings)
    told = pairs[-1][0].provenance
    assert (told["asked_backend"], told["answered_by"], told["fallback_code"]) == ("asked", "other", "server_error")
    assert told["fallback_reason"] == "it says no"
    assert float(told["fallback_lost_ms"]) >= 0
    assert told["request_id"] == "req_of_the_fallback"


async def test_other_clients_see_it_in_the_responses_model_and_metadata():
    async with (
        serving(failing("server_error"), standing_in(), fallback="other") as (_gateway, url),
        connected(url) as client,
    ):
        await client.say(model="asked", input="hello")
        events = await client.until("response.completed")
        response = events[-1]["response"]
        await client.say(model="asked", input="and now?", previous_response_id=response["id"])
        again = await client.until("response.completed")

    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert events[0]["response"]["model"] == "asked"
    (notice,) = (event for event in events if event["type"] == "response.notice")
    assert (notice["kind"], notice["backend"]["name"], notice["backend"]["simulated"]) == ("fallback", "other", False)
    assert response["model"] == "other"
    assert response["output"][0]["content"][0]["text"] == "from the fallback"
    assert json.loads(response["metadata"][PROVENANCE])["asked_backend"] == "asked"
    assert any(event["type"] == "response.notice" for event in again), "it is said each time"


@pytest.mark.parametrize("text", [Delta("half an ", 1), Delta("let me think", 1, "reasoning")])
async def test_after_the_first_token_nobody_else_answers(text):
    other = standing_in()
    async with serving(failing("server_error", after=[text]), other, fallback="other") as (_gateway, url):
        pairs = await respond(url)

    assert (pairs[-1][0].code, text_of(pairs)) == ("server_error", text.text)
    assert not other.requests


@pytest.mark.parametrize("code", ["bad_request", "not_found", "unsupported"])
async def test_a_request_at_fault_is_told_to_whoever_made_it(code):
    other = standing_in()
    async with serving(failing(code), other, fallback="other") as (_gateway, url):
        pairs = await respond(url)

    assert (pairs[-1][0].code, pairs[-1][0].message) == (code, "it says no")
    assert not other.requests


async def test_a_cancel_is_no_failure():
    other = standing_in()
    async with serving(ScriptedBackend(silent, "asked"), other, fallback="other") as (gateway, url):
        async with connected(url) as client:
            await client.say(model="asked", input="hello")
            await client.until("response.in_progress")
            await client.say(kind="response.cancel")
            end = (await client.until("response.incomplete"))[-1]
        await until(lambda: gateway.streams == 0)

    assert end["response"]["incomplete_details"] == {"reason": "cancelled"}
    assert not other.requests


async def test_a_backend_that_ends_without_an_end_or_text_has_failed_too():
    async def nothing(request):
        yield Sent(now())

    async with serving(ScriptedBackend(nothing, "asked"), standing_in(), fallback="other") as (_gateway, url):
        pairs = await respond(url)

    assert text_of(pairs) == "from the fallback"
    assert pairs[-1][0].provenance["fallback_code"] == "truncated"


async def test_where_both_fail_the_end_names_both():
    async def fails(request):
        yield Sent(now())
        yield Failed(now(), "rate_limited", "full", retryable=True, retry_after_s=3)

    backends = failing("server_error"), ScriptedBackend(fails, "other")
    async with serving(*backends, fallback="other") as (_gateway, url):
        pairs = await respond(url)

    (end, info) = pairs[-1]
    assert (end.code, end.retry_after_s, info.name) == ("rate_limited", 3, "other")
    assert end.message == "full; other was asked because asked had failed (server_error)"
    assert sum(isinstance(event, Notice) for event, _info in pairs) == 1


async def test_the_fallback_does_not_stand_in_for_itself():
    async with serving(failing("server_error"), fallback="asked") as (_gateway, url):
        pairs = await respond(url)

    assert pairs[-1][0].code == "server_error"
    assert not any(isinstance(event, Notice) for event, _info in pairs)


async def test_a_token_that_may_not_ask_the_fallback_gets_the_failure():
    other = standing_in()
    tokens = Tokens([Grant("stage", TOKEN, backends=("asked",))])
    async with serving(failing("auth"), other, tokens=tokens, fallback="other") as (_gateway, url):
        pairs = await respond(url)

    assert pairs[-1][0].code == "auth"
    assert not other.requests


async def test_a_text_to_be_told_again_is_no_question_to_another_backend():
    other = standing_in()
    async with (
        serving(failing("server_error"), other, fallback="other") as (_gateway, url),
        connected(url) as client,
    ):
        await client.say(model="asked", input="hello", retell={"text": "an answer", "source": "somebody"})
        events = await client.until("response.failed", "error")

    assert events[-1]["type"] == "response.failed"
    assert not other.requests


async def test_a_fallback_that_cannot_be_had_leaves_the_failure_as_it_is(caplog):
    async with serving(failing("server_error"), fallback="nobody") as (_gateway, url):
        pairs = await respond(url)

    assert (pairs[-1][0].code, pairs[-1][0].message) == ("server_error", "it says no")
    assert "its fallback nobody cannot be had" in caplog.text


async def test_a_fallback_that_breaks_while_it_is_opened_leaves_the_failure_as_it_is(caplog):
    asked = failing("server_error")

    def resolve(name):
        if name == asked.info.name:
            return asked
        raise OSError("too many open files")

    async with serving(resolve=resolve, fallback="other") as (_gateway, url):
        pairs = await respond(url)

    assert (pairs[-1][0].code, pairs[-1][0].message) == ("server_error", "it says no")
    assert "its fallback other cannot be opened" in caplog.text


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MissingKeyError("asked", "ASKED_API_KEY"), "missing_key"),
        (ExtraMissingError("local models", "local"), "unavailable"),
        (RuntimeError("a bug"), "internal"),
    ],
)
async def test_a_backend_that_cannot_be_opened_is_answered_for_too(error, code):
    async with opening(error) as url:
        pairs = await respond(url)

    assert text_of(pairs) == "from the fallback"
    assert {info.name for _event, info in pairs} == {"other"}
    assert pairs[-1][0].provenance["fallback_code"] == code


@pytest.mark.parametrize("error", [UnknownNameError("backend", "asked", ["other"]), UsageError("which model?")])
async def test_a_wrong_name_is_said_and_not_answered_for(error):
    async with opening(error) as url:
        pairs = await respond(url)

    assert isinstance(pairs[-1][0], Failed)
    assert pairs[-1][0].message == error.message


async def test_metrics_count_it_and_give_the_figures_to_who_answered():
    meter = PrometheusMeter()
    async with serving(failing("rate_limited"), standing_in(), fallback="other", meter=meter) as (gateway, url):
        await respond(url)
        await until(lambda: gateway.connections == 0)
        page = meter.render(0, 0).decode()

    for line in (
        'chatapp_fallbacks_total{backend="asked",code="rate_limited",fallback="other"} 1.0',
        'chatapp_upstream_errors_total{backend="asked",code="rate_limited"} 1.0',
        'chatapp_responses_total{backend="other",outcome="done"} 1.0',
        'chatapp_time_to_first_token_seconds_count{backend="other"} 1.0',
    ):
        assert line in page
    assert 'chatapp_responses_total{backend="asked"' not in page
