from rich.cells import cell_len

from chatapp.stream.figures import Figures
from chatapp.ui.widgets.scoreboard import Score, board

FAST = Score("CS-3 · Kimi K2.6", "simulated", [Figures(output_speed_tps=980, ttft_ms=420, e2e_ms=928)])
SLOW = Score("16× H100 · Kimi K2.6 with a long name", "live", [Figures(output_speed_tps=98, ttft_ms=1900, e2e_ms=7000)])


def test_every_line_fits_and_the_factor_is_against_the_slowest():
    for width in (22, 30, 36):
        lines = [line.plain for line in board([FAST, SLOW], width)]
        assert all(cell_len(line) <= width for line in lines)
        assert lines[3].endswith(" 10×")
        assert lines[5].endswith("1.0×")


def test_one_backend_alone_has_no_factor():
    assert "×" not in board([FAST], 22)[3].plain


def test_several_answers_show_their_medians_and_number():
    score = Score("x", "live", [Figures(output_speed_tps=speed) for speed in (10, 30, 20)])
    lines = [line.plain for line in board([score], 30)]
    assert lines[2].endswith("×3")
    assert lines[3].split()[0] == "20.0"


def test_a_simulated_backend_has_its_own_mark():
    lines = [line.plain for line in board([FAST, SLOW], 22)]
    assert lines[2].startswith("◆")
    assert lines[4].startswith("●")


def test_columns_keep_their_distance_whatever_the_figures():
    extremes = [
        Score("a", "live", [Figures(output_speed_tps=speed, ttft_ms=ttft, e2e_ms=e2e)])
        for speed, ttft, e2e in [(20_000, 0.3, 9.9), (123_456, 99.4, 999_000), (1_983, 994, 99_949), (0.5, 9_994, 60)]
    ]
    lines = [line.plain for line in board(extremes, 22)]
    assert all(cell_len(line) <= 22 for line in lines)
    for figures in lines[3::2]:
        assert len(figures.split()) == 4
    assert lines[3].split()[0] == "20.0k"
