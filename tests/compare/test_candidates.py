import pytest

from chatapp.backends.registry import Listing
from chatapp.bench.workloads import Workload
from chatapp.compare.candidates import candidate_lines, candidates
from tests.compare.test_verdict import SPEED

WORKLOAD = Workload(name="w", title="Shape", source="own", prompts=("p" * 10,), output_tokens=500, instructions="x")


def listing(name, model, kind="live", **options):
    return Listing(name, name, options.pop("provider", "P"), model, kind, **options)


LISTINGS = [
    listing("sim:x/m", "m", "simulated", simulated=True),
    listing("a/other", "other"),
    listing("b/m", "vendor/M", ready=False, why_not="B_KEY is not set", input_usd=0.0, output_usd=10.0),
    listing("c/m", "m"),
    listing("v/another", "another", provider="v", ready=False, why_not="V_KEY is not set", output_usd=5.0),
]


def test_those_that_serve_the_model_and_the_vendor_itself():
    found = candidates(SPEED, WORKLOAD, LISTINGS, requests=11)
    assert [one.name for one in found] == ["c/m", "v/m", "b/m", "sim:x/m"]
    assert [one.ready for one in found] == [True, False, False, True]
    assert [one.usd for one in found] == [None, None, pytest.approx(11 * 500 * 10 / 1e6), 0.0]


def test_a_vendor_that_lists_the_model_is_not_listed_twice():
    own = [listing("v/m", "m", provider="v")]
    assert [one.name for one in candidates(SPEED, WORKLOAD, own, requests=1)] == ["v/m"]


def test_for_a_terminal():
    text = "\n".join(candidate_lines(candidates(SPEED, WORKLOAD, LISTINGS, requests=11), runs=10))
    assert "b/m      B_KEY is not set  $0.06" in text
    assert "c/m      ready             unknown cost" in text
    assert "sim:x/m  ready             verifies nothing" in text
    assert "no backend here serves this model" in candidate_lines([], runs=1)[0]
