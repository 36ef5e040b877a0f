import pytest

from chatapp.backends.recorded import open_recorded
from chatapp.clock import VirtualClock
from chatapp.errors import FileFormatError, UnknownNameError, UsageError
from chatapp.recording.answers import load_answers
from chatapp.recording.reader import Recording
from chatapp.recording.writer import Recorder
from chatapp.stream.answer import Answer
from chatapp.stream.events import (
    BackendInfo,
    Delta,
    Failed,
    Finished,
    Message,
    Notice,
    Request,
    Sent,
    ServerTiming,
    Usage,
)

LIVE = BackendInfo("groq/llama", "Groq · Llama", "live", "groq", "llama")
SIM = BackendInfo("sim:cs3/kimi-k2.6", "CS-3 · Kimi K2.6", "simulated", "cerebras", "kimi-k2.6", "simulated: a model")


def ask(*texts):
    roles = ("user", "assistant")
    return Request(tuple(Message(roles[i % 2], text) for i, text in enumerate(texts)))


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "a.tokcast"
    clock = VirtualClock(10**12)
    with Recorder.open(path, clock=clock) as recorder:
        now = 10**12

        def answer(stream, request, info, words, usage=True):
            nonlocal now
            clock._now_ns = now
            recorder.begin(stream, request, info)
            recorder.record(stream, Sent(now + 321, "kernel"))
            for i, word in enumerate(words):
                recorder.record(stream, Delta(word, now + 200_000_321 + i * 7_000_001, tokens=2, uncertainty_ns=900))
            if usage:
                recorder.record(stream, Usage(5, 2 * len(words)))
                recorder.record(stream, ServerTiming("groq", 0.1))
                recorder.record(stream, Finished(now + 400_000_000))
            now += 10**9

        answer("a", ask("one"), LIVE, ["first ", "answer ", "to ", "one"])
        answer("a", ask("two"), LIVE, ["answer ", "to ", "two"])
        answer("a", ask("one"), LIVE, ["second ", "answer"])
        answer("a", ask("two", "x", "one"), LIVE, ["one, ", "later"])
        answer("b", ask("one"), SIM, ["simulated ", "one"])
        answer("b", ask("cut"), SIM, ["it was ", "cut"], usage=False)
    return path


async def events_of(backend, request):
    return [event async for event in backend.stream(request)]


def text_of(events):
    return "".join(event.text for event in events if isinstance(event, Delta))


async def test_the_pace_and_all_figures_are_the_recorded_ones(path):
    clock = VirtualClock(5 * 10**15, autojump=True)
    backend = open_recorded(str(path), clock=clock)
    events, delivered = [], []
    async for event in backend.stream(ask("one")):
        events.append(event)
        delivered.append(clock.now_ns() - 5 * 10**15)
    assert isinstance(events[0], Notice)
    assert events[0].message.startswith("replay of Groq · Llama, recorded 20")
    assert events[1] == Sent(5 * 10**15, "recording")
    assert delivered[1:] == [0, 200_000_000, 207_000_001, 214_000_002, 221_000_003, *[221_000_003] * 2, 399_999_679]

    with Recording.open(path) as recording:
        original = load_answers(recording)[0]
    live, again = Answer(LIVE, original.request), Answer(LIVE, original.request)
    for event in original.events:
        live.feed(event)
    for event in events:
        again.feed(event)
    import msgspec

    assert msgspec.structs.replace(again.final(), arrival_source="kernel") == live.final()
    assert again.final().ttft_ms == 200.0


@pytest.mark.parametrize(("pace", "length_ns"), [(2.0, 199_999_840), (None, 0)])
async def test_pace_changes_the_delivery_and_not_the_stamps(path, pace, length_ns):
    clock = VirtualClock(autojump=True)
    events = await events_of(open_recorded(str(path), pace=pace, clock=clock), ask("one"))
    assert clock.now_ns() == length_ns
    assert events[-1].at_ns == 399_999_679


async def test_repeated_prompts_get_their_answers_in_order_and_conversations_their_own(path):
    backend = open_recorded(str(path), pace=None, clock=VirtualClock())
    assert text_of(await events_of(backend, ask("two", "x", "one"))) == "one, later"
    assert text_of(await events_of(backend, ask("one"))) == "first answer to one"
    assert text_of(await events_of(backend, ask("two"))) == "answer to two"
    assert text_of(await events_of(backend, ask("one"))) == "second answer"
    assert text_of(await events_of(backend, ask("one"))) == "first answer to one"
    assert text_of(await events_of(backend, ask("another", "start", "two"))) == "answer to two"


async def test_a_prompt_that_was_not_recorded_is_an_error_that_names_the_nearest(path):
    events = await events_of(open_recorded(str(path), clock=VirtualClock()), ask("twoo"))
    failed = events[-1]
    assert isinstance(failed, Failed)
    assert failed.code == "not_found"
    assert "“two”" in failed.hint


async def test_streams_are_chosen_by_name_or_by_backend(path):
    for name in ("b", "sim:cs3/kimi-k2.6"):
        backend = open_recorded(f"{path}#{name}", pace=None, clock=VirtualClock())
        assert text_of(await events_of(backend, ask("one"))) == "simulated one"
        assert backend.info.simulated
        assert backend.info.label == "replay: CS-3 · Kimi K2.6"
        assert backend.info.note == "replay of a recording; simulated: a model"
    assert open_recorded(str(path)).info.kind == "recorded"
    with pytest.raises(UnknownNameError, match="unknown stream"):
        open_recorded(f"{path}#zzz")


async def test_an_answer_that_was_cut_short_stays_partial(path):
    events = await events_of(open_recorded(f"{path}#b", pace=None, clock=VirtualClock()), ask("cut"))
    assert text_of(events) == "it was cut"
    assert events[-1] == Finished(events[-2].at_ns, "truncated")


async def test_without_a_clock_of_its_own_it_uses_the_machines(path):
    backend = open_recorded(str(path), pace=1000.0)
    await backend.warm()
    assert text_of(await events_of(backend, ask("two"))) == "answer to two"
    await backend.aclose()


def test_files_without_answers_or_none_at_all_are_said(tmp_path):
    with pytest.raises(FileFormatError, match="cannot be read"):
        open_recorded(str(tmp_path / "none"))
    path = tmp_path / "empty.tokcast"
    with Recorder.open(path):
        pass
    with pytest.raises(UsageError, match="holds no answer"):
        open_recorded(str(path))
