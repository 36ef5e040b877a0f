from __future__ import annotations

from chatapp.backends.trial import TRIAL, try_backend
from chatapp.errors import BackendError
from chatapp.stream.events import BackendInfo, Delta, Failed, Finished, Sent, Usage

INFO = BackendInfo("x/m", "X", "live", "X", "m")


class Scripted:
    """A backend that tells a script."""

    info = INFO

    def __init__(self, *events, refuse=None):
        self.events = events
        self.refuse = refuse

    async def warm(self):
        if self.refuse is not None:
            raise self.refuse

    async def stream(self, request):
        assert request is TRIAL
        for event in self.events:
            yield event

    async def aclose(self):
        pass


async def test_a_backend_that_answers():
    trial = await try_backend(
        Scripted(
            Sent(0),
            Delta("one ", 5_000_000),
            Delta("two", 9_000_000),
            Usage(9, 2),
            Finished(9_000_000, "length", {"date": "d"}),
        )
    )
    assert (trial.ok, trial.text, trial.failure, trial.provenance) == (True, "one two", None, {"date": "d"})
    assert trial.figures.ttft_ms == 5.0


async def test_a_backend_that_cannot_be_reached():
    trial = await try_backend(Scripted(refuse=BackendError("dns", "no such name", hint="look")))
    assert (trial.ok, trial.figures, trial.failed_step) == (False, None, "connect")
    assert (trial.failure.code, trial.failure.message, trial.failure.hint) == ("dns", "no such name", "look")


async def test_a_backend_that_fails_in_its_answer():
    trial = await try_backend(Scripted(Sent(0), Failed(1, "rate_limited", "slow down")))
    assert (trial.ok, trial.failed_step, trial.failure.code) == (False, "answer", "rate_limited")


async def test_a_backend_that_breaks_off():
    trial = await try_backend(Scripted(Sent(0), Delta("one", 5), Finished(6, "truncated")))
    assert (trial.ok, trial.text) == (False, "one")
