import asyncio

from chatapp.clock import NS_PER_MS, MonotonicClock, VirtualClock


async def test_the_monotonic_clock_never_wakes_early():
    clock = MonotonicClock()
    deadline = clock.now_ns() + 2 * NS_PER_MS
    await clock.sleep_until(deadline)
    assert clock.now_ns() >= deadline
    await clock.sleep_until(deadline)  # passed already: returns


async def test_sleepers_wake_in_order_at_their_own_deadlines():
    clock = VirtualClock()
    woken = []

    async def sleeper(name, *deadlines):
        for deadline in deadlines:
            await clock.sleep_until(deadline)
            woken.append((name, clock.now_ns()))

    tasks = [asyncio.create_task(sleeper("a", 10, 40)), asyncio.create_task(sleeper("b", 20, 30))]
    await asyncio.sleep(0)
    await clock.advance(35)
    assert woken == [("a", 10), ("b", 20), ("b", 30)]
    assert clock.now_ns() == 35
    await clock.advance(5)
    await asyncio.gather(*tasks)
    assert woken[-1] == ("a", 40)


async def test_autojump_runs_an_hour_at_once_and_in_order():
    clock = VirtualClock(autojump=True)
    seen = []

    async def ticker(name, period):
        for i in range(1, 4):
            await clock.sleep_until(i * period)
            seen.append((clock.now_ns(), name))

    hour = 3_600_000_000_000
    await asyncio.gather(ticker("a", hour), ticker("b", hour // 2))
    assert seen == sorted(seen)
    assert clock.now_ns() == 3 * hour


async def test_a_cancelled_sleeper_is_passed_over():
    clock = VirtualClock(autojump=True)
    cancelled = asyncio.create_task(clock.sleep_until(5))
    await asyncio.sleep(0)
    cancelled.cancel()
    await clock.sleep_until(10)
    assert clock.now_ns() == 10
    await clock.sleep_until(3)  # passed already
    assert clock.now_ns() == 10


async def test_autojump_does_not_move_time_for_a_cancelled_sleeper():
    clock = VirtualClock(autojump=True)
    cancelled = asyncio.create_task(clock.sleep_until(1_000))
    await clock.sleep_until(1)
    cancelled.cancel()
    for _ in range(200):
        await asyncio.sleep(0)
    assert clock.now_ns() == 1
