from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatapp.clock import VirtualClock
from chatapp.errors import UsageError
from chatapp.recording.answers import load_answers
from chatapp.recording.reader import Recording
from chatapp.recording.rewriting import redact_pieces, redact_recording
from chatapp.recording.writer import Recorder
from chatapp.redaction import Redactor
from chatapp.stream.events import BackendInfo, Delta, Failed, Finished, Message, Request, Sent

CANARY = "canary-7f3e9a1b5c"


def keyed():
    redactor = Redactor()
    redactor.add("KEY", CANARY)
    return redactor


@given(st.text("ab ", max_size=10), st.text("ab ", max_size=10), st.lists(st.integers(0, 40), max_size=6))
def test_however_a_text_is_cut_its_secret_goes_and_all_else_stays(before, after, cuts):
    text = before + CANARY + after + CANARY
    places = sorted({0, len(text), *(min(cut, len(text)) for cut in cuts)})
    pieces = [text[a:b] for a, b in pairwise(places)]
    redacted = redact_pieces(pieces, keyed())
    assert len(redacted) == len(pieces)
    assert "".join(redacted) == f"{before}[REDACTED:KEY]{after}[REDACTED:KEY]"


def test_pieces_without_a_secret_are_the_same():
    pieces = ["a", "b"]
    assert redact_pieces(pieces, keyed()) is pieces


@pytest.fixture
def leaky(tmp_path):
    path = tmp_path / "leaky.tokcast"
    with Recorder.open(path, title=CANARY, clock=VirtualClock(), redactor=Redactor()) as recorder:
        recorder.begin("a", Request((Message("user", CANARY),)), BackendInfo("n", CANARY, "live", "p", "m"))
        recorder.record("a", Sent(1_500))
        for i, start in enumerate(range(0, len(CANARY), 3)):
            recorder.record("a", Delta(CANARY[start : start + 3], 10_000_333 * (i + 1), tokens=1))
        recorder.record("a", Delta("thinking", 90_000_000, "reasoning"))
        recorder.record("a", Failed(100_000_000, "auth", f"key {CANARY} refused"))
        recorder.mark(f"chapter {CANARY}")
        recorder.begin("a", Request((Message("user", "again"),)))
        recorder.record("a", Finished(110_000_000))
    assert CANARY in path.read_text()
    return path


def test_a_copy_holds_no_secret_and_the_same_times(leaky, tmp_path):
    clean = tmp_path / "clean.tokcast"
    with Recording.open(leaky) as recording:
        hits = redact_recording(recording, clean, keyed())
        before = load_answers(recording)
    raw = clean.read_text()
    assert CANARY not in raw
    assert CANARY[3:9] not in raw
    assert hits == raw.count("[REDACTED:KEY]")
    with Recording.open(clean) as recording:
        assert recording.seal == "sealed"
        assert recording.redacted == hits
        after = load_answers(recording)
    times = [[getattr(e, "at_ns", None) for e in answer.events] for answer in before]
    assert [[getattr(e, "at_ns", None) for e in answer.events] for answer in after] == times
    assert "".join(e.text for e in after[0].events if isinstance(e, Delta)) == "[REDACTED:KEY]thinking"


def test_finer_intervals_than_ours_lose_nothing_that_has_an_instant(tmp_path):
    path = tmp_path / "fine.tokcast"
    path.write_bytes(
        b'{"format":"tokcast","version":1}\n'
        b'[0.0000004,"t",{"s":"a","x":"one"}]\n[0.0000004,"t",{"s":"a","x":"two","ns":3}]\n'
    )
    with Recording.open(path) as recording:
        redact_recording(recording, tmp_path / "copy.tokcast", keyed())
    with Recording.open(tmp_path / "copy.tokcast") as recording:
        assert [e.at_ns for e in load_answers(recording)[0].events] == [400, 803]


def test_the_target_is_never_overwritten(leaky):
    with Recording.open(leaky) as recording, pytest.raises(UsageError, match="exists already"):
        redact_recording(recording, leaky, keyed())
