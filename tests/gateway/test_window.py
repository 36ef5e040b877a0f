from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chatapp.gateway.window import FIRST, LEAST, MOST, TARGET_NS, Window

MS = 1_000_000


def asked(window: Window, size: int, now_ns: int) -> bytes:
    """Send `size` bytes and a ping behind them."""
    window.sent(size)
    return window.ping(now_ns)


def test_the_first_question_belongs_before_the_first_bytes():
    window = Window()
    assert window.fresh
    window.ping(0)
    assert not window.fresh


def test_bytes_are_on_their_way_until_the_pong_behind_them_has_come():
    window = Window()
    payload = asked(window, 1000, 0)
    window.sent(500)

    window.pong(payload, MS)

    assert window.undelivered == 500
    assert window.waiting_since_ns is None


def test_a_pong_of_another_ping_says_nothing():
    window = Window()
    asked(window, 1000, 0)

    assert not window.pong(b"mine", MS)
    assert not Window().pong(b"\0\0\0\1", MS)
    assert (window.undelivered, window.waiting_since_ns) == (1000, 0)


def test_the_limit_doubles_while_a_fast_reader_feels_it():
    window = Window()
    now = 0
    for _ in range(10):
        payload = asked(window, window.room, now)
        now += MS
        window.pong(payload, now)

    assert window.limit == MOST


def test_a_limit_that_is_not_felt_stays():
    window = Window()
    for now in range(0, 100 * MS, MS):
        window.pong(asked(window, 10, now), now + MS // 2)

    assert window.limit == FIRST


def test_a_far_reader_is_not_a_slow_one():
    window = Window()
    window.pong(window.ping(0), 300 * MS)  # an empty pipe: the path's own time
    payload = asked(window, window.room, 300 * MS)

    window.pong(payload, 610 * MS)

    assert window.limit == 2 * FIRST


def test_what_a_slow_reader_has_on_its_way_is_read_within_the_target():
    bytes_per_s = 5_000
    window = Window()
    window.pong(window.ping(0), MS)
    now = MS
    lags = []
    for _ in range(50):
        size = max(window.room, 0)
        payload = asked(window, size, now)
        lags.append(window.undelivered / bytes_per_s)
        now += MS + int(window.undelivered / bytes_per_s * 1e9)
        window.pong(payload, now)

    assert lags[-1] <= TARGET_NS / 1e9 + LEAST / bytes_per_s
    assert window.limit >= LEAST


def test_a_reader_that_became_fast_gets_its_room_back():
    window = Window()
    window.pong(window.ping(0), MS)
    payload = asked(window, window.room, MS)
    window.pong(payload, 5_000 * MS)
    assert window.limit == LEAST
    now = 5_000 * MS
    for _ in range(12):
        payload = asked(window, window.room, now)
        now += MS
        window.pong(payload, now)

    assert window.limit == MOST


@given(st.lists(st.tuples(st.integers(0, 5000), st.integers(1, 3000)), min_size=1, max_size=60))
def test_a_closed_window_always_has_a_question_on_its_way(steps):
    window = Window()
    now, payload = 0, None
    for size, wait_ms in steps:
        if window.room > 0 and size and window.sent(size):
            payload = window.ping(now)
        assert window.room > 0 or window.waiting_since_ns is not None
        now += wait_ms * MS
        if payload is not None:
            again, payload = window.pong(payload, now), None
            if again:
                payload = window.ping(now)
        assert window.room > 0 or window.waiting_since_ns is not None
