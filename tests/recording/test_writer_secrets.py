"""No secret gets into a recording, whatever field it stands in and however it is cut."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatapp.clock import VirtualClock
from chatapp.recording.answers import load_answers, read_entries
from chatapp.recording.reader import Recording
from chatapp.recording.writer import Recorder
from chatapp.redaction import Redactor
from chatapp.stream.events import (
    Arrival,
    BackendInfo,
    Delta,
    Failed,
    Finished,
    Message,
    Notice,
    Request,
    Sent,
    ServerTiming,
)

HELLO = Request((Message("user", "Hello"),))
CANARY = "canary-7f3e9a1b5c"


def test_a_canary_in_any_field_is_nowhere_in_the_file(tmp_path):
    redactor = Redactor()
    redactor.add("KEY", CANARY)
    path = tmp_path / "a.tokcast"
    c = f"x {CANARY} y"
    with Recorder.open(path, title=c, streams={"a": {"server.address": c}}, redactor=redactor) as recorder:
        request = Request((Message("user", c),), instructions=c, metadata={c: c})
        recorder.begin("a", request, BackendInfo(c, c, "live", c, c, c, {c: c}), response_id=c)
        recorder.record("a", Notice("retry", c))
        recorder.record("a", Sent(1, "kernel", {}, False, c))
        recorder.record("a", Delta(c, 2))
        for i, letter in enumerate(c):
            recorder.record("a", Delta(letter, 3 + i))
        recorder.record("a", ServerTiming(c, 1.0))
        recorder.record("a", Failed(99, c, c, c))
        recorder.record("a", Finished(99, "stop", {c: c}))
        recorder.mark(c)
        recorder.typed(c)
        recorder.key(c)
    raw = path.read_text()
    assert CANARY not in raw
    with Recording.open(path) as recording:
        assert recording.redacted == raw.count("[REDACTED:KEY]") == 27
        text = "".join(e.item.text for e in read_entries(recording) if isinstance(e.item, Delta))
    assert text == "x [REDACTED:KEY] y" * 2


def test_a_key_pasted_into_a_prompt_is_found_when_the_answer_repeats_it_in_pieces(tmp_path):
    key = "sk-abcdefghijklmnop1234"
    path = tmp_path / "a.tokcast"
    with Recorder.open(path, clock=VirtualClock(), redactor=Redactor()) as recorder:
        recorder.begin("a", Request((Message("user", f"why does {key} fail?"),)))
        for i in range(0, len(key), 4):
            recorder.record("a", Delta(key[i : i + 4], i, tokens=1))
        recorder.record("a", Delta(" is wrong", 100, tokens=2))
        recorder.record("a", Finished(101))
    with Recording.open(path) as recording:
        (answer,) = load_answers(recording)
    pieces = [e for e in answer.events if isinstance(e, Delta)]
    assert "".join(p.text for p in pieces) == "[REDACTED:key] is wrong"
    assert [p.at_ns for p in pieces] == [0, 4, 8, 12, 16, 20, 100]
    assert "efgh" not in path.read_text()


def test_text_that_only_begins_like_a_secret_is_written_unchanged(tmp_path):
    redactor = Redactor()
    redactor.add("KEY", CANARY)
    path = tmp_path / "a.tokcast"
    with Recorder.open(path, clock=VirtualClock(), redactor=redactor) as recorder:
        recorder.record("a", Delta("canary", 1))
        recorder.record("a", Delta("-like", 2))
        recorder.record("a", Delta("c", 3))
        recorder.record("b", Delta("other", 4))
    with Recording.open(path) as recording:
        entries = list(read_entries(recording))
    assert [(e.stream, e.item.text, e.item.at_ns) for e in entries] == [
        ("a", "canary", 1),
        ("a", "-like", 2),
        ("b", "other", 4),
        ("a", "c", 3),
    ]


secrets = st.text("ab-", min_size=6, max_size=9)


@settings(deadline=None, max_examples=300)
@given(
    st.sets(secrets, min_size=1, max_size=4),
    st.lists(st.lists(st.text("ab-c ", max_size=7), min_size=1, max_size=4), max_size=12),
    st.data(),
)
def test_no_split_lets_a_known_secret_through_and_nothing_else_is_touched(tmp_path_factory, values, said, data):
    """Few letters, so that secrets begin alike, begin in vain, follow each other and overlap."""
    redactor = Redactor()
    for value in values:
        redactor.add("KEY", value)
    if said:  # one of them stands somewhere, cut where it may be
        value, place = data.draw(st.sampled_from(sorted(values))), data.draw(st.integers(0, len(said)))
        cut = data.draw(st.integers(0, len(value)))
        said = [*said[:place], [value[:cut], value[cut:]], *said[place:]]
    path = tmp_path_factory.mktemp("split") / "a.tokcast"
    with Recorder.open(path, clock=VirtualClock(), redactor=redactor) as recorder:
        for number, pieces in enumerate(said):
            if len(pieces) == 1:
                recorder.record("a", Delta(pieces[0], number))
            else:
                arrivals = tuple(Arrival(number, len(piece), 1) for piece in pieces)
                recorder.record("a", Delta("".join(pieces), number, arrivals=arrivals))
    with Recording.open(path) as recording:
        kept = [entry.item.text for entry in read_entries(recording)]
    assert len(kept) == sum(map(len, said))
    whole = "".join(piece for pieces in said for piece in pieces)
    assert not any(value in "".join(kept) for value in values)
    if not any(value in whole for value in values):
        assert "".join(kept) == whole


def test_a_secret_loaded_after_the_start_is_known_too(tmp_path):
    redactor = Redactor()
    path = tmp_path / "a.tokcast"
    with Recorder.open(path, redactor=redactor) as recorder:
        redactor.add("LATE", CANARY)
        recorder.begin("a", HELLO)
        recorder.record("a", Delta(CANARY, 1))
    assert CANARY not in path.read_text()


@pytest.mark.parametrize("before", ["", "my key begins s"])
def test_a_key_known_by_its_shape_alone_is_found_over_the_chunks_of_a_joined_delta(tmp_path, before):
    redactor = Redactor()
    redactor.add("OTHER", "s3cret-value")  # `before` may be its beginning, so that a chunk is held back
    path = tmp_path / "a.tokcast"
    with Recorder.open(path, clock=VirtualClock(), redactor=redactor) as recorder:
        recorder.begin("a", HELLO)
        if before:
            recorder.record("a", Delta(before, 1, tokens=1))
        pieces = ["k-abcdefg" if before else "my sk-abcdefg", "hij0123456789", " is it"]
        arrivals = tuple(Arrival(2 + i, len(piece), 1) for i, piece in enumerate(pieces))
        recorder.record("a", Delta("".join(pieces), 4, arrivals=arrivals, tokens=3))
        recorder.record("a", Finished(9))
    raw = path.read_text()
    assert "abcdefg" not in raw
    assert "0123456789" not in raw
    assert "[REDACTED:key]" in raw
    with Recording.open(path) as recording:
        (answer,) = load_answers(recording)
    assert [e.at_ns for e in answer.events if isinstance(e, Delta)] == ([1] if before else []) + [2, 3, 4]


def test_a_users_pattern_in_the_prompt_is_found_in_pieces(tmp_path):
    path = tmp_path / "a.tokcast"
    redactor = Redactor([re.compile(r"CORP-\d{6}")])
    with Recorder.open(path, clock=VirtualClock(), redactor=redactor) as recorder:
        recorder.begin("a", Request((Message("user", "what is CORP-123456?"),)))
        for i, piece in enumerate(("CORP", "-123", "456", " is")):
            recorder.record("a", Delta(piece, i + 1, tokens=1))
        recorder.record("a", Finished(9))
    raw = path.read_text()
    assert "123456" not in raw
    assert "-123" not in raw
