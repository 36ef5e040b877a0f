import pytest

from chatapp.compare.race import characters_at, departure_spread_ms, freeze, progress_curve, standings
from chatapp.stream.metrics import Snapshot
from chatapp.stream.timeline import Timeline


def snapshot(phase="streaming", characters=0, **figures):
    optional = ("int | None", "float | None", "ServerTiming | None", "TimeShares | None")
    empty = {name: None for name, kind in Snapshot.__annotations__.items() if kind in optional}
    fixed = {
        "input_estimated": False,
        "output_estimated": False,
        "chunks": 0,
        "series": (),
        "series_bin_ms": 100.0,
        "arrival_source": "schedule",
        "simulated": True,
        "warnings": (),
    }
    return Snapshot(phase=phase, characters=characters, **{**empty, **fixed, **figures})


def running(characters, speed, ttft=100.0):
    return snapshot(
        characters=characters,
        ttft_ms=ttft,
        live_tps=speed,
        output_speed_tps=speed,
        common_tps=speed,
        characters_per_s=speed * 4,
    )


def ended(characters, speed, e2e, ttft=100.0, phase="done"):
    return snapshot(
        phase,
        characters,
        ttft_ms=ttft,
        e2e_ms=e2e,
        output_speed_tps=speed,
        common_tps=speed,
        characters_per_s=speed * 4,
    )


def timeline(*rows):
    out = Timeline()
    for at_ns, characters in rows:
        out.append(at_ns, characters)
    return out


def test_before_any_text_nobody_has_a_place():
    both = standings([snapshot("waiting"), snapshot("sent")])
    assert [s.place for s in both] == [None, None]
    assert [s.share for s in both] == [0.0, 0.0]
    assert [s.speedup for s in both] == [None, None]
    assert standings([]) == ()


def test_with_different_texts_the_fastest_in_the_common_unit_leads():
    native = running(500, 300.0)
    wordy = snapshot(characters=900, live_tps=400.0, output_speed_tps=400.0, common_tps=200.0, characters_per_s=800.0)
    first, second = standings([wordy, native])
    assert (first.place, second.place) == (2, 1)
    assert first.speed == pytest.approx(200.0)  # its 400 native tokens a second are 200 common ones
    assert second.speedup == pytest.approx(1.5)
    assert first.speedup == 1.0


def test_with_the_same_text_finishing_first_wins_and_then_progress_counts():
    lanes = [running(400, 900.0), ended(1000, 500.0, 2000.0), ended(1000, 600.0, 1500.0), running(700, 10.0)]
    assert [s.place for s in standings(lanes, same_text=True)] == [4, 2, 1, 3]


def test_equal_finishes_share_a_place():
    lanes = [ended(10, 5.0, 100.0), ended(10, 5.0, 100.0), ended(10, 5.0, 200.0)]
    assert [s.place for s in standings(lanes, same_text=True)] == [1, 1, 3]


def test_the_order_of_first_tokens_is_kept_apart():
    lanes = [running(10, 900.0, ttft=300.0), running(10, 50.0, ttft=20.0), snapshot("sent")]
    assert [s.first_place for s in standings(lanes)] == [2, 1, None]


def test_what_the_slow_one_still_needs():
    slow, fast = standings([running(200, 10.0), ended(1000, 500.0, 600.0)], same_text=True)
    assert slow.share == pytest.approx(0.2)
    assert slow.remaining_ms == pytest.approx((1000 - 200) / 40 * 1000)
    assert fast.remaining_ms is None
    assert fast.share == 1.0


def test_before_anybody_finished_the_longest_text_is_the_measure():
    slow, fast = standings([running(100, 10.0), running(400, 40.0)])
    assert (slow.share, fast.share) == (0.25, 1.0)
    assert slow.remaining_ms is None


def test_a_failed_lane_leaves_the_others_running():
    failed = snapshot("failed", 50, common_tps=1.0, output_speed_tps=1.0, ttft_ms=5.0)
    first, second, third = standings([failed, running(10, 20.0), running(10, 40.0)])
    assert first.place is None
    assert first.speedup is None
    assert (second.speedup, third.speedup) == (1.0, 2.0)


def test_a_finished_answer_without_text_is_no_measure():
    assert [s.share for s in standings([ended(0, 1.0, 5.0), running(10, 20.0)])] == [0.0, 1.0]


def test_the_freeze_frame_is_the_winners_finish_exactly():
    slow = timeline((100, 10), (200, 10), (900, 10))
    fast = timeline((1050, 20), (1150, 20))
    frame = freeze([(slow, 0, True), (fast, 1000, True)])
    assert frame.winner == 1
    assert frame.elapsed_ms == pytest.approx(150 / 1e6)
    assert frame.characters == (10, 40)
    assert frame.shares == (0.25, 1.0)


def test_no_frame_before_a_whole_answer():
    assert freeze([(timeline((1, 1)), 0, False), (timeline(), 0, True), (timeline((1, 1)), None, True)]) is None


def test_a_lane_that_never_left_has_nothing_in_the_frame():
    frame = freeze([(timeline((5, 4)), 0, True), (timeline(), None, False)])
    assert frame.characters == (4, 0)


def test_characters_at():
    line = timeline((10, 1), (20, 2), (20, 3))
    assert [characters_at(line, t) for t in (9, 10, 19, 20)] == [0, 1, 1, 6]


def test_departure_spread():
    assert departure_spread_ms([5_000_000, None, 5_400_000]) == pytest.approx(0.4)
    assert departure_spread_ms([5, None]) is None


def test_progress_curve():
    assert progress_curve(timeline((2_000_000, 3), (4_000_000, 5)), 1_000_000) == [(1.0, 3), (3.0, 8)]
