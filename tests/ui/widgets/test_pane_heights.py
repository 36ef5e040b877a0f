"""Running totals of heights."""

from hypothesis import given
from hypothesis import strategies as st

from chatapp.ui.widgets.pane_heights import Heights


@given(st.lists(st.integers(0, 9), max_size=60), st.data())
def test_agrees_with_adding_up(values, data):
    heights = Heights()
    for value in values:
        heights.append(value)
    for _ in range(3 if values else 0):
        index = data.draw(st.integers(0, len(values) - 1))
        value = data.draw(st.integers(0, 9))
        heights.set(index, value)
        values[index] = value
    assert heights.total == sum(values)
    assert len(heights) == len(values)
    assert [heights[index] for index in range(len(values))] == values
    assert [heights.start(index) for index in range(len(values) + 1)] == [
        sum(values[:n]) for n in range(len(values) + 1)
    ]
    places = [(index, offset) for index, height in enumerate(values) for offset in range(height)]
    assert [heights.locate(row) for row in range(sum(values))] == places


def test_behind_the_end():
    heights = Heights()
    assert heights.locate(0) == (0, 0)
    heights.append(2)
    assert heights.locate(5) == (1, 3)
