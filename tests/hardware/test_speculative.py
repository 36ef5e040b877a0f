import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatapp.hardware.speculative import NONE, acceptance_for, expected_tokens, speculation


def test_without_speculation_a_step_is_one_position():
    assert speculation(1) == NONE
    assert NONE.positions == 1


@pytest.mark.parametrize(("mean", "drafts"), [(1.92, 2), (2.58, 3), (3.0, 3)])
def test_the_draft_is_at_least_as_long_as_what_is_accepted(mean, drafts):
    assert speculation(mean).draft_tokens == drafts
    assert speculation(mean).positions == drafts + 1


@given(st.integers(1, 8), st.floats(0.01, 0.99))
def test_acceptance_is_recovered_from_its_mean(drafts, acceptance):
    mean = expected_tokens(acceptance, drafts)
    assert acceptance_for(mean, drafts) == pytest.approx(acceptance, abs=1e-6)


def test_no_draft_accepts_nothing():
    assert acceptance_for(3, 0) == 0
    assert acceptance_for(1, 3) == 0
