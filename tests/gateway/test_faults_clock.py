"""Case 49: somebody sets the clock while an answer streams, from a server's socket to the client's figures."""

from __future__ import annotations

import asyncio
import time

import pytest

from chatapp.client.connection import Connection, ResponseCreate
from chatapp.gateway.peer import Limits
from chatapp.gateway.tokens import Grant, Tokens
from chatapp.stream.answer import Answer
from chatapp.stream.events import Delta, Finished, Message
from tests.backends.asking import INFO, asking
from tests.gateway.scripted import TOKEN, serving
from tests.integration.chat_server import answer

pytestmark = pytest.mark.timeout(30)

WORDS = [f"word{number} " for number in range(40)]
REAL, REAL_NS = time.time, time.time_ns


@pytest.mark.parametrize("step_s", [-2, 0.05, 86_400])
async def test_case_49_a_clock_that_is_set_in_a_stream_changes_no_figure_and_no_deadline(step_s, monkeypatch):
    limits = Limits(deadline_s=5, message_s=5, open_s=5, ping_s=0.2)
    tokens = Tokens([Grant("stage", TOKEN, requests_per_minute=60)])
    ask = ResponseCreate(model=INFO.name, input=(Message("user", "hello"),))
    async with (
        asking(answer(WORDS, gap=0.01)) as (_server, backend),
        serving(backend, tokens=tokens, limits=limits) as (gateway, url),
    ):
        connection = await Connection.open(url, TOKEN)
        begun_ns = time.monotonic_ns()
        read = Answer(INFO)
        count = 0
        async for event in connection.respond(ask):
            read.feed(event)
            count += isinstance(event, Delta)
            if count == 10:  # from now on the wall clock is elsewhere, for gateway, backend and client
                monkeypatch.setattr(time, "time", lambda: REAL() + step_s)
                monkeypatch.setattr(time, "time_ns", lambda: REAL_NS() + int(step_s * 1e9))
        took_ms = (time.monotonic_ns() - begun_ns) / 1e6
        await asyncio.sleep(0.6)  # two looks at all deadlines
        assert gateway.connections == 1, "nobody is dropped"
        again = [event async for event in connection.respond(ask)]
        await connection.aclose()

    figures = read.final()
    assert read.text == "".join(WORDS)
    assert read.outcome == "done"
    assert not [warning for warning in figures.warnings if "clock" in warning]
    assert 0 <= figures.ttft_ms <= figures.e2e_ms <= took_ms
    assert figures.e2e_ms >= 390, "forty words, 10 ms apart"
    assert list(read.timeline.at_ns) == sorted(read.timeline.at_ns)
    assert read.timeline.at_ns[-1] < time.monotonic_ns()
    assert isinstance(again[-1], Finished), "its minute's requests are not used up, nor refilled by a jump"
