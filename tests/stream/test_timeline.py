from chatapp.stream.timeline import ANSWER, REASONING, Timeline


def test_rows_are_kept_in_columns():
    timeline = Timeline()
    timeline.append(1_000, 5, tokens=1, channel=REASONING, uncertainty_ns=7)
    timeline.append(3_000, 2)
    assert len(timeline) == 2
    assert list(timeline.at_ns) == [1_000, 3_000]
    assert list(timeline.characters) == [5, 2]
    assert list(timeline.tokens) == [1, 0]
    assert list(timeline.channel) == [REASONING, ANSWER]
    assert list(timeline.uncertainty_ns) == [7, 0]
    assert timeline.first() == 0
    assert Timeline().first() is None


def test_100_000_arrivals_take_a_few_megabytes():
    timeline = Timeline()
    for i in range(100_000):
        timeline.append(i, 4)
    assert timeline.nbytes <= 3_000_000


def test_an_earlier_stamp_is_raised_and_its_uncertainty_widened():
    timeline = Timeline()
    timeline.append(1_000, 1)
    timeline.append(400, 1, uncertainty_ns=10)
    timeline.append(900, 1)
    assert list(timeline.at_ns) == [1_000, 1_000, 1_000]
    assert list(timeline.uncertainty_ns) == [0, 610, 100]
    assert (timeline.disorder, timeline.disorder_ns) == (2, 600)


def test_values_beyond_their_column_are_clipped():
    timeline = Timeline()
    timeline.append(-(2**80), 2**40, tokens=2**40, uncertainty_ns=-5)
    timeline.append(2**80, 1, uncertainty_ns=2**40)
    assert list(timeline.at_ns) == [-(2**63) + 1, 2**63 - 1]
    assert timeline.characters[0] == timeline.tokens[0] == 2**31 - 1
    assert list(timeline.uncertainty_ns) == [0, 2**31 - 1]


def test_a_full_timeline_folds_arrivals_into_the_last_row():
    timeline = Timeline(capacity=2)
    for i in range(5):
        timeline.append(i * 10, 3, tokens=2, uncertainty_ns=i)
    assert len(timeline) == 2
    assert timeline.folded == 3
    assert list(timeline.at_ns) == [0, 40]
    assert sum(timeline.characters) == 15
    assert sum(timeline.tokens) == 10
    assert timeline.uncertainty_ns[-1] == 4
