import msgspec
import pytest
from rich.cells import cell_len

from chatapp.stream.answer import Answer
from chatapp.stream.events import BackendInfo, ServerTiming
from chatapp.ui.widgets.metrics_panel import PanelView, fit, pair, panel_rows, sparkline, wrapped_pair
from tests.ui.scripted import paced

INFO = BackendInfo("sim:cs3/kimi-k2.6", "CS-3 · Kimi K2.6", "simulated", "Cerebras", "kimi-k2.6")


def snapshot(**changes):
    answer = Answer(INFO)
    for event in paced("word " * 400 + "end", start_ns=0, ttft_ms=420, tps=1000, words=2):
        answer.feed(event)
    return msgspec.structs.replace(answer.snapshot(10**9), **changes)


def shown(view: PanelView, width: int = 22, height: int = 22) -> list[str]:
    return [line.plain for line in fit(panel_rows(view, width), height)]


def row(lines: list[str], name: str) -> str:
    return next(line for line in lines if line.startswith(name))


@pytest.mark.parametrize("width", [22, 30, 36])
@pytest.mark.parametrize("height", [3, 10, 16, 22, 50])
def test_rows_never_exceed_the_room(width, height):
    view = PanelView(
        "A very long backend label indeed", "simulated", "note " * 20, snapshot(), None, (("limit", "x" * 40),)
    )
    lines = shown(view, width, height)
    assert len(lines) <= height
    assert all(cell_len(line) <= width for line in lines)


def test_the_most_important_rows_stay_in_a_short_panel():
    lines = shown(PanelView("CS-3", "simulated", "simulated", snapshot()), height=9)
    assert any(line.startswith("TTFT") for line in lines)
    assert any(line.startswith("E2E") for line in lines)
    assert lines[0].endswith("CS-3")
    assert not any(line.startswith("reading") for line in lines)


def test_a_stopwatch_runs_in_ttfts_place_until_the_first_text():
    waiting = Answer(INFO).snapshot(0)
    lines = shown(PanelView("CS-3", "simulated", "", waiting, stopwatch_ms=1234.0))
    assert row(lines, "TTFT").endswith("1.23 s …")
    assert any("to the first token" in line for line in lines)
    lines = shown(PanelView("CS-3", "simulated", "", snapshot(), stopwatch_ms=None))
    assert row(lines, "TTFT").endswith("420 ms")


def test_estimates_are_marked_and_counts_are_not():
    lines = shown(PanelView("x", "live", "", snapshot(output_estimated=True, output_tokens=400, input_estimated=False)))
    assert row(lines, "in / out").endswith("12 / ~400")


def test_first_answer_is_shown_only_where_it_differs():
    assert not any(line.startswith("TTFA") for line in shown(PanelView("x", "live", "", snapshot())))
    assert row(shown(PanelView("x", "live", "", snapshot(ttfa_ms=1900.0))), "TTFA").endswith("1.90 s")


def test_an_undefined_figure_is_a_dash():
    lines = shown(PanelView("x", "live", "", snapshot(output_speed_tps=None, peak_tps=None)))
    assert row(lines, "mean").endswith("–")


def test_the_servers_own_speed_stands_beside_ours():
    timing = ServerTiming("llama.cpp", prefill_s=0.05, decode_tps=990)
    lines = shown(PanelView("x", "live", "", snapshot(server_timing=timing)), height=40)
    assert row(lines, "server says").endswith("990")
    assert row(lines, "its prefill").endswith("50 ms")


def test_an_uncertain_stamp_is_marked():
    lines = shown(PanelView("x", "live", "", snapshot(ttft_uncertain_ms=3.0)))
    assert "±3.0 ms" in row(lines, "TTFT")


def test_extra_rows_cost_and_warnings():
    view = PanelView(
        "x", "live", "", snapshot(warnings=("clock_step: odd",)), None, (("limit", "21,000 tok/s"),), 0.0012
    )
    lines = shown(view, height=40)
    assert row(lines, "limit").endswith("21,000 tok/s")
    assert row(lines, "cost").endswith("$0.0012")
    assert row(lines, "! odd")


def test_foreign_text_cannot_reach_the_terminal():
    view = PanelView(
        "evil \x1b]0;x\x07", "live", "note \x9b31m", snapshot(warnings=("w \x1b[2J",)), None, (("a\x1b", "b\x1b"),)
    )
    assert not any("\x1b" in line or "\x9b" in line or "\x07" in line for line in shown(view, 30, 50))


def test_no_answer_yet():
    lines = shown(PanelView("local", "local", "on this machine"))
    assert row(lines, "TTFT").endswith("–")
    assert "no backend yet" in shown(PanelView())[0]


class TestSparkline:
    def test_height_and_width(self):
        rows = sparkline([0, 1, 2, 4], 10, 2)
        assert rows == ["   █      ", " ▄██      "]

    def test_a_long_curve_is_averaged_into_the_width(self):
        assert sparkline([1, 1, 3, 3], 2) == ["▃█"]

    def test_nothing_yet(self):
        assert sparkline([], 3, 2) == ["   ", "   "]

    def test_silence_and_nonsense_are_flat(self):
        assert sparkline([0, -1, 0], 3) == ["   "]


def test_pair_cuts_the_name_before_the_value():
    assert pair("a long name", "12345678", 12).plain == "a…  12345678"
    assert pair("n", "x" * 30, 12).plain.strip() == "x" * 11 + "…"


TERMS = ["experts touched 41%", "exchange between chips 45%", "other conversations' bookkeeping 12%"]


@pytest.mark.parametrize("term", TERMS)
@pytest.mark.parametrize("width", [22, 30, 36])
def test_a_long_value_is_wrapped_and_nothing_of_it_is_cut(term, width):
    view = PanelView("x", "simulated", "", snapshot(), None, (("bound by", term),))
    lines = shown(view, width=width, height=60)
    start = next(index for index, line in enumerate(lines) if line.startswith("bound by"))
    block = [lines[start].removeprefix("bound by").strip()]
    while " ".join(block) != term:
        block.append(lines[start + len(block)].strip())
    assert all(len(line) <= width for line in lines)


def test_a_wrapped_value_leaves_as_a_whole_where_the_panel_is_short():
    view = PanelView("x", "simulated", "", snapshot(), None, (("bound by", TERMS[2]),))
    for height in range(8, 40):
        text = "\n".join(shown(view, width=22, height=height))
        assert ("bound by" in text) == ("bookkeeping 12%" in text)


def test_a_warning_is_wrapped_to_be_read():
    view = PanelView("x", "live", "", snapshot(warnings=("code: the first chunk held several tokens",)))
    lines = shown(view, width=22, height=60)
    assert lines[-2:] == ["! the first chunk held", "several tokens"]


@pytest.mark.parametrize("sentence", ["a warning of many words " * 9, "服务器说了一些没有空格的话" * 9])
def test_a_long_warning_is_cut_at_columns_after_four_lines(sentence):
    lines = shown(PanelView("x", "live", "", snapshot(warnings=(f"code: {sentence}",))), width=22, height=60)
    begun = next(number for number, line in enumerate(lines) if line.startswith("! "))
    assert len(lines) - begun == 4
    assert all(cell_len(line) <= 22 for line in lines)
    assert lines[-1].endswith("…")


def test_token_counts_are_written_closer_before_their_name_is_cut():
    wide = snapshot(output_tokens=400, input_tokens=12)
    assert row(shown(PanelView("x", "live", "", wide)), "in / out").endswith("12 / 400")
    long = snapshot(output_tokens=12_345, input_tokens=11_053, input_estimated=True, output_estimated=True)
    assert row(shown(PanelView("x", "live", "", long)), "in/out").endswith("~11,053/~12,345")


LONG_PAIRS = (
    ("modelled on", "cs-3/llama3.370binstruct fp16"),
    ("modelled on", "h100x16/deepseek-r1-0528 fp8"),
    ("bound by", "exchange between chips 45%"),
    ("模型", "这是一个非常长的没有空格的名字而且还要更长一些"),
    ("name", "a 这是一个非常长的没有空格的名字而且还要更长一些 end"),
    ("a name of some length", "value"),
)


@pytest.mark.parametrize(("name", "value"), LONG_PAIRS)
@pytest.mark.parametrize("width", [22, 24, 30])
def test_neither_name_nor_value_of_a_long_pair_loses_anything(name, value, width):
    lines = wrapped_pair(name, value, width).plain.split("\n")
    assert all(cell_len(line) <= width for line in lines)
    assert "".join("".join(lines).split()) == "".join((name + value).split())
    assert lines[0].startswith(name)


def test_a_name_with_a_hyphen_is_not_broken_at_it():
    lines = wrapped_pair("on", "cs-3 and gpt-oss-120b-instruct", 22).plain.split("\n")
    assert [line.strip() for line in lines[1:]] == ["gpt-oss-120b-instruct"]


def test_a_name_stands_on_its_own_line_where_the_first_word_does_not_fit_beside_it():
    lines = wrapped_pair("modelled on", "cs-3/llama3.370binstruct fp16", 24).plain.split("\n")
    assert [line.strip() for line in lines] == ["modelled on", "cs-3/llama3.370binstruct", "fp16"]
