import pytest

from chatapp.stream.answer import Answer
from chatapp.stream.assessment import final_figures, take_snapshot
from chatapp.stream.events import BackendInfo, Delta, Failed, Finished, Sent, ServerTiming, Usage

MS = 1_000_000
S = 1_000 * MS
WORD = " word"


def test_before_the_request_everything_is_a_dash(answer):
    snapshot = take_snapshot(answer, 5 * S)
    assert snapshot.phase == "waiting"
    assert snapshot.elapsed_ms is snapshot.ttft_ms is snapshot.live_tps is snapshot.output_tokens is None
    assert snapshot.series == ()
    assert snapshot.shown_tps is None


def test_the_stopwatch_runs_until_the_first_text_and_stops_with_the_end(answer):
    answer.feed(Sent(at_ns=S, connect_ns={"tcp": MS}))
    assert take_snapshot(answer, S + 300 * MS).elapsed_ms == 300
    assert take_snapshot(answer, S - 5).elapsed_ms == 0
    answer.feed(Failed(at_ns=2 * S, code="timeout", message=""))
    snapshot = take_snapshot(answer, 9 * S)
    assert (snapshot.elapsed_ms, snapshot.connect_ms) == (1000, 1)


def test_live_figures_begin_with_the_third_chunk(stream):
    answer = stream([(100, WORD), (110, WORD)], end=False)
    assert answer.snapshot(110 * MS).live_tps is None
    answer.feed(Delta(text=WORD, at_ns=120 * MS))
    snapshot = answer.snapshot(120 * MS)
    assert snapshot.live_tps == snapshot.shown_tps == pytest.approx(100)
    assert (snapshot.phase, snapshot.chunks) == ("streaming", 3)
    assert snapshot.output_estimated
    assert snapshot.icl_p50_ms == pytest.approx(10, rel=0.02)


def test_a_live_figure_loses_no_words_to_the_held_back_tail(stream):
    answer = stream([(100 + i * 200, WORD) for i in range(11)], end=False)
    snapshot = answer.snapshot(2100 * MS)
    assert snapshot.live_tps == pytest.approx(5)
    assert snapshot.output_tokens == 11


def test_the_end_freezes_the_mean(stream):
    snapshot = stream([(i * 10, WORD) for i in range(1, 201)], Usage(input_tokens=9, output_tokens=400)).snapshot(9 * S)
    assert snapshot.live_tps is None
    assert snapshot.shown_tps == snapshot.output_speed_tps == pytest.approx(200)
    assert snapshot.peak_tps == pytest.approx(200)
    assert snapshot.common_tps == pytest.approx(100)
    assert snapshot.characters_per_s == pytest.approx(500)
    assert (snapshot.output_tokens, snapshot.output_estimated) == (400, False)
    assert (snapshot.input_tokens, snapshot.input_estimated) == (9, False)
    assert snapshot.series == pytest.approx((200,) * len(snapshot.series))


def test_first_answer_is_shown_only_where_it_differs(stream):
    assert stream([(5, WORD)]).snapshot(S).ttfa_ms is None
    thinking = stream([(5, WORD, "reasoning")], end=False)
    assert (thinking.snapshot(S).ttft_ms, thinking.snapshot(S).ttfa_ms) == (5, None)
    thinking.feed(Delta(text="x", at_ns=9 * MS))
    assert (thinking.snapshot(S).ttft_ms, thinking.snapshot(S).ttfa_ms) == (5, 9)


def test_uncertain_stamps_are_marked_only_beyond_their_limits(stream):
    chunks = [(i * 10, WORD) for i in range(1, 101)]
    good = stream(chunks, uncertainty_ns=MS // 10).snapshot(S)
    assert good.ttft_uncertain_ms is good.speed_uncertain is None
    bad = stream(chunks, uncertainty_ns=5 * MS).snapshot(S)
    assert bad.ttft_uncertain_ms == 5
    assert bad.speed_uncertain == pytest.approx(10 / 990)


def test_server_timing_stands_beside_ours(stream):
    timing = ServerTiming(source="cerebras", queue_s=0.001, prefill_s=0.002, decode_s=0.005, decode_tps=2000)
    snapshot = stream([(4, WORD), (10, WORD)], timing).snapshot(S)
    assert snapshot.server_timing == timing
    assert snapshot.time_shares.rest_s == pytest.approx(0.002)


def test_final_figures_of_uneven_channels_scale_each_by_its_own(stream):
    rows = [(i * 10, WORD, "reasoning") for i in range(1, 121)] + [(1200 + i * 10, WORD) for i in range(1, 121)]
    figures = final_figures(stream(rows, Usage(output_tokens=360, reasoning_tokens=120)))
    assert figures.reasoning_tokens == 120
    assert figures.peak_tps == pytest.approx(200)
    assert figures.output_speed_tps == pytest.approx(359 / 2.39)
    assert figures.perceived_tps == pytest.approx(360 / 2.4)


def test_a_scaled_first_chunk_leaves_the_speed_that_much_less_certain(stream):
    chunks = [(i * 20, WORD * 20) for i in range(1, 6)]
    figures = stream(chunks, Usage(output_tokens=150)).final()
    assert figures.speed_uncertainty == pytest.approx(10 / 120)
    assert figures.doubtful
    assert stream(chunks, Usage(output_tokens=100)).final().speed_uncertainty == 0
    assert stream(chunks, Usage(output_tokens=150), tokens=30).final().speed_uncertainty == 0


def test_a_scaled_first_chunk_of_reasoning_is_judged_by_its_own_scale(stream):
    rows = [(10, WORD, "reasoning"), (20, WORD), (30, WORD)]
    figures = stream(rows, Usage(output_tokens=4, reasoning_tokens=2)).final()
    assert figures.speed_uncertainty == pytest.approx(0.5)


def test_simulated_answers_are_marked():
    info = BackendInfo(name="sim:a/b", label="A", kind="simulated", provider="sim", model="b")
    answer = Answer(info)
    answer.feed(Sent(at_ns=0, source="schedule", reused=True))
    answer.feed(Delta(text="x", at_ns=MS, tokens=1))
    answer.feed(Finished(at_ns=MS))
    assert answer.snapshot(S).simulated
    assert answer.final().simulated
    assert answer.final().arrival_source == "schedule"
    assert answer.final().connection_reused
