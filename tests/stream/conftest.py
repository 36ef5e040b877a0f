import pytest
from hypothesis import settings

from chatapp.stream.answer import Answer
from chatapp.stream.events import BackendInfo, Delta, Finished, Sent

# How long an example takes says how busy the machine is, nothing else.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


MS = 1_000_000
INFO = BackendInfo(name="test/model", label="Test", kind="live", provider="test", model="model")


@pytest.fixture
def answer():
    """An empty answer of a live backend."""
    return Answer(INFO)


@pytest.fixture
def stream():
    """Build an answer: request at 0, chunks as (at_ms, text) or (at_ms, text, channel), further events, an end."""

    def build(chunks, *events, sent=True, end=True, info=INFO, **delta):
        answer = Answer(info)
        if sent:
            answer.feed(Sent(at_ns=0, source="kernel"))
        last = 0
        for at_ms, text, *channel in chunks:
            last = int(at_ms * MS)
            answer.feed(Delta(text=text, at_ns=last, channel=channel[0] if channel else "answer", **delta))
        for event in events:
            answer.feed(event)
        if end:
            answer.feed(Finished(at_ns=last + MS))
        return answer

    return build
