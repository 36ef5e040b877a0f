from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chatapp.gateway.transcript import JOIN_EVERY, Transcript
from chatapp.stream.answer import Answer
from chatapp.stream.events import Arrival, BackendInfo, Delta, Failed, Finished, Notice, Sent, ServerTiming, Usage

INFO = BackendInfo("m", "M", "live", "P", "m")

PIECES = st.lists(
    st.tuples(st.sampled_from(["answer", "reasoning"]), st.text(min_size=1, max_size=6), st.integers(0, 5_000_000)),
    max_size=3 * JOIN_EVERY,
)


@given(PIECES, st.booleans())
def test_the_figures_are_those_of_an_answer_that_was_fed_as_it_came(pieces, with_usage):
    transcript, answer = Transcript(INFO), Answer(INFO)
    events = [Notice("progress", "loading"), Sent(1000, "kernel")]
    at = 1000
    for channel, text, gap in pieces:
        at += gap
        events.append(Delta(text, at, channel, 1, gap // 2))
    if with_usage:
        events += [Usage(5, 7), ServerTiming("groq", total_s=0.5)]
    events.append(Finished(at))
    for event in events:
        answer.feed(event)
        if isinstance(event, Delta):
            transcript.add(event)
        else:
            transcript.note(event)

    assert transcript.text == answer.text
    settled = transcript.settle()

    assert (settled.text, settled.reasoning) == (answer.text, answer.reasoning)
    assert settled.final() == answer.final()
    assert transcript.text == answer.text
    assert transcript.settle() is settled


def test_joined_arrivals_are_kept_one_by_one():
    transcript = Transcript(INFO)
    transcript.note(Sent(0))
    transcript.add(Delta("abc", 30, arrivals=(Arrival(10, 1, 1), Arrival(30, 2, 1))))
    transcript.note(Finished(30))

    assert list(transcript.settle().timeline.at_ns) == [10, 30]


def test_the_first_end_is_the_end():
    transcript = Transcript(INFO)
    transcript.note(Failed(1, "stalled", "no more"))
    transcript.note(Finished(2))

    assert isinstance(transcript.end, Failed)
    assert not transcript.is_whole
    assert transcript.settle().outcome == "failed"


def test_an_answer_that_ended_as_it_should_can_be_continued():
    for reason, whole in (("stop", True), ("length", True), ("cancelled", False), ("truncated", False)):
        transcript = Transcript(INFO)
        transcript.note(Finished(2, reason))
        assert transcript.is_whole is whole
