import pytest

from chatapp.stream.answer import Answer
from chatapp.stream.events import BackendInfo, Delta, Finished, Sent, ServerTiming
from chatapp.ui.screens.detail import detail_lines, gather

MS = 1_000_000
INFO = BackendInfo("local", "Gemma", "local", "llama.cpp", "gemma", note="a note \x1b[31m")


def page(*events, width: int = 70) -> str:
    answer = Answer(INFO)
    for event in events:
        answer.feed(event)
    return "\n".join(line.plain for line in detail_lines(answer, answer.snapshot(10**10), width))


def test_nothing_yet():
    text = page()
    assert "no text yet" in text
    assert "fewer than two chunks" in text


def test_phases_gaps_and_clock():
    deltas = [Delta("word ", (100 + 10 * n) * MS, tokens=1) for n in range(5)]
    text = page(Sent(0, source="kernel", connect_ns={"tcp": 3 * MS}), *deltas, Finished(150 * MS))
    assert "to first token     100 ms" in text
    assert "answer              40 ms" in text
    assert "under 1 s · in flow" in text
    assert "to 10 ms                4" in text
    assert "the kernel's receive time" in text
    assert "3.0 ms   before the request" in text
    assert "\x1b" not in text


def test_reasoning_is_a_phase_of_its_own():
    text = page(
        Sent(0),
        Delta("hm", 100 * MS, channel="reasoning"),
        Delta("so", 300 * MS),
        Delta("!", 400 * MS),
        Finished(400 * MS),
    )
    assert "reasoning          200 ms" in text


def test_the_servers_split_and_its_figures_beside_ours():
    timing = ServerTiming(
        "groq", queue_s=0.01, prefill_s=0.02, decode_s=0.05, total_s=0.08, decode_tps=95, prefill_tps=9000
    )
    text = page(Sent(0), Delta("a ", 100 * MS), Delta("b", 110 * MS), timing, Finished(110 * MS))
    for words in ("queue", "prefill", "decode", "network, client", "95.0 tok/s   here", "9,000 tok/s"):
        assert words in text


def test_a_server_that_claims_more_than_passed_is_marked():
    text = page(Sent(0), Delta("a", 10 * MS), Delta("b", 20 * MS), ServerTiming("x", decode_s=5.0), Finished(20 * MS))
    assert "more than passed here" in text


@pytest.mark.parametrize("rows", [1, 3, 12])
def test_gathering_loses_no_gap(rows):
    histogram = [(0.0, 2), *((1.02**n, n + 1) for n in range(100))]
    gathered = gather(histogram, rows)
    assert sum(count for _edge, count in gathered) == sum(count for _edge, count in histogram)
    assert len(gathered) <= rows + 1
    assert gathered[-1][0] == histogram[-1][0]


def test_edges_that_read_the_same_are_one_row():
    deltas, now_us = [], 100_000
    for gap_us in (20_100, 20_500, 21_000, 21_400, 66_000):
        now_us += gap_us
        deltas.append(Delta("word ", now_us * 1000, tokens=1))
    text = page(Sent(0), Delta("word ", 100 * MS, tokens=1), *deltas, Finished(now_us * 1000))
    labels = [line.partition(" ms")[0] for line in text.splitlines() if line.startswith("to ") and "first" not in line]
    assert len(labels) >= 2
    assert len(set(labels)) == len(labels)


def test_gathering_only_zero_gaps():
    assert gather([(0.0, 3)], 5) == [(0.0, 3)]
