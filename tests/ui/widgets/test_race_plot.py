import pytest

from chatapp.stream.answer import Answer
from chatapp.stream.events import BackendInfo, Delta, Finished, Sent
from chatapp.ui.widgets.race_plot import LanePlot, columns, gap_bins, plot_lines, plot_of, speed_bins

MS = 1_000_000
S = 1_000 * MS


def steady(label="A", kind="live", *, first_ms=100, gap_ms=10, n=100):
    return LanePlot(label, kind, tuple((first_ms + i * gap_ms) * MS for i in range(n)), (1,) * n)


def test_a_steady_stream_is_a_level_line():
    speeds = speed_bins(steady(), 1.09 * S, 10)
    assert speeds[2:-1] == pytest.approx([100] * 7)
    assert sum(speeds) * 0.109 == pytest.approx(99)  # every token but the first chunk's


def test_a_chunk_of_many_tokens_is_spread_over_the_time_since_the_last():
    bunched = LanePlot("A", "live", (0, S), (1, 50))
    assert speed_bins(bunched, S, 5) == pytest.approx([50] * 5)


def test_chunks_at_the_same_moment_make_no_error():
    assert sum(speed_bins(LanePlot("A", "live", (0, 0, S), (1, 1, 1)), S, 4)) * 0.25 == pytest.approx(2)


def test_every_gap_is_in_one_bin():
    gaps = gap_bins(LanePlot("A", "live", (0, 0, 5 * MS, 6 * MS, 9 * S), (1,) * 5))
    assert sum(gaps) == 4
    assert (gaps[0], gaps[-1]) == (1, 1)  # less than 0.1 ms, more than a second


def test_bars_reach_the_top_and_something_is_never_nothing():
    assert columns([0, 4, 8], 8, 2) == ["  █", " ██"]
    assert columns([0.01], 8, 1) == ["▁"]
    assert columns([1, 2], 0, 1) == ["  "]


@pytest.mark.parametrize(("width", "height"), [(20, 3), (60, 12), (78, 16), (200, 50)])
@pytest.mark.parametrize("lanes", [2, 3, 4])
def test_it_fits_where_it_stands(width, height, lanes):
    plots = [steady("A rather long name of a backend"), *[steady("B", "simulated", gap_ms=40)] * (lanes - 1)]
    lines = plot_lines(plots, width, height)
    assert all(line.cell_length <= width for line in lines)
    assert len(lines) <= max(height, 2 * lanes + 1)


def test_what_it_says():
    plain = [line.plain for line in plot_lines([steady(), steady("B", "simulated", gap_ms=20)], 120, 20)]
    assert plain[0].startswith("● A  TTFT 100 ms  gaps p50 10.0 ms, p99 10.0 ms")
    assert any(line.startswith("◆ B  simulated") for line in plain)
    assert "tok/s over 2.08 s (cl100k)" in plain[-1]
    assert plain[-1].rstrip().endswith("100 ms")


def test_without_text_there_is_nothing_to_plot():
    assert plot_lines([LanePlot("A", "live")], 80, 20)[0].plain == "no text has come yet"
    some = plot_lines([LanePlot("A", "live"), steady()], 80, 20)
    assert some[0].plain.strip() == "● A"


def test_from_an_answer():
    answer = Answer(BackendInfo("a", "A", "live", "", ""))
    assert plot_of("A", "live", None) == plot_of("A", "live", answer) == LanePlot("A", "live")
    for event in (Sent(at_ns=5), Delta("one", 15), Delta(" two", 25), Finished(30)):
        answer.feed(event)
    answer.snapshot(40)
    assert plot_of("A", "live", answer) == LanePlot("A", "live", (10, 20), (1, 1))
