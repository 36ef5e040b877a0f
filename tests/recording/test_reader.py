import gzip
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatapp.clock import VirtualClock
from chatapp.errors import FileFormatError
from chatapp.recording.answers import load_answers, read_entries
from chatapp.recording.reader import Recording
from chatapp.recording.writer import Recorder
from chatapp.stream.events import Delta, Finished, Message, Request, Sent

HEADER = b'{"format":"tokcast","version":1}\n'


@pytest.fixture
def write(tmp_path):
    def write(data, name="a.tokcast"):
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return write


@pytest.fixture
def sealed(tmp_path):
    path = tmp_path / "sealed.tokcast"
    clock = VirtualClock()
    with Recorder.open(path, clock=clock) as recorder:
        for turn in range(3):
            recorder.begin("a", Request((Message("user", f"question {turn}"),)))
            recorder.record("a", Sent(turn * 1000))
            for i in range(20):
                recorder.record("a", Delta(f"w{i} ", turn * 1000 + i, tokens=1))
            recorder.mark(f"chapter {turn}")
            recorder.record("a", Finished(turn * 1000 + 30))
    return path


def read(path, **options):
    with Recording.open(path, **options) as recording:
        return list(recording.lines())


def test_the_example_of_the_format_reads(write):
    path = write(
        b"""{"format":"tokcast","version":1,"created":"2026-11-23T10:11:12Z","title":"Two backends",\
"clock":"monotonic","idle_time_limit":2,"streams":{"a":{"gen_ai.provider.name":"openai","gen_ai.request.model":"gpt-x","transport":"sse"},\
"b":{"backend":"sim","seed":7}},"redaction":{"rules":3}}
[0.0,"q",{"s":"a","id":"r1","messages":[{"role":"user","content":"Hi"}],"params":{"temperature":0}}]
[0.000311,"h",{"s":"a","status":200,"headers":{"content-type":"text/event-stream"}}]
[0.412034,"t",{"s":"a","i":0,"x":"Hel"}]
[0.020113,"t",{"s":"a","i":1,"x":"lo","n":2}]
# a comment

[0.0,"t",{"s":"a","i":2,"r":" thinking"}]
[0.0,"from the future",[1,2,3]]
[0.5,"m","chapter: second backend"]
[0.1,"u",{"s":"a","gen_ai.usage.input_tokens":9,"gen_ai.usage.output_tokens":3}]
[0.001,"d",{"s":"a","finish":"stop"}]
[0.0,"e",{"s":"b","code":"stalled","retryable":true}]
[0.0,"c",{"s":"b"}]"""
    )
    with Recording.open(path) as recording:
        assert recording.header.title == "Two backends"
        assert recording.header.idle_time_limit == 2
        assert recording.events == 11
        assert recording.duration_ns == 1_033_458_000
        assert [(m.at_ns, m.label) for m in recording.marks] == [(932_458_000, "chapter: second backend")]
        a, b = load_answers(recording)
    assert a.request.prompt == "Hi"
    assert a.request.temperature == 0
    assert a.info.name == "openai/gpt-x"
    assert a.started_ns == a.sent_ns == 0
    assert [type(e).__name__ for e in a.events] == ["Delta", "Delta", "Delta", "Usage", "Finished"]
    assert [e.at_ns for e in a.events if isinstance(e, Delta)] == [412_345_000, 432_458_000, 432_458_000]
    assert a.complete
    assert b.info.name == "sim"
    assert [type(e).__name__ for e in b.events] == ["Failed", "Finished"]
    assert b.events[1].reason == "cancelled"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r":1: empty"),
        (b"hello\n", r":1: not a recording"),
        (b'{"version":2,"width":80}\n', r":1: not a recording"),
        (b'{"format":"cast","version":1}\n', r"format 'cast'"),
        (b'{"format":"tokcast","version":0}\n', r":1: recording of version 0; this chatapp reads version 1"),
        (b'{"format":"tokcast","version":99}\n', r":1: recording of version 99"),
        (b"x" * 2_000_000, r":1: longer than 1048576 bytes"),
        (b"[" * 100_000, r":1: nested too deeply"),
        (HEADER + b"nonsense\n", r":2: not a line"),
        (HEADER + b'[0,"m","a"]\n[-1,"m","a"]\n', r":3: interval -1.0 is not between"),
        (HEADER + b'[NaN,"m","a"]\n', r":2: not a line"),
        (HEADER + b'[1e999,"m","a"]\n', r":2: "),
        (HEADER + b'[86401,"m","a"]\n', r":2: interval"),
        (HEADER + b'[0,"m"]\n', r":2: not a line"),
        (HEADER + b'[0,"m",7]\n', r":2: marker"),
        (HEADER + b'[0,"z",7]\n', r":2: seal"),
        (HEADER + b'# fine\n[0,"m","' + b"x" * 10_000_000 + b'"]\n', r":3: longer than"),
        (HEADER + b'[0,"future",' + b"[" * 5_000 + b"]" * 5_000 + b"]\n", r":2: nested too deeply"),
        (HEADER + b'[0,"t",{"s":"a","x":"\xff"}]\n', r":2: "),
        (HEADER + b'[0,"t",{"s":7}]\n', r":2: 't' line"),
        (HEADER + b'[0,"d",{"s":"a","finish":"bored"}]\n', r":2: 'd' line"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_wrong_is_said_with_its_line(write, content, message):
    path = write(content)
    with pytest.raises(FileFormatError, match=message), Recording.open(path) as recording:
        list(read_entries(recording))


def test_a_missing_file_and_a_folder_are_said(tmp_path):
    with pytest.raises(FileFormatError, match="cannot be read: No such file"):
        Recording.open(tmp_path / "none.tokcast")
    with pytest.raises(FileFormatError, match="cannot be read: Is a directory"):
        Recording.open(tmp_path)


def test_a_torn_last_line_is_left_out(write):
    path = write(HEADER + b'[0,"m","one"]\n[0,"m","tw')
    with Recording.open(path) as recording:
        assert [line.number for line in recording.lines()] == [2]
        assert recording.warnings == [
            "line 3 is cut off and left out",
            "not sealed: capture was interrupted, or the file was cut short",
        ]


def test_every_truncation_opens(sealed, tmp_path):
    data = sealed.read_bytes()
    first_line = data.index(b"\n") + 1
    whole = len(read(sealed))
    for length in range(first_line, len(data) - 1, 7):
        cut = tmp_path / "cut.tokcast"
        cut.write_bytes(data[:length])
        with Recording.open(cut) as recording:
            assert recording.seal == "unsealed"
            assert len(list(recording.lines())) >= min(whole, data[:length].count(b"\n") - 1)


def test_any_flipped_byte_is_noticed(sealed, tmp_path):
    data = sealed.read_bytes()
    for position in range(0, len(data), 11):
        flipped = tmp_path / "flipped.tokcast"
        flipped.write_bytes(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
        try:
            with Recording.open(flipped) as recording:
                # A seal whose own line is damaged so that it is no seal any more leaves the file unsealed.
                assert recording.seal != "sealed", position
        except FileFormatError:
            pass


def test_a_changed_file_is_refused_unless_forced(sealed):
    sealed.write_bytes(sealed.read_bytes().replace(b'"w3 "', b'"W3 "', 1))
    with pytest.raises(FileFormatError, match="changed after it was sealed") as caught:
        Recording.open(sealed)
    assert "--force" in caught.value.hint
    with Recording.open(sealed, force=True) as recording:
        assert recording.seal == "broken"
        assert len(load_answers(recording)) == 3


def test_lines_after_the_seal_break_it(sealed):
    sealed.write_bytes(sealed.read_bytes() + b'[0,"m","more"]\n')
    with pytest.raises(FileFormatError, match="more after the seal"):
        Recording.open(sealed)


def test_a_seal_that_counts_wrong_is_broken(write):
    import hashlib

    body = HEADER + b'[0,"m","one"]\n'
    seal = {"events": 5, "redacted": 0, "sha256": hashlib.sha256(body).hexdigest()}
    path = write(body + b'[0,"z",' + json.dumps(seal).encode() + b"]\n")
    with pytest.raises(FileFormatError, match="1 events, and its seal says 5"):
        Recording.open(path)


def test_reading_can_begin_at_any_block(tmp_path):
    path = tmp_path / "long.tokcast"
    with Recorder.open(path, clock=VirtualClock()) as recorder:
        for i in range(20_000):
            recorder.record("a", Delta(f"word {i}", i * 1_000_000))
            if i % 5000 == 0:
                recorder.mark(str(i))
    with Recording.open(path) as recording:
        assert len(recording.blocks) > 3
        everything = list(recording.lines())
        for index, block in enumerate(recording.blocks):
            assert next(iter(recording.lines(index))).number == block.line
            assert next(iter(recording.lines(index))) == everything[block.line - 2]
        middle = recording.block_before(10_000_000_000)
        assert recording.blocks[middle].at_ns <= 10_000_000_000 < recording.blocks[middle + 1].at_ns
        line = recording.marks[2].line
        at = recording.block_of_line(line)
        assert recording.blocks[at].line <= line < recording.blocks[at + 1].line


def test_two_readers_of_one_recording_do_not_disturb_each_other(sealed):
    with Recording.open(sealed) as recording:
        first, second = recording.lines(), recording.lines()
        assert [next(first), next(second), next(first), next(second)] == [
            line for line in list(recording.lines())[:2] for _ in range(2)
        ][:1] * 2 + list(recording.lines())[1:2] * 2


def test_gzip_members_can_be_appended(write):
    path = write(gzip.compress(HEADER) + gzip.compress(b'[0,"m","one"]\n'), "a.tokcast.gz")
    assert [line.code for line in read(path)] == ["m"]


@pytest.mark.parametrize("filler", [b"\0", b"#\n"], ids=["one long line", "comments"])
def test_a_gzip_bomb_is_not_unpacked(write, filler):
    path = write(gzip.compress(HEADER + filler * (32 << 20)), "bomb.tokcast.gz")
    with pytest.raises(FileFormatError, match="unpacks to more than"):
        Recording.open(path)


def test_broken_gzip_data_is_said(write):
    data = bytearray(gzip.compress(HEADER + b'[0,"m","one"]\n' * 1000))
    data[40] ^= 0xFF
    with pytest.raises(FileFormatError, match=r"broken gzip data|not a|cut off"):
        read(write(bytes(data), "a.tokcast.gz"))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
almost_lines = st.tuples(
    st.floats() | st.integers(-1, 10), st.sampled_from("qhbtuvndecmkigxz?"), json_values | st.just({"s": "a", "x": "y"})
).map(lambda line: json.dumps(line).encode() + b"\n")


@settings(deadline=None, max_examples=300)
@given(st.lists(almost_lines | st.binary(max_size=30), max_size=8))
def test_no_content_raises_anything_but_the_one_error(tmp_path_factory, pieces):
    path = tmp_path_factory.mktemp("fuzz") / "a.tokcast"
    path.write_bytes(HEADER + b"".join(pieces))
    try:
        with Recording.open(path, force=True) as recording:
            load_answers(recording)
    except FileFormatError as error:
        named = error.line
    else:
        named = 0
    assert named is not None


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_a_garbled_recording_raises_nothing_else(sealed_bytes, tmp_path_factory, data):
    garbled = bytearray(sealed_bytes)
    for _ in range(data.draw(st.integers(1, 5))):
        position = data.draw(st.integers(0, len(garbled) - 1))
        garbled[position : position + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
        if not garbled:
            break
    path = tmp_path_factory.mktemp("fuzz") / "a.tokcast"
    path.write_bytes(bytes(garbled))
    try:
        with Recording.open(path, force=True) as recording:
            load_answers(recording)
    except FileFormatError:
        pass


@pytest.fixture(scope="module")
def sealed_bytes(tmp_path_factory):
    path = tmp_path_factory.mktemp("sealed") / "a.tokcast"
    with Recorder.open(path, clock=VirtualClock()) as recorder:
        recorder.begin("a", Request((Message("user", "question"),)))
        for i in range(10):
            recorder.record("a", Delta(f"w{i} ", i * 1_000_003, tokens=1))
        recorder.record("a", Finished(20_000_000))
    return path.read_bytes()
