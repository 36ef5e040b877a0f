"""The definitions on numbers one can check by hand, and how others got them wrong, case by case."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatapp.stream import metrics
from chatapp.stream.answer import Answer
from chatapp.stream.events import Arrival, Delta, Finished, Sent, ServerTiming, Usage
from chatapp.stream.figures import Figures, Goodput, TimeShares

MS = 1_000_000
S = 1_000 * MS
WORD = " word"  # one token of cl100k


# The definitions


def test_ttft_is_the_first_text_after_the_request_left():
    assert metrics.ttft_ns(100, 350) == 250
    assert metrics.ttft_ns(None, 350) is None
    assert metrics.ttft_ns(100, None) is None
    assert metrics.ttft_ns(100, 99) is None


def test_e2e_ends_with_the_last_text():
    assert metrics.e2e_ns(100, [350, 900]) == 800
    assert metrics.e2e_ns(100, []) is None
    assert metrics.e2e_ns(None, [1]) is None


def test_output_speed_is_what_came_after_the_first_chunk_over_the_time_after_it():
    assert metrics.output_speed([0, S // 2, S], [20, 50, 50]) == 100
    assert metrics.tpot_ns([0, S // 2, S], [20, 50, 50]) == 10 * MS


@pytest.mark.parametrize(
    ("at_ns", "counts"),
    [([], []), ([5], [3]), ([5, 5], [3, 3]), ([5, 9], [3, 0])],
    ids=["none", "one", "instant", "no"],
)
def test_output_speed_is_a_dash_where_it_means_nothing(at_ns, counts):
    assert metrics.output_speed(at_ns, counts) is None
    assert metrics.tpot_ns(at_ns, counts) is None


def test_characters_speed_leaves_the_first_chunk_out_too():
    assert metrics.characters_speed([0, S], [400, 120]) == 120


def test_gaps_are_between_chunks():
    assert metrics.gaps_ns([5, 7, 20]) == [2, 13]
    assert metrics.gaps_ns([5]) == []


def test_perceived_speed_includes_the_wait():
    assert metrics.perceived_speed(0, [S, 2 * S], [50, 50]) == 50
    assert metrics.perceived_speed(None, [S], [50]) is None
    assert metrics.perceived_speed(0, [0], [50]) is None


def test_peak_speed_is_the_highest_second():
    at_ns = [0, *(i * 100 * MS for i in range(1, 30))]
    counts = [1] * 10 + [10] * 10 + [1] * 10
    assert metrics.peak_speed(at_ns, counts) == pytest.approx(100)
    assert metrics.peak_speed([5], [1]) is None


def test_quantiles_are_linear_between_neighbours():
    assert metrics.quantile([1, 2, 3, 4], 0.5) == 2.5
    assert metrics.quantile([1, 2, 3, 4], 1.0) == 4
    assert metrics.quantile([], 0.5) is None


def test_speed_uncertainty_is_that_of_both_ends():
    assert metrics.speed_uncertainty([0, S], [MS, 2 * MS]) == pytest.approx(0.003)
    assert metrics.speed_uncertainty([0], [MS]) is None


def test_time_shares_give_the_rest_to_network_and_client():
    timing = ServerTiming(source="cerebras", queue_s=0.1, prefill_s=0.2, decode_s=0.5)
    assert metrics.time_shares(timing, 1.0) == TimeShares(0.1, 0.2, 0.5, rest_s=pytest.approx(0.2))
    assert metrics.time_shares(ServerTiming(source="x", total_s=0.75), 1.0).rest_s == 0.25
    assert metrics.time_shares(ServerTiming(source="x"), 1.0) is None
    assert metrics.time_shares(None, 1.0) is None
    assert metrics.time_shares(timing, None) is None


def test_a_server_that_claims_more_than_passed_is_not_negative_network_time():
    shares = metrics.time_shares(ServerTiming(source="x", decode_s=2.0), 1.5)
    assert shares.rest_s is None
    assert shares.overclaim_s == 0.5


def test_goodput_needs_every_stated_limit_met_by_a_defined_figure():
    figures = Figures(ttft_ms=100, tpot_ms=10, e2e_ms=500, output_speed_tps=100)
    assert metrics.meets(figures, Goodput())
    assert metrics.meets(figures, Goodput(ttft_ms=100, tpot_ms=10, e2e_ms=500, output_speed_tps=100))
    assert not metrics.meets(figures, Goodput(ttft_ms=99))
    assert not metrics.meets(figures, Goodput(output_speed_tps=101))
    assert not metrics.meets(Figures(), Goodput(ttft_ms=99))
    assert not metrics.meets(Figures(ttft_ms=1, error="timeout: gone"), Goodput())


# How others got it wrong


def test_ttft_inside_the_rate(stream):
    figures = stream([(2000 + i * 10, WORD) for i in range(101)], Usage(output_tokens=101)).final()
    assert figures.output_speed_tps == pytest.approx(100)
    assert figures.perceived_tps == pytest.approx(101 / 3.0)


def test_clock_started_at_the_response_headers(stream):
    # The headers came 300 ms after the request; nothing but the request's own send starts the clock.
    assert stream([(350, WORD), (360, WORD)]).final().ttft_ms == 350


def test_an_empty_role_chunk_taken_as_the_first_token(stream):
    answer = stream([(20, ""), (500, WORD), (510, WORD)])
    assert answer.final().ttft_ms == 500
    assert answer.final().chunks == 2


def test_hidden_reasoning_divided_by_the_short_flush(stream):
    flush = [(119_600 + i * 4, WORD) for i in range(100)]
    figures = stream(flush, Usage(output_tokens=9_120, reasoning_tokens=9_020)).final()
    assert 9_120 / 0.396 > 23_000  # what another tool showed
    assert figures.output_speed_tps == pytest.approx(250)
    assert figures.hidden_tokens == 9_020
    assert any(warning.startswith("hidden_reasoning") for warning in figures.warnings)
    assert figures.perceived_tps < 1


def test_a_chunk_counted_as_a_token(stream):
    figures = stream([(i * 100, WORD * 4) for i in range(11)], Usage(output_tokens=44)).final()
    assert figures.chunks == 11
    assert figures.output_speed_tps == pytest.approx(40)
    assert figures.icl_ms == pytest.approx(100)
    assert figures.tpot_ms == pytest.approx(25)


def test_a_first_chunk_of_many_tokens(stream):
    figures = stream([(50 + i * 20, WORD * 20) for i in range(5)], Usage(output_tokens=100)).final()
    assert figures.output_speed_tps == pytest.approx(1000)
    naive = 99 / 0.080  # (N - 1) over the time after the first chunk
    assert naive > 1.23 * figures.output_speed_tps


def test_whole_seconds_from_the_wall_clock(stream):
    figures = stream([(1.25, WORD), (1.75, WORD), (2.5, WORD)]).final()
    assert figures.ttft_ms == 1.25
    assert figures.output_speed_tps == pytest.approx(1600)


def test_the_screens_stalls_inside_the_gaps(answer):
    """Figures come from the arrivals' stamps: when they were read, joined or painted makes no difference."""
    answer.feed(Sent(at_ns=0))
    arrivals = tuple(Arrival(at_ns=(50 + i) * MS, characters=5) for i in range(200))
    answer.feed(Delta(text=WORD * 200, at_ns=arrivals[-1].at_ns, arrivals=arrivals))
    answer.snapshot(10 * S)
    answer.feed(Finished(at_ns=11 * S))
    figures = answer.final()
    assert figures.icl_p99_ms == 1
    assert figures.output_speed_tps == pytest.approx(1000)


def test_the_client_librarys_lazy_start_inside_the_first_ttft(answer):
    answer.feed(Sent(at_ns=400 * MS, connect_ns={"dns": 5 * MS, "tls": 30 * MS}))
    answer.feed(Delta(text=WORD, at_ns=450 * MS))
    figures = answer.final()
    assert figures.ttft_ms == 50
    assert figures.connect_ms == {"dns": 5, "tls": 30}
    assert figures.connection_reused is False


def test_a_client_out_of_cpu_at_high_concurrency(stream):
    """Arrivals read late carry how much earlier they may have come, and the figure says so."""
    good = stream([(i * 10, WORD) for i in range(1, 101)]).final()
    late = stream([(i * 10, WORD) for i in range(1, 101)], uncertainty_ns=9 * MS).final()
    assert not good.doubtful
    assert late.doubtful
    assert late.ttft_uncertainty_ms == 9
    assert late.speed_uncertainty == pytest.approx(18 / 990)


def test_warm_cache_prompts(stream):
    figures = stream([(5, WORD)], Usage(input_tokens=1000, cached_tokens=900, output_tokens=1)).final()
    assert figures.cached_tokens == 900


def test_time_in_the_process_costs_no_accuracy(stream):
    """A real delay between events changes nothing: no figure reads a clock."""
    answer = stream([(10, WORD)], end=False)
    time.sleep(0.02)
    answer.feed(Delta(text=WORD, at_ns=11 * MS))
    assert answer.final().icl_ms == 1


def test_chunks_that_were_read_at_once_did_not_arrive_at_once(stream):
    """The first four chunks were read together, 1 ms apart in truth; the process clock could not know that."""
    late = [(53, WORD)] * 4 + [(50 + i, WORD) for i in range(4, 100)]
    answer = stream(late, uncertainty_ns=30 * MS)
    figures = answer.final()
    assert figures.ttft_ms == pytest.approx(50)
    snapshot = answer.snapshot(S)
    assert (snapshot.ttft_ms, snapshot.output_speed_tps) == (figures.ttft_ms, figures.output_speed_tps)
    assert figures.output_speed_tps == pytest.approx(1000)
    assert figures.icl_ms == pytest.approx(1)
    assert figures.doubtful
    together = stream(late).final()  # one packet: they did arrive at once
    assert together.ttft_ms == 53


def test_the_process_clock_bounds_nothing(answer):
    answer.feed(Sent(at_ns=0, source="process"))
    for _ in range(3):
        answer.feed(Delta(text=WORD, at_ns=50 * MS, uncertainty_ns=50 * MS))
    answer.feed(Delta(text=WORD, at_ns=60 * MS, uncertainty_ns=10 * MS))
    figures = answer.final()
    assert figures.ttft_ms == 50
    assert figures.ttft_uncertainty_ms is figures.speed_uncertainty is None
    assert not figures.doubtful


# Splitting or joining deltas on the wire changes no figure

chunks = st.lists(
    st.tuples(st.integers(0, 500), st.text(min_size=1, max_size=12), st.sampled_from(["answer", "reasoning"])),
    min_size=1,
    max_size=25,
)


@given(chunks, st.lists(st.booleans(), min_size=25, max_size=25), st.booleans(), st.integers(0, 300))
def test_splitting_or_joining_deltas_on_the_wire_changes_no_figure(rows, joins, look_in_between, usage):
    from tests.stream.conftest import INFO

    single, joined = Answer(INFO), Answer(INFO)
    groups: list[list[Delta]] = []
    now = 0
    for (gap, text, channel), join in zip(rows, joins, strict=False):
        now += gap * MS
        delta = Delta(text=text, at_ns=now, channel=channel, uncertainty_ns=gap)
        if join and groups and groups[-1][0].channel == channel:
            groups[-1].append(delta)
        else:
            groups.append([delta])
    for answer in (single, joined):
        answer.feed(Sent(at_ns=0, source="kernel"))
    for group in groups:
        for delta in group:
            single.feed(delta)
        arrivals = tuple(Arrival(d.at_ns, len(d.text), d.tokens, d.uncertainty_ns) for d in group)
        joined.feed(
            Delta(
                text="".join(d.text for d in group),
                at_ns=group[-1].at_ns,
                channel=group[0].channel,
                arrivals=arrivals if len(group) > 1 else (),
                uncertainty_ns=group[-1].uncertainty_ns,
            )
        )
        if look_in_between:
            joined.snapshot(group[-1].at_ns)
    for answer in (single, joined):
        answer.feed(Usage(output_tokens=usage))
        answer.feed(Finished(at_ns=now))
    assert single.text == joined.text
    assert single.reasoning == joined.reasoning
    one, other = single.final(), joined.final()
    assert one.peak_tps == pytest.approx(other.peak_tps)  # sums of floats in another order
    assert one.to_json() | {"peak_tps": 0} == other.to_json() | {"peak_tps": 0}
