"""The words of the conventions for what has ended: nothing that is not known, and nothing before its beginning."""

from __future__ import annotations

import pytest

from chatapp.gateway import conventions
from chatapp.gateway.meter import Ended
from chatapp.stream.answer import Answer
from chatapp.stream.events import BackendInfo, Delta, Failed, Finished, Message, Request, Sent, Usage

MS = 1_000_000


def ended(*events, kind="live", provider="OpenAI", model="m", begun_ns=0, request=None):
    answer = Answer(BackendInfo("b/m", "B", kind, provider, model))
    for event in events:
        answer.feed(event)
    return Ended("resp_1", "resp_1", request or Request((Message("user", "hi"),)), answer, begun_ns)


@pytest.mark.parametrize(
    ("kind", "provider", "name"),
    [
        ("live", "OpenAI", "openai"),
        ("live", "Moonshot AI", "moonshot_ai"),
        ("live", "xAI", "x_ai"),
        ("live", "Groq", "groq"),
        ("live", "Together AI", "together_ai"),
        ("live", "llama.cpp", "llama.cpp"),
        ("live", "127.0.0.1:8000", "127.0.0.1:8000"),
        ("live", "", "_OTHER"),
        ("local", "llama.cpp on this machine", "llama.cpp"),
        ("simulated", "simulated", "simulated"),
        ("recorded", "Groq", "recorded"),
    ],
)
def test_providers(kind, provider, name):
    assert conventions.provider_name(ended(kind=kind, provider=provider).answer.info) == name


def observe(found):
    return conventions.observe(found, found.answer.final())


def describe(found):
    return conventions.describe(found, found.answer.final())


def values(found):
    return {(each.histogram.name, each.beside.get("gen_ai.token.type")): each.value for each in observe(found)}


def test_a_request_that_never_left_began_with_the_gateway():
    found = ended(Failed(30 * MS, "unreachable", "no"), begun_ns=10 * MS)
    assert (conventions.started_ns(found), conventions.ended_ns(found)) == (10 * MS, 30 * MS)
    assert values(found) == {("gen_ai.client.operation.duration", None): 0.02}
    assert [each.beside for each in observe(found)] == [{"error.type": "unreachable"}]


def test_the_end_is_never_before_the_last_text_nor_the_beginning():
    late = ended(Sent(10 * MS), Delta("x", 40 * MS), Finished(30 * MS))
    assert conventions.ended_ns(late) == 40 * MS
    assert conventions.ended_ns(ended(Sent(10 * MS), Finished(5 * MS))) == 10 * MS
    assert conventions.ended_ns(ended(Sent(10 * MS))) == 10 * MS


def test_tokens_that_the_server_did_not_count_are_nobodys():
    text = [Sent(0), Delta("one two three ", 10 * MS), Delta("four five six", 30 * MS)]
    silent = ended(*text, Finished(31 * MS))
    assert not any(name == "gen_ai.client.token.usage" for name, _kind in values(silent))
    assert ("gen_ai.server.time_per_output_token", None) not in values(silent)
    assert values(silent)[("gen_ai.server.time_to_first_token", None)] == 0.01
    assert not any(name.startswith("gen_ai.usage") for name in describe(silent))

    half = ended(*text, Usage(output_tokens=8), Finished(31 * MS))
    assert values(half)[("gen_ai.client.token.usage", "output")] == 8
    assert ("gen_ai.client.token.usage", "input") not in values(half)
    assert values(half)[("gen_ai.server.time_per_output_token", None)] > 0


def test_figures_of_a_server_are_of_answers_that_came_whole():
    text = [Sent(0), Delta("one ", 10 * MS), Delta("two", 30 * MS), Usage(1, 2)]
    for end in (Failed(31 * MS, "server_error", "no"), Finished(31 * MS, "cancelled"), Finished(31 * MS, "truncated")):
        names = {name for name, _kind in values(ended(*text, end))}
        assert "gen_ai.client.operation.time_to_first_chunk" in names
        assert not any(name.startswith("gen_ai.server.") for name in names)
    assert ("gen_ai.server.time_to_first_token", None) in values(ended(*text, Finished(31 * MS, "length")))


def test_a_whole_answer_without_text_has_no_first_token():
    assert set(values(ended(Sent(0), Finished(5 * MS)))) == {("gen_ai.client.operation.duration", None)}


def test_what_a_server_says_of_itself_is_made_safe_and_short():
    told = Finished(9, "stop", {"model": "evil\x1b[2J" + "x" * 1000})
    found = conventions.common(ended(Sent(0, request_id="r\n" + "y" * 1000), told, model="a\nb"))
    assert found["gen_ai.request.model"] == "a b"
    assert found["gen_ai.response.model"].startswith("evil␛[2J")
    assert len(found["gen_ai.response.model"]) == conventions.LONGEST
    assert len(describe(ended(Sent(0, request_id="y" * 999)))["chatapp.upstream.request_id"]) == 200
    code = conventions.error_type(ended(Failed(1, "c\x1b" * 500, "")).answer)
    assert "\x1b" not in code
    assert len(code) == conventions.LONGEST


def test_no_attribute_is_empty():
    plain = describe(ended(Finished(1)))
    assert None not in plain.values()
    assert "" not in plain.values()
    assert set(plain) == {
        "gen_ai.conversation.id",
        "gen_ai.request.stream",
        "gen_ai.response.finish_reasons",
        "gen_ai.response.id",
        "chatapp.arrival_source",
        "chatapp.backend.name",
    }
