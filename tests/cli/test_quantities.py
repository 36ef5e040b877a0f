"""Sizes, speeds and times, as options write them."""

import pytest

from chatapp.cli.quantities import parse_seconds, parse_size, parse_speed
from chatapp.errors import UsageError


@pytest.mark.parametrize(("text", "size"), [("80x24", (80, 24)), ("200X50", (200, 50))])
def test_sizes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "80", "80x", "x24", "19x24", "80x7", "501x24", "80x24x3", "-80x24"])
def test_what_is_no_size(text):
    with pytest.raises(UsageError, match="not a size"):
        parse_size(text)


@pytest.mark.parametrize(("text", "factor"), [("1", 1.0), ("2.5x", 2.5), ("0.01", 0.01), ("max", None)])
def test_speeds(text, factor):
    assert parse_speed(text) == factor


@pytest.mark.parametrize("text", ["", "0", "-1", "fast", "nan", "inf", "1001"])
def test_what_is_no_speed(text):
    with pytest.raises(UsageError, match="--speed takes"):
        parse_speed(text)


@pytest.mark.parametrize(("text", "seconds"), [(None, None), ("120", 120), ("120s", 120), ("2m", 120), ("0.5m", 30)])
def test_times(text, seconds):
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "-5s", "m", "soon", "nan", "1e9"])
def test_what_is_no_time(text):
    with pytest.raises(UsageError, match="not a time"):
        parse_seconds(text)
