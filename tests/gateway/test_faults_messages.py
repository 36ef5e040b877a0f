"""Cases 25 to 33: whole messages that make no sense, or too much of it."""

from __future__ import annotations

import asyncio
import threading

import pytest

from chatapp.errors import BackendError, MissingKeyError, UsageError
from tests.gateway.raw import ask, connected, event, frame
from tests.gateway.scripted import ScriptedBackend, echo, endless, serving, silent

pytestmark = pytest.mark.timeout(20)

NONSENSE = {
    "words": "hello",
    "cut": '{"type":"response.create"',
    "deep": '{"type":"response.create","x":' + "[" * 10_000,
    "not a number": '{"type":"response.create","model":"scripted","temperature":NaN}',
    "surrogate": '{"type":"response.create","model":"\\ud800"}',
}


@pytest.mark.parametrize("data", NONSENSE.values(), ids=NONSENSE)
async def test_case_25_what_is_not_json_is_an_error_with_its_place_and_the_connection_lives(data):
    async with serving(ScriptedBackend(echo)) as (_gateway, url), connected(url) as client:
        await client.send(frame(data))
        error = await client.event()
        await client.say(model="scripted", input="still here")
        await client.until("response.completed")

    assert error["error"]["code"] == "invalid_json"


async def test_case_25_of_two_keys_the_last_counts():
    async with serving(ScriptedBackend(echo)) as (_gateway, url), connected(url) as client:
        await client.send(frame('{"type":"x","type":"response.create","model":"a","model":"scripted","input":"hi"}'))
        events = await client.until("response.completed", "error")

    assert events[-1]["type"] == "response.completed"


async def test_case_25_ten_in_a_row_are_1008():
    async with serving(ScriptedBackend(echo)) as (_gateway, url), connected(url) as client:
        for _ in range(10):
            await client.send(frame("nonsense"))
        assert await client.close_code() == 1008


async def test_case_25_sense_in_between_counts_anew():
    async with serving(ScriptedBackend(echo)) as (_gateway, url), connected(url) as client:
        for _ in range(3):
            for _ in range(9):
                await client.send(frame("nonsense"))
                await client.event()
            await client.send(frame(event("response.cancel")))
        await client.say(model="scripted", input="still here")
        await client.until("response.completed")


async def test_case_26_an_unknown_type_is_refused_and_an_unknown_field_ignored():
    async with serving(ScriptedBackend(echo)) as (_gateway, url), connected(url) as client:
        await client.send(frame(event("session.update", stream_id="s")))
        error = await client.event()
        await client.say(model="scripted", input="hi", field_of_the_future={"x": [1]})
        await client.until("response.completed")

    assert (error["error"]["code"], error["stream_id"]) == ("unknown_type", "s")


async def test_case_27_a_wrong_field_is_named_with_its_path():
    async with serving(ScriptedBackend(echo)) as (_gateway, url), connected(url) as client:
        await client.say(model="scripted", input=[{"role": "user", "content": [{"type": "input_text", "text": 3}]}])
        error = await client.event()

    assert error["error"]["param"] == "input[0].content[0].text"


@pytest.mark.parametrize(
    "prompt",
    ["nul \x00", "esc \x1b]52;c;aGk=\x07", "bidi \u202e", "tag \U000e0041", "x" * (1 << 20)],
    ids=["nul", "esc", "bidi", "tag", "1 MiB"],
)
async def test_case_28_a_strange_or_long_prompt_reaches_the_backend_unchanged(prompt):
    backend = ScriptedBackend(silent)
    async with serving(backend) as (_gateway, url), connected(url) as client:
        await client.say(model="scripted", input=prompt)
        await client.until("response.in_progress")

    assert backend.requests[0].prompt == prompt


async def test_case_28_an_empty_prompt_is_refused_and_a_book_is_1009():
    async with serving(ScriptedBackend(echo)) as (_gateway, url), connected(url) as client:
        await client.say(model="scripted", input="")
        error = await client.event()
        await client.say(model="scripted", input="x" * (4 << 20))
        code = await client.close_code()

    assert (error["error"]["param"], code) == ("input", 1009)


async def test_case_29_an_unknown_backend_is_refused_with_the_nearest_names():
    async with serving(ScriptedBackend(echo)) as (_gateway, url), connected(url) as client:
        await client.say(model="scriptde", input="hi", stream_id="s")
        error = await client.event()

    assert (error["error"]["code"], error["status"], error["stream_id"]) == ("model_not_found", 404, "s")
    assert "scripted" in error["error"]["message"]


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (MissingKeyError("groq", "GROQ_API_KEY"), "missing_key", 401),
        (BackendError("unreachable", "ollama does not answer"), "unreachable", 400),
        (UsageError("which model of ollama?", hint="one of: a, b"), "bad_request", 400),
        (RuntimeError("a bug"), "internal", 500),
    ],
)
async def test_case_29_a_backend_that_cannot_be_opened_is_an_error_of_its_stream(error, code, status):
    async with serving(ScriptedBackend(echo)) as (gateway, url), connected(url) as client:

        def resolve(name):
            raise error

        gateway.pool._resolve = resolve
        await client.say(model="other", input="hi", stream_id="s")
        got = await client.event()

        assert (got["error"]["code"], got["status"], got["stream_id"]) == (code, status, "s")
        assert gateway.streams == 0


async def test_case_30_a_second_response_on_a_stream_is_a_conflict():
    async with serving(ScriptedBackend(silent)) as (_gateway, url), connected(url) as client:
        await client.say(model="scripted", input="one", stream_id="s")
        await client.until("response.in_progress")
        await client.say(model="scripted", input="two", stream_id="s")
        error = await client.event()

    assert (error["error"]["code"], error["status"]) == ("conflict", 409)


async def test_case_31_a_cancel_of_nothing_is_no_error():
    async with serving(ScriptedBackend(echo)) as (_gateway, url), connected(url) as client:
        await client.send(frame(event("response.cancel", response_id="resp_unknown")))
        await client.say(model="scripted", input="hi")
        done = (await client.until("response.completed"))[-1]
        await client.send(frame(event("response.cancel", response_id=done["response"]["id"])))
        await client.say(model="scripted", input="still here")
        await client.until("response.completed")


@pytest.mark.parametrize("which", ["response_id", "stream_id", "all"])
async def test_case_31_a_cancel_ends_the_answer_and_closes_its_upstream(which):
    backend = ScriptedBackend(endless)
    async with serving(backend) as (_gateway, url), connected(url) as client:
        await client.say(model="scripted", input="hi", stream_id="s")
        created = await client.event()
        await client.until("response.output_text.delta")
        fields = {"response_id": created["response"]["id"], "stream_id": "s"}
        fields = {which: fields[which]} if which != "all" else {}
        await client.send(frame(event("response.cancel", **fields)))
        last = (await client.until("response.incomplete"))[-1]

    assert last["response"]["status"] == "cancelled"
    assert backend.closed_early == 1


async def test_case_31_a_cancel_in_the_same_read_as_its_request_ends_it_and_frees_its_place():
    async with serving(ScriptedBackend(endless)) as (gateway, url), connected(url) as client:
        asked = frame(event("response.create", model="scripted", input="hi", stream_id="s"))
        await client.send(asked + frame(event("response.cancel")))
        got = await client.event()
        assert (got["type"], got["error"]["code"], got["stream_id"]) == ("error", "cancelled", "s")
        assert gateway.streams == 0
        await client.send(asked)
        await client.until("response.output_text.delta")
        assert gateway.streams == 1


async def test_case_31_a_cancel_while_the_backend_is_being_opened_ends_the_request():
    opening, go_on = threading.Event(), threading.Event()

    def resolve(name):
        opening.set()
        go_on.wait(10)
        return ScriptedBackend(echo)

    async with serving(resolve=resolve) as (gateway, url), connected(url) as client:
        await client.say(model="scripted", input="hi", stream_id="s")
        await asyncio.to_thread(opening.wait, 10)
        await client.send(frame(event("response.cancel")))
        got = await client.event()
        assert (got["type"], got["error"]["code"], got["stream_id"]) == ("error", "cancelled", "s")
        assert gateway.streams == 0
        go_on.set()
        await client.say(model="scripted", input="hi", stream_id="s")
        await client.until("response.completed")


async def test_case_31_a_cancel_of_one_stream_leaves_the_other():
    backend = ScriptedBackend(endless)
    async with serving(backend) as (_gateway, url), connected(url) as client:
        for stream_id in ("a", "b"):
            await client.say(model="scripted", input="hi", stream_id=stream_id)
        while backend.running < 2:
            await client.event()
        await client.send(frame(event("response.cancel", stream_id="a")))
        last = (await client.until("response.incomplete"))[-1]
        after = await client.event()

        assert (last["stream_id"], after["stream_id"], backend.running) == ("a", "b", 1)


async def test_case_32_a_hundred_starts_at_once_are_bounded():
    backend = ScriptedBackend(silent)
    async with serving(backend) as (_gateway, url), connected(url) as client:
        await client.send(
            b"".join(frame(event(model="scripted", input="hi", stream_id=f"s{number}")) for number in range(100))
        )
        refused = created = 0
        while refused + created < 100:
            got = await client.event()
            refused += got["type"] == "error" and got["error"]["code"] == "busy"
            created += got["type"] == "response.created"

        assert (created, backend.running) == (16, 16)


async def test_case_33_a_message_before_the_handshake_is_no_request():
    # Whoever has not shown the token in the handshake has no connection: there is no separate hello to forget.
    async with serving(ScriptedBackend(echo)) as (gateway, url):
        async with asyncio.timeout(10):
            assert not (await ask(url, frame(event(model="scripted", input="hi")) + b"\r\n\r\n")).startswith(
                b"HTTP/1.1 2"
            )
        assert gateway.streams == 0


async def test_a_backend_that_breaks_its_interface_ends_its_answer_and_nothing_else(caplog):
    async def broken(request):
        yield
        raise RuntimeError

    async def nothing(request):
        return
        yield

    async with (
        serving(ScriptedBackend(broken, "broken"), ScriptedBackend(nothing, "nothing")) as (_gateway, url),
        connected(url) as client,
    ):
        await client.say(model="broken", input="hi")
        internal = (await client.until("response.failed"))[-1]
        await client.say(model="nothing", input="hi")
        truncated = (await client.until("response.failed"))[-1]

    assert internal["response"]["error"]["code"] == "internal"
    assert truncated["response"]["error"]["code"] == "truncated"
    assert "broke its interface" in caplog.text


async def test_a_connection_that_is_too_old_is_told_to_open_another():
    async with serving(ScriptedBackend(echo), most_age_s=0.0) as (_gateway, url), connected(url) as client:
        error = await client.event()
        code = await client.close_code()

    assert (error["error"]["code"], code) == ("websocket_connection_limit_reached", 1000)
