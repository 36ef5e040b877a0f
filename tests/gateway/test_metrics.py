"""The page for Prometheus stays small whatever names clients ask for."""

from __future__ import annotations

import pytest

from chatapp.gateway.meter import LONGEST_NAME, MOST_NAMES, Ended
from chatapp.gateway.metrics import PrometheusMeter
from chatapp.stream.answer import Answer
from chatapp.stream.events import BackendInfo, Delta, Failed, Finished, Message, Request, Sent, Usage
from tests.gateway.raw import OPENING, answer, connected
from tests.gateway.scripted import ScriptedBackend, echo, serving, until

pytestmark = pytest.mark.timeout(20)

AUTH = {"Authorization": OPENING["Authorization"]}


def ended(name, end=None):
    told = Answer(BackendInfo(name, name, "live", "Tests", name))
    for event in (Sent(0), Delta("a", 1_000), Delta("b", 2_000), Usage(1, 2), end or Finished(3_000)):
        told.feed(event)
    return Ended("resp_1", "resp_1", Request((Message("user", "hi"),)), told, 0)


def page(meter):
    return meter.render(0, 0).decode()


@pytest.mark.parametrize(
    "tell",
    [
        lambda meter, name: meter.ended(ended(name)),
        lambda meter, name: meter.ended(ended(name, Failed(3_000, "server_error", "boom"))),
        lambda meter, name: meter.fell_back(name, "stand-in", "timeout"),
        lambda meter, name: meter.fell_back("asked", name, "timeout"),
    ],
    ids=["done", "failed", "asked", "fallback"],
)
def test_names_beyond_the_first_are_counted_together_and_long_ones_too(tell):
    meter = PrometheusMeter()
    long = "x" * (LONGEST_NAME + 1)
    tell(meter, long)
    assert long[:50] not in page(meter)
    for number in range(MOST_NAMES + 20):
        tell(meter, f"name-{number}")
    full = page(meter)
    tell(meter, "one-more")
    tell(meter, "name-0")

    assert '"other"' in full
    assert '"name-0"' in full
    assert "one-more" not in page(meter)
    assert len(page(meter)) < len(full) + 200


def test_a_name_that_is_known_keeps_its_own_figures():
    meter = PrometheusMeter()
    longest = "x" * LONGEST_NAME
    meter.ended(ended(longest))
    for number in range(MOST_NAMES * 2):
        meter.ended(ended(f"name-{number}"))
    meter.ended(ended(longest))

    assert f'chatapp_responses_total{{backend="{longest}",outcome="done"}} 2.0' in page(meter)
    rest = MOST_NAMES * 2 - (MOST_NAMES - 1)
    assert f'chatapp_responses_total{{backend="other",outcome="done"}} {rest:.1f}' in page(meter)


async def test_names_that_clients_make_up_do_not_make_the_page_large():
    names = ["y" * 250 + str(number) for number in range(5)]
    backends = [ScriptedBackend(echo, name) for name in names]
    async with serving(*backends, meter=PrometheusMeter()) as (gateway, url):
        async with connected(url) as client:
            for name in names:
                await client.say(model=name, input="hi")
                await client.until("response.completed")
            await client.say(model="z" * 100_000, input="hi")
            refused = await client.event()
        await until(lambda: not gateway.connections)
        _status, text = await answer(url, "/metrics", AUTH)

    assert (refused["error"]["code"], refused["error"]["param"]) == ("invalid_value", "model")
    assert 'chatapp_responses_total{backend="other",outcome="done"} 5.0' in text
    assert "yyy" not in text
    assert "zzz" not in text
