import pytest

from chatapp.ui.widgets.lane import MeterView, meter_lines
from tests.compare.test_race import ended, running, snapshot


def lines(view, width=60):
    return [line.plain for line in meter_lines(view, width)]


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (None, "– tok/s"),
        (snapshot("waiting"), "0.00 ms …"),
        (snapshot("sent", elapsed_ms=420.0), "420 ms …"),
        (snapshot("failed"), "failed"),
    ],
)
def test_before_any_text(shown, expected):
    assert lines(MeterView("CS-3", "simulated", "", shown))[1] == expected


def test_a_running_lane_shows_speed_and_first_token():
    _head, figures = lines(MeterView("CS-3", "simulated", "", running(100, 900.0)))
    assert figures.startswith("900 tok/s  TTFT 100 ms")


def test_a_finished_lane_shows_its_time_and_a_cancelled_one_says_so():
    assert "1.20 s" in lines(MeterView("CS-3", "live", "", ended(100, 900.0, 1200.0)))[1]
    assert "cancelled" in lines(MeterView("CS-3", "live", "", ended(100, 900.0, 1200.0, phase="cancelled")))[1]


def test_what_is_simulated_says_so_and_a_live_one_says_nothing():
    assert "simulated" in lines(MeterView("CS-3", "simulated", ""))[0]
    assert lines(MeterView("Cerebras", "live", "a note"))[0].strip() == "● Cerebras"


@pytest.mark.parametrize("width", [10, 20, 38, 60])
def test_no_row_is_wider_than_its_lane(width):
    view = MeterView("16× H100 · Kimi K2.6", "simulated", "simulated: timing from a model", running(100, 900.0))
    for line in meter_lines(view, width):
        assert line.cell_length <= max(width, 11)
