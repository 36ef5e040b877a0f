"""A backend that answers from a script on a virtual clock: no sleeping, no sockets, exact times."""

import pytest
from hypothesis import settings

from chatapp.bench.workloads import Workload
from chatapp.clock import VirtualClock
from chatapp.stream.events import BackendInfo, Delta, Failed, Finished, Sent, Usage

# How long an example takes says how busy the machine is, nothing else.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


MS = 1_000_000
S = 1_000 * MS


class ScriptedBackend:
    """Answers `tokens` words, one each `gap_ms`, the first after `ttft_ms`; or fails as `failures` say, in turn."""

    def __init__(self, clock, *, ttft_ms=100, gap_ms=10, tokens=11, failures=(), source="kernel", kind="live", **info):
        self.clock = clock
        self.info = BackendInfo(
            **{"name": "scripted/m", "label": "Scripted", "kind": kind, "provider": "Scripted", "model": "m", **info}
        )
        self.ttft_ms, self.gap_ms, self.tokens = ttft_ms, gap_ms, tokens
        self.failures = list(failures)
        self.source = source
        self.requests = []
        self.asked_ns = []
        self.running = self.most_running = self.closed_early = self.warmed = 0
        self.closed = False

    async def stream(self, request):
        self.requests.append(request)
        self.asked_ns.append(self.clock.now_ns())
        failure = self.failures.pop(0) if self.failures else None
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        ended = False
        try:
            start = self.clock.now_ns()
            yield Sent(at_ns=start, source=self.source, reused=True)
            if failure is not None:
                ended = True
                yield failure
                return
            at = start + self.ttft_ms * MS
            for _ in range(self.tokens):
                await self.clock.sleep_until(at)
                yield Delta(text=" word", at_ns=at)
                at += self.gap_ms * MS
            yield Usage(input_tokens=7, output_tokens=self.tokens)
            ended = True
            yield Finished(at_ns=self.clock.now_ns())
        finally:
            self.running -= 1
            self.closed_early += not ended

    async def warm(self):
        self.warmed += 1

    async def aclose(self):
        self.closed = True


def busy(retry_after_s=None):
    """A 429."""
    return Failed(at_ns=0, code="rate_limited", message="slow down", retryable=True, retry_after_s=retry_after_s)


@pytest.fixture
def clock():
    return VirtualClock(autojump=True)


@pytest.fixture
def workload():
    return Workload(name="test", title="Test", source="own", prompts=("one", "two"), output_tokens=20)
