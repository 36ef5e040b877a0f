from pathlib import Path

from chatapp.clock import VirtualClock
from chatapp.demo import script as s
from chatapp.demo.drafting import draft_script
from chatapp.demo.parsing import parse_script
from chatapp.recording.reader import Recording
from chatapp.recording.writer import Recorder
from chatapp.redaction import Redactor
from chatapp.stream.events import BackendInfo, Delta, Failed, Finished, Message, Request, Sent

S = 1_000_000_000


def info(name):
    return BackendInfo(name, name, "simulated", "p", "m")


def test_a_draft_asks_what_was_asked_of_whom_it_was_asked(tmp_path):
    path = tmp_path / "a.tokcast"
    clock = VirtualClock()

    def ask(recorder, begin_s, answers, prompt):
        clock._now_ns = begin_s * S
        for stream, name, _length in answers:
            recorder.begin(stream, Request((Message("user", prompt),)), info(name))
            recorder.record(stream, Sent(begin_s * S))
        for stream, _name, length_s in sorted(answers, key=lambda a: a[2]):
            at = (begin_s + length_s) * S
            recorder.record(stream, Delta("x", at - S))
            recorder.record(stream, Finished(at))

    with Recorder.open(path, title='Said "so": yes', clock=clock, redactor=Redactor()) as recorder:
        ask(recorder, 0, [("chat", "sim:a/b", 10)], "first: a question?")
        ask(recorder, 20, [("chat", "sim:a/b", 1)], "second\nof two lines")
        ask(recorder, 40, [("lane 1", "sim:a/b", 30), ("lane 2", "sim:c/d", 2)], "both")
        clock._now_ns = 90 * S
        recorder.begin("chat", Request((Message("user", "last"),)), info("sim:c/d"))
        recorder.record("chat", Failed(91 * S, "stalled", "m"))
    with Recording.open(path) as recording:
        text = draft_script(recording)
    script = parse_script(text, Path("x.yaml"))
    assert script.title == 'Said "so": yes'
    assert [name for name, _ in script.require] == ["backend:sim:a/b", "backend:sim:c/d"]
    assert len(script.chapters) == 4
    said = [(type(step).__name__, getattr(step, "text", getattr(step, "name", ""))) for step in script.steps]
    assert ("Type", "first: a question?") in said
    assert ("Type", "second\nof two lines") in said
    assert [step.name for step in script.steps if isinstance(step, s.Backend)] == ["sim:a/b", "sim:c/d"]
    assert [step.backends for step in script.steps if isinstance(step, s.Compare)] == [("sim:a/b", "sim:c/d")]
    waits = [(w.event, w.stream, w.within_ns // S) for w in script.steps if isinstance(w, s.Wait)]
    assert waits == [("done", "a", 20), ("done", "a", 5), ("done", "b", 5), ("done", "a", 60), ("sent", "a", 5)]
