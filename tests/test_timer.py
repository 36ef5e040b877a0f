import asyncio
import sys

import pytest

from chatapp.clock import NS_PER_MS
from chatapp.timer import PreciseClock

linux = pytest.mark.skipif(sys.platform != "linux", reason="timerfd is Linux's")


@pytest.fixture
async def clock():
    made = PreciseClock()
    yield made
    made.close()


async def test_a_sleep_never_ends_early(clock):
    for wait_ns in (0, 1, 100_000, 3 * NS_PER_MS):
        deadline = clock.now_ns() + wait_ns
        await clock.sleep_until(deadline)
        assert clock.now_ns() >= deadline


async def test_a_past_deadline_gives_others_a_turn(clock):
    turns = []
    asyncio.get_running_loop().call_soon(turns.append, 1)
    await clock.sleep_until(clock.now_ns() - 1)
    assert turns == [1]


async def test_many_sleepers_wake_in_the_order_of_their_deadlines(clock):
    start = clock.now_ns() + 2 * NS_PER_MS
    woken = []

    async def sleeper(name, offset_ms):
        await clock.sleep_until(start + offset_ms * NS_PER_MS)
        woken.append(name)

    await asyncio.gather(sleeper("c", 9), sleeper("a", 1), sleeper("b", 5), sleeper("b2", 5))
    assert woken == ["a", "b", "b2", "c"]


async def test_a_cancelled_sleeper_does_not_hold_up_the_others(clock):
    now = clock.now_ns()
    first = asyncio.create_task(clock.sleep_until(now + 2 * NS_PER_MS))
    second = asyncio.create_task(clock.sleep_until(now + 4 * NS_PER_MS))
    third = asyncio.create_task(clock.sleep_until(now + 3 * NS_PER_MS))
    await asyncio.sleep(0)
    first.cancel()
    third.cancel()
    await second
    assert clock.now_ns() >= now + 4 * NS_PER_MS
    assert first.cancelled()


async def test_it_can_be_closed_twice():
    clock = PreciseClock()
    await clock.sleep_until(clock.now_ns() + 1000)
    clock.close()
    clock.close()
    assert not clock.precise
    await clock.sleep_until(clock.now_ns() + 1000)  # plain sleeps still work


@linux
async def test_the_timer_is_used_where_there_is_one(clock):
    assert clock.precise
