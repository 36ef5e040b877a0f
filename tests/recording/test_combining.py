import pytest

from chatapp.clock import VirtualClock
from chatapp.errors import UsageError
from chatapp.recording.answers import load_answers
from chatapp.recording.combining import Source, combine
from chatapp.recording.reader import Recording
from chatapp.recording.writer import Recorder
from chatapp.stream.answer import Answer
from chatapp.stream.events import BackendInfo, Delta, Finished, Message, Request, Sent, Usage

INFO = BackendInfo("lab/m", "Lab", "live", "Lab", "m")
S = 1_000_000_000


async def record(path, words, *, zero_ns, gap_ns=10_000_123):
    """Write an answer of some words; return the figures as they were live."""
    clock = VirtualClock(zero_ns)
    answer = Answer(INFO)
    with Recorder.open(path, clock=clock) as recorder:
        await clock.advance(S)
        recorder.begin("worker-1", Request((Message("user", "Hello"),)), INFO)
        events = [Sent(clock.now_ns() + 17)]
        events += [Delta(word, clock.now_ns() + (k + 1) * gap_ns, tokens=1) for k, word in enumerate(words)]
        events += [Usage(3, len(words)), Finished(events[-1].at_ns + 5)]
        for event in events:
            answer.feed(event)
            recorder.record("worker-1", event)
    return answer.final()


def figures(recorded):
    answer = Answer(recorded.info, recorded.request)
    for event in recorded.events:
        answer.feed(event)
    return answer.final()


async def test_every_arrival_of_every_source_is_kept_to_the_nanosecond(tmp_path):
    # The second machine booted an hour later: its clock stands elsewhere, its start is half a second after.
    one = await record(tmp_path / "one.tokcast", ["a ", "b ", "c "], zero_ns=7_000 * S)
    two = await record(tmp_path / "two.tokcast", ["x ", "y "], zero_ns=3_400 * S, gap_ns=7)
    sources = [
        Source(tmp_path / "two.tokcast", "worker-2", 3_400 * S + 3_600 * S + S // 2),
        Source(tmp_path / "one.tokcast", "worker-1", 7_000 * S),
    ]
    target = tmp_path / "both.tokcast"
    events = combine(target, sources, title="both")
    with Recording.open(target) as recording:
        assert recording.seal == "sealed"
        assert recording.header.title == "both"
        assert recording.streams == ["worker-1/1", "worker-2/1"]
        first, second = load_answers(recording)
        assert len(list(recording.lines())) == events
    assert figures(first) == one
    assert figures(second) == two
    assert second.sent_ns - first.sent_ns == S // 2
    assert first.request.prompt == "Hello"


async def test_sources_of_any_length_interleave_in_order_of_time(tmp_path):
    await record(tmp_path / "one.tokcast", ["w "] * 300, zero_ns=0, gap_ns=2_000_000)
    await record(tmp_path / "two.tokcast", ["w "] * 200, zero_ns=0, gap_ns=3_000_000)
    target = tmp_path / "both.tokcast"
    combine(target, [Source(tmp_path / f"{name}.tokcast", name, 0) for name in ("one", "two")])
    with Recording.open(target) as recording:
        deltas = [(e.at_ns, a.stream) for a in load_answers(recording) for e in a.events if isinstance(e, Delta)]
        at = [line.at_ns for line in recording.lines() if line.code == "t"]
    assert len(deltas) == 500
    assert at == sorted(at)


async def test_nothing_to_combine_is_an_empty_recording_and_no_file_is_overwritten(tmp_path):
    target = tmp_path / "none.tokcast"
    assert combine(target, []) == 0
    with pytest.raises(UsageError, match="exists already"):
        combine(target, [])
