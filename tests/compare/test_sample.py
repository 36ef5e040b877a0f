"""What a contest's backends did, as a verdict takes it."""

import msgspec

from chatapp.compare.sample import served_models
from tests.compare.test_differences import GOOD, sample


def test_only_whole_answers_are_good():
    broken = msgspec.structs.replace(GOOD, error="truncated: the stream ended early")
    assert sample(GOOD, broken).good == [GOOD]


def test_answers_that_name_no_model_say_nothing():
    assert served_models([{}, {"model": ""}, {"model": "b"}, {"model": "a"}, {"model": "b"}]) == ("a", "b")
