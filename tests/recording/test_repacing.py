import pytest

from chatapp.backends.simulated import open_simulated
from chatapp.clock import VirtualClock
from chatapp.config import Settings
from chatapp.errors import UsageError
from chatapp.recording.answers import load_answers
from chatapp.recording.export import measure
from chatapp.recording.reader import Recording
from chatapp.recording.repacing import MODELLED, ORIGINAL, ScheduleClock, repace
from chatapp.recording.writer import Recorder
from chatapp.stream.events import BackendInfo, Delta, Finished, Message, Request, Sent, Usage

S = 1_000_000_000
SLOW = BackendInfo("vllm/x", "vLLM · x", "live", "vllm", "x")


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "slow.tokcast"
    clock = VirtualClock(50 * S)
    with Recorder.open(path, clock=clock) as recorder:
        for turn in range(2):
            base = (50 + 100 * turn) * S
            clock._now_ns = base
            recorder.begin("chat", Request((Message("user", f"question {turn}"),)), SLOW)
            recorder.record("chat", Sent(base, "kernel"))
            for i in range(40):
                recorder.record("chat", Delta(f"word{i} ", base + S + i * S // 10, tokens=2))
            recorder.record("chat", Usage(5, 80))
            recorder.record("chat", Finished(base + 6 * S))
        recorder.record("other", Delta("not told again", 300 * S))
    return path


def texts(answer):
    return "".join(e.text for e in answer.events if isinstance(e, Delta) and e.channel == "answer")


async def test_the_same_words_at_the_speed_of_another_machine(path):
    clock = ScheduleClock()
    backend = open_simulated("sim:cs3/kimi-k2.6", Settings(), clock=clock)
    with Recording.open(path) as recording:
        with await repace(recording, backend.info, backend.stream, clock) as both:
            answers = load_answers(both)
            assert both.seal == "sealed"
        original = load_answers(recording)[0]
    assert [a.stream for a in answers] == [ORIGINAL, MODELLED, ORIGINAL, MODELLED]
    assert texts(answers[0]) == texts(answers[1]) == texts(original)
    assert answers[0].sent_ns == answers[1].sent_ns == 0
    assert answers[2].sent_ns == answers[3].sent_ns == 7 * S  # a second after the slower one of the first pair
    assert measure(answers[0]).final() == measure(original).final()
    assert measure(answers[1]).final().e2e_ms < measure(answers[0]).final().e2e_ms / 5
    assert answers[1].info.simulated
    assert answers[1].info.label == "CS-3 · Kimi K2.6 · modelled"
    assert answers[1].info.note.startswith("text: vLLM · x, recorded; timing: simulated")


async def test_without_text_there_is_nothing_to_tell(tmp_path):
    path = tmp_path / "empty.tokcast"
    with Recorder.open(path) as recorder:
        recorder.begin("a", Request((Message("user", "q"),)))
    clock = ScheduleClock()
    backend = open_simulated("sim:cs3/kimi-k2.6", Settings(), clock=clock)
    with Recording.open(path) as recording, pytest.raises(UsageError, match="no answer whose text"):
        await repace(recording, backend.info, backend.stream, clock)
