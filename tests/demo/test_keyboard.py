from statistics import mean

from chatapp.demo.keyboard import key_delays_ns
from chatapp.demo.script import Pace

MS = 1_000_000


def test_typing_is_uneven_and_the_same_for_the_same_seed():
    pace = Pace(typing_ns=60 * MS, jitter=0.3, seed=7)
    text = "explainwebsocketsinoneline" * 20
    delays = key_delays_ns(text, pace)
    assert delays == key_delays_ns(text, pace)
    assert delays != key_delays_ns(text, Pace(typing_ns=60 * MS, jitter=0.3, seed=8))
    assert delays != key_delays_ns(text, pace, seed="another step")
    assert 55 * MS < mean(delays) < 65 * MS
    assert len(set(delays)) > 100
    assert min(delays) >= 12 * MS


def test_people_pause_after_words_and_sentences():
    assert key_delays_ns("a b.", Pace(typing_ns=10 * MS, jitter=0)) == [10 * MS, 15 * MS, 10 * MS, 40 * MS]


def test_a_steps_own_speed_and_the_scripts_factor():
    assert key_delays_ns("ab", Pace(typing_ns=10 * MS, jitter=0, speed=2), speed_ns=4 * MS) == [2 * MS, 2 * MS]
