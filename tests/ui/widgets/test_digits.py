import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from chatapp.ui.widgets.digits import big, speed_text


def test_three_rows_of_equal_width():
    rows = big("20,145")
    assert len({cell_len(row) for row in rows}) == 1
    assert cell_len(rows[0]) == 21


def test_what_has_no_glyph_is_left_out():
    assert big("x") == ("", "", "")


@pytest.mark.parametrize(
    ("tps", "text"),
    [
        (None, "-"),
        (0.0, "0.0"),
        (54.26, "54.3"),
        (99.96, "100"),
        (981.4, "981"),
        (20_145, "20,145"),
        (123_456, "123k"),
        (2_500_000, "2.5M"),
    ],
)
def test_speed_text(tps, text):
    assert speed_text(tps) == text


@given(st.floats(0, 9e8))
def test_every_speed_fits_a_panel_of_24_columns(tps):
    assert cell_len(big(speed_text(tps))[0]) <= 22
