"""The official SDK drives our gateway, as any user's program would."""

from openai import AsyncOpenAI

from tests.gateway.scripted import TOKEN, ScriptedBackend, echo, serving


def client_for(url):
    return AsyncOpenAI(
        base_url=url.replace("ws://", "http://").removesuffix("/responses"), api_key=TOKEN.reveal(), max_retries=0
    )


async def events_of(connection, *, stop=("response.completed", "response.failed", "response.incomplete", "error")):
    events = []
    async for event in connection:
        events.append(event)
        if event.type in stop:
            return events
    return events


async def test_a_conversation_of_two_turns():
    backend = ScriptedBackend(echo)
    async with serving(backend) as (_gateway, url), client_for(url) as client, client.responses.connect() as connection:
        await connection.response.create(model="scripted", input="think first", metadata={"mine": "kept"})
        first = await events_of(connection)
        await connection.response.create(model="scripted", input="second", previous_response_id=first[-1].response.id)
        second = await events_of(connection)
    kinds = [event.type for event in first]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] == "response.completed"
    assert "response.reasoning_text.delta" in kinds
    assert [event.sequence_number for event in first] == list(range(len(first)))
    deltas = "".join(e.delta for e in first if e.type == "response.output_text.delta")
    done = next(e for e in first if e.type == "response.output_text.done")
    assert deltas == done.text == first[-1].response.output_text == "1 messages: think first"
    usage = first[-1].response.usage
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (10, 3, 13)
    assert first[-1].response.metadata["mine"] == "kept"
    assert first[-1].response.metadata["token_count_source"] == "usage"
    assert first[0].backend["name"] == "scripted"
    arrivals = [row for e in first if e.type == "response.output_text.delta" for row in e.arrivals]
    assert sum(characters for _at, characters, _tokens in arrivals) == len(deltas)
    assert second[-1].response.output_text == "3 messages: second"
    assert [m.role for m in backend.requests[1].messages] == ["user", "assistant", "user"]


async def test_two_streams_at_once_and_each_event_says_whose_it_is():
    async with (
        serving(ScriptedBackend(echo)) as (_gateway, url),
        client_for(url) as client,
        client.responses.connect() as connection,
    ):
        for name in ("left", "right"):
            await connection.send({"type": "response.create", "model": "scripted", "input": name, "stream_id": name})
        texts = {"left": "", "right": ""}
        ended = set()
        async for event in connection:
            if event.type == "response.output_text.delta":
                texts[event.stream_id] += event.delta
            if event.type == "response.completed":
                ended.add(event.stream_id)
                if len(ended) == 2:
                    break
    assert texts == {"left": "1 messages: left", "right": "1 messages: right"}


async def test_an_error_is_an_event_and_the_connection_lives_on():
    async with (
        serving(ScriptedBackend(echo)) as (_gateway, url),
        client_for(url) as client,
        client.responses.connect() as connection,
    ):
        await connection.response.create(model="scriptd", input="x")
        (error,) = await events_of(connection)
        assert error.type == "error"
        assert error.status == 404
        assert error.error.code == "model_not_found"
        assert "scripted" in error.error.message
        await connection.response.create(model="scripted", input="still here")
        assert (await events_of(connection))[-1].response.output_text == "1 messages: still here"
