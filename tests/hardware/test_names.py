import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatapp.errors import UsageError
from chatapp.hardware.names import MAX_COUNT, SimulationName, SystemName, parse_name, parse_system


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("h100x16", SystemName("h100", 16)),
        ("CS3", SystemName("cs3")),
        ("mi355x", SystemName("mi355x")),  # the x belongs to the name
        ("mi355xx8", SystemName("mi355x", 8)),
        ("gb200-nvl72", SystemName("gb200-nvl72")),
        ("my_box.1x2", SystemName("my_box.1", 2)),
    ],
)
def test_a_system_may_have_a_count(text, expected):
    assert parse_system(text) == expected


@pytest.mark.parametrize("text", ["h100x0", "h100x99999", f"h100x{MAX_COUNT + 1}", "h100x" + "9" * 400])
def test_absurd_counts_are_refused_with_the_bounds(text):
    with pytest.raises(UsageError, match="between 1 and") as caught:
        parse_system(text)
    assert "h100" in caught.value.hint


@pytest.mark.parametrize("text", ["", " ", "-x", "h100 x2", "h100/2", "ü"])
def test_what_is_no_system_is_refused(text):
    with pytest.raises(UsageError, match="not a system's name"):
        parse_system(text)


@pytest.mark.parametrize("prefix", ["", "sim:"])
def test_a_simulated_backend_is_a_system_and_a_model(prefix):
    assert parse_name(f"{prefix}h100x16/kimi-k2.6") == SimulationName(SystemName("h100", 16), "kimi-k2.6")


@pytest.mark.parametrize("name", ["sim:", "sim:cs3", "sim:/kimi", "sim:cs3/", "kimi"])
def test_a_half_name_says_what_the_form_is(name):
    with pytest.raises(UsageError) as caught:
        parse_name(name)
    assert "sim:SYSTEM/MODEL" in caught.value.hint


@given(st.text(max_size=40))
def test_any_text_is_a_name_or_a_clear_error(text):
    try:
        name = parse_name(text)
    except UsageError:
        return
    assert parse_name(str(name)) == name
