import pytest

from chatapp.hardware.tables import bar, bars, si, table


def test_columns_are_aligned():
    lines = table(["name", "n"], [["a", "1"], ["long", "100"]], right=(1,))
    assert lines == ["name    n", "─────────", "a       1", "long  100"]


def test_cells_cannot_control_the_terminal():
    assert "\x1b" not in "".join(table(["a"], [["x\x1b[31m"]]))


def test_bars_are_in_proportion_and_never_empty():
    lines = bars([("a", 100.0, "100"), ("bb", 50.0, "50"), ("c", 0.01, "0.01")], width=8)
    assert lines[0] == "a   ████████  100"
    assert lines[1] == "bb  ████      50"
    assert lines[2] == "c   ▏         0.01"
    assert bars([]) == []
    assert bar(2.0, 4) == "████"


@pytest.mark.parametrize(
    ("value", "text"),
    [(2.1e16, "21 PB/s"), (3.35e12, "3.35 TB/s"), (4.4e10, "44 GB/s"), (2.3e8, "230 MB/s"), (7, "7 B/s")],
)
def test_large_quantities_have_a_prefix(value, text):
    assert si(value, "B/s") == text
