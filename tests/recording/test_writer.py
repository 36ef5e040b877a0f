import asyncio
import gzip
import hashlib
import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatapp.clock import VirtualClock
from chatapp.errors import UsageError
from chatapp.recording.answers import load_answers, read_entries
from chatapp.recording.reader import Recording
from chatapp.recording.writer import Recorder
from chatapp.redaction import Redactor
from chatapp.stream.answer import Answer
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
    Usage,
)

INFO = BackendInfo("sim:cs3/kimi-k2.6", "CS-3 · Kimi K2.6", "simulated", "cerebras", "kimi-k2.6", "a note", {"x": 1.5})
S = 1_000_000_000
HELLO = Request((Message("user", "Hello"),), instructions="Be brief.", temperature=0.5, metadata={"a": "b"})


def lines_of(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_a_recording_holds_what_was_said_and_seals_it(tmp_path):
    path = tmp_path / "a.tokcast"
    clock = VirtualClock(5_000)
    with Recorder.open(path, title="T", clock=clock) as recorder:
        recorder.begin("a", HELLO, INFO)
        recorder.record("a", Sent(6_000_500, "kernel", {"tcp": 12}, False, "req-1"))
        recorder.record("a", Delta("Hel", 10_000_000, tokens=1, uncertainty_ns=40))
        recorder.record("a", Delta("hm", 11_000_000, "reasoning"))
        recorder.record("a", Usage(9, 3, 1, 2))
        recorder.mark("chapter two")
        recorder.record("a", Finished(12_000_000, "stop", {"date": "today"}))
    header, *events, seal = lines_of(path)
    assert header["format"] == "tokcast"
    assert header["version"] == 1
    assert header["title"] == "T"
    assert [code for _interval, code, _data in events] == ["q", "h", "b", "t", "t", "u", "m", "d"]
    assert events[2] == [
        0.005995,
        "b",
        {"s": "a", "source": "kernel", "connect_ns": {"tcp": 12}, "request_id": "req-1", "ns": 500},
    ]
    assert events[3] == [0.004, "t", {"s": "a", "i": 0, "x": "Hel", "n": 1, "un": 40}]
    assert events[5][2]["gen_ai.usage.output_tokens"] == 3
    body = path.read_bytes()
    before_seal = body[: body.rindex(b"[0.000000")]
    del seal[2]["crc"]  # guards the seal's own line: test_any_flipped_byte_is_noticed
    assert seal == [0.0, "z", {"events": 8, "redacted": 0, "sha256": hashlib.sha256(before_seal).hexdigest()}]


def test_the_clock_starts_with_what_is_first_recorded(tmp_path):
    path = tmp_path / "a.tokcast"
    clock = VirtualClock(S)
    with Recorder.open(path, clock=clock) as recorder:
        asyncio.run(clock.advance(9 * S))  # a warm-up that nobody records, or a reader who thinks
        recorder.begin("a", HELLO, INFO)
        assert recorder.zero_ns == 10 * S
        asyncio.run(clock.advance(2 * S))
        recorder.begin("b", HELLO, INFO)
        recorder.record("b", Finished(13 * S))
    with Recording.open(path) as recording:
        assert [start.at_ns for start in recording.starts] == [0, 2 * S]
        assert recording.duration_ns == 3 * S


def test_a_chunk_without_its_request_keeps_the_time_since_the_opening(tmp_path):
    path = tmp_path / "a.tokcast"
    with Recorder.open(path, clock=VirtualClock(S)) as recorder:
        recorder.record("a", Delta("x", 3 * S))
        recorder.begin("a", HELLO)
        assert recorder.zero_ns == S
    assert [line[0] for line in lines_of(path)[1:3]] == [2.0, 0.0]


def test_a_joined_delta_is_split_back_into_the_chunks_that_arrived(tmp_path):
    path = tmp_path / "a.tokcast"
    with Recorder.open(path, clock=VirtualClock()) as recorder:
        recorder.record(
            "a", Delta("abcdef", 3_000, arrivals=(Arrival(1_000, 3, 1, 7), Arrival(2_500, 1, 2), Arrival(3_000, 2)))
        )
    texts = [(data["x"], data.get("n", 0)) for _interval, code, data in lines_of(path)[1:] if code == "t"]
    assert texts == [("abc", 1), ("d", 2), ("ef", 0)]
    with Recording.open(path) as recording:
        deltas = [entry.item for entry in read_entries(recording)]
    assert [(d.at_ns, d.uncertainty_ns) for d in deltas] == [(1_000, 7), (2_500, 0), (3_000, 0)]


instants = st.integers(0, 3_600_000_000_000)
texts = st.text(max_size=12)
deltas = st.builds(
    Delta,
    text=texts,
    at_ns=instants,
    channel=st.sampled_from(["answer", "reasoning"]),
    tokens=st.integers(0, 20),
    uncertainty_ns=st.integers(0, 10_000_000),
)
counts = st.none() | st.integers(0, 10**9)
seconds = st.none() | st.floats(0, 1e6)
others = st.one_of(
    st.builds(Usage, counts, counts, counts, counts),
    st.builds(ServerTiming, texts, seconds, seconds, seconds, seconds, seconds, seconds),
    st.builds(Notice, st.sampled_from(["progress", "retry", "cold"]), texts, st.none() | st.floats(0, 1)),
)
ends = st.one_of(
    st.builds(Finished, instants, st.sampled_from(["stop", "length", "cancelled", "truncated"]), st.just({"id": "1"})),
    st.builds(Failed, instants, st.just("stalled"), texts, texts, st.none() | st.just(429), st.booleans(), seconds),
)


@settings(deadline=None, max_examples=150)
@given(st.data(), st.integers(0, 10**15), st.lists(deltas | others, max_size=30), ends)
def test_what_is_recorded_is_read_back_to_the_nanosecond(tmp_path_factory, data, start_ns, middle, end):
    sent = Sent(
        data.draw(instants), data.draw(st.sampled_from(["kernel", "process", "schedule"])), {"tls": 3}, True, "r"
    )
    events = [sent, *middle, end]
    path = tmp_path_factory.mktemp("rt") / "a.tokcast"
    with Recorder.open(path, clock=VirtualClock(start_ns), redactor=Redactor()) as recorder:
        recorder.begin("a", HELLO, INFO)
        for event in events:
            recorder.record("a", shifted(event, start_ns))
    with Recording.open(path) as recording:
        (answer,) = load_answers(recording)
        assert recording.seal == "sealed"
    assert answer.request == HELLO
    assert answer.info == INFO
    assert answer.events == events


def shifted(event, by):
    import msgspec

    return msgspec.structs.replace(event, at_ns=event.at_ns + by) if hasattr(event, "at_ns") else event


@pytest.mark.parametrize("gap_us", [0, 1, 999, 1_000, 20_113, 999_999, 1_000_000, 3_600_000_001])
def test_an_interval_has_six_decimals(tmp_path, gap_us):
    path = tmp_path / "a.tokcast"
    with Recorder.open(path, clock=VirtualClock()) as recorder:
        recorder.record("a", Delta("x", gap_us * 1000))
    line = path.read_text().splitlines()[1]
    assert line == f'[{gap_us / 1e6:.6f},"t",{{"s":"a","i":0,"x":"x"}}]'


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(1, 40_000_000), st.integers(1, 4), st.integers(1, 3)), min_size=2, max_size=60))
def test_figures_from_a_recording_equal_the_live_ones_exactly(tmp_path_factory, chunks):
    live = Answer(INFO, HELLO)
    path = tmp_path_factory.mktemp("fig") / "a.tokcast"
    now = 123_456_789_012_345
    with Recorder.open(path, clock=VirtualClock(now), redactor=Redactor()) as recorder:
        recorder.begin("a", HELLO, INFO)

        def both(event):
            live.feed(event)
            recorder.record("a", event)

        both(Sent(now + 17, "kernel"))
        for gap, words, tokens in chunks:
            now += gap
            both(Delta("word " * words, now, tokens=tokens, uncertainty_ns=gap // 7))
        both(Usage(12, sum(c[2] for c in chunks)))
        both(Finished(now + 999))
    with Recording.open(path) as recording:
        (recorded,) = load_answers(recording)
    again = Answer(recorded.info, recorded.request)
    for event in recorded.events:
        again.feed(event)
    assert again.final() == live.final()
    assert again.text == live.text


def test_a_long_recording_does_not_drift(tmp_path):
    path = tmp_path / "a.tokcast"
    step = 333_333  # a third of a microsecond is lost in every interval
    with Recorder.open(path, clock=VirtualClock()) as recorder:
        for i in range(1, 10_001):
            recorder.record("a", Delta("x", i * step))
    intervals = [line[0] for line in lines_of(path)[1:-1]]
    assert abs(sum(intervals) - 10_000 * step / 1e9) < 2e-6


def test_a_lone_surrogate_becomes_a_replacement_character(tmp_path):
    path = tmp_path / "a.tokcast"
    with Recorder.open(path) as recorder:
        recorder.record("a", Delta("half \ud83d", 1))
        recorder.begin("a", Request((Message("user", "\udc00?"),)))
    with Recording.open(path) as recording:
        delta, request = [entry.item for entry in read_entries(recording)]
    assert delta.text == "half ?"
    assert request.prompt == "??"


def test_an_existing_file_is_never_overwritten(tmp_path):
    path = tmp_path / "a.tokcast"
    path.write_text("precious")
    with pytest.raises(UsageError, match="exists already"):
        Recorder.open(path)
    assert path.read_text() == "precious"


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        Recorder.open(tmp_path / "file" / "a.tokcast")


def test_a_full_disk_ends_the_recording_and_not_the_stream():
    problems = []
    recorder = Recorder.open("/dev/full", on_problem=problems.append)
    recorder.record("a", Delta("x", 1))
    recorder.record("a", Finished(2))
    recorder.close()
    assert problems == ["recording stopped: the disk is full (/dev/full, 0 events kept)"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_under_a_compressed_recording_is_said_when_it_is_closed(tmp_path):
    path = tmp_path / "a.tokcast.gz"
    path.symlink_to("/dev/full")
    problems = []
    recorder = Recorder.open(path, on_problem=problems.append)
    recorder.record("a", Delta("x", 1))
    recorder.close()
    (problem,) = problems
    assert problem.startswith("recording stopped: the disk is full")
    recorder.close()


def test_a_disk_that_fills_up_leaves_a_valid_file(tmp_path):
    script = textwrap.dedent(
        """
        import resource, signal, sys
        from chatapp.recording.writer import Recorder
        from chatapp.stream.events import Delta, Finished
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        recorder = Recorder.open(sys.argv[1], on_problem=print)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        for i in range(100):
            recorder.record("a", Delta("some text", i))
        recorder.record("a", Finished(200))
        recorder.close()
        """
    )
    path = tmp_path / "a.tokcast"
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=True)
    assert done.stdout.count("recording stopped") == 1
    with Recording.open(path) as recording:
        assert recording.seal == "unsealed"
        kept = [e.item.text for e in read_entries(recording)]
    assert 10 < len(kept) < 40
    assert set(kept) == {"some text"}
    assert path.read_bytes().endswith(b"\n")


def test_a_removed_file_is_noticed(tmp_path):
    problems = []
    path = tmp_path / "a.tokcast"
    with Recorder.open(path, clock=VirtualClock(), on_problem=problems.append) as recorder:
        recorder.record("a", Delta("x", 1))
        path.unlink()
        recorder.record("a", Delta("x", 2_000_000_000))
    assert len(problems) == 1
    assert "the file was removed" in problems[0]


KILLS = 100


def test_a_process_killed_at_a_hundred_random_moments_leaves_whole_lines(tmp_path):
    script = textwrap.dedent(
        """
        import os, random, signal, sys, time
        from chatapp.recording.writer import Recorder
        from chatapp.stream.events import Delta

        def record(path, said):
            recorder = Recorder.open(path)
            i = 0
            while True:
                recorder.record("a", Delta(f"token {i} ", time.monotonic_ns()))
                os.write(said, b"x")  # this one was taken
                i += 1

        rng = random.Random(7)
        for number in range(int(sys.argv[2])):
            heard, said = os.pipe()
            child = os.fork()
            if not child:
                record(f"{sys.argv[1]}/{number}.tokcast", said)
            os.close(said)
            confirmed = len(os.read(heard, 1))  # the file is open
            time.sleep(rng.uniform(0, 0.01))
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            while data := os.read(heard, 65536):
                confirmed += len(data)
            os.close(heard)
            print(confirmed)
        """
    )
    command = [sys.executable, "-c", script, str(tmp_path), str(KILLS)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    confirmed = [int(line) for line in done.stdout.split()]
    assert len(confirmed) == KILLS
    for number, count in enumerate(confirmed):
        with Recording.open(tmp_path / f"{number}.tokcast") as recording:
            assert recording.seal == "unsealed"
            kept = [int(e.item.text.split()[1]) for e in read_entries(recording)]
        assert kept == list(range(len(kept)))
        assert len(kept) >= count - 1  # the last line goes out with the next


def test_a_lone_chunk_waits_for_the_next_line_and_no_longer_than_the_answer(tmp_path):
    path = tmp_path / "a.tokcast"

    def texts():
        with Recording.open(path) as recording:
            return [entry.item.text for entry in read_entries(recording) if isinstance(entry.item, Delta)]

    with Recorder.open(path, clock=VirtualClock(), redactor=Redactor()) as recorder:
        recorder.record("a", Delta("1", 1))
        assert texts() == []
        recorder.record("b", Delta("2", 2))
        assert texts() == ["1", "2"]
        recorder.record("a", Delta("3", 3))
        recorder.record("a", Delta("45", 5, arrivals=(Arrival(4, 1, 1), Arrival(5, 1, 1))))
        assert texts() == ["1", "2", "3", "4", "5"]
        recorder.record("a", Delta("6", 6))
        recorder.record("a", Finished(7))
        assert texts() == ["1", "2", "3", "4", "5", "6"]
        recorder.record("a", Delta("7", 1_500_000_000))  # the second is over
        assert texts()[-1] == "7"
        recorder.record("a", Delta("8", 1_500_000_001))
        recorder.mark("later")
        assert texts()[-1] == "8"
        recorder.record("a", Delta("9", 1_500_000_002))
    assert texts()[-1] == "9"


def test_gzip_is_whole_when_closed_and_readable_to_the_last_sync_when_not(tmp_path):
    whole, cut = tmp_path / "a.tokcast.gz", tmp_path / "b.tokcast.gz"
    with Recorder.open(whole, clock=VirtualClock()) as recorder:
        recorder.record("a", Delta("x", 1))
    assert b'"z"' in gzip.decompress(whole.read_bytes())
    with Recording.open(whole) as recording:
        assert recording.seal == "sealed"

    recorder = Recorder.open(cut, clock=VirtualClock())
    for i in range(100):
        recorder.record("a", Delta("x", i))
    recorder.record("a", Finished(100))  # the end of an answer syncs
    recorder.record("a", Delta("lost", 101))
    snapshot = tmp_path / "c.tokcast.gz"
    snapshot.write_bytes(cut.read_bytes())
    recorder.close()
    with Recording.open(snapshot) as recording:
        assert recording.events == 101
        assert recording.seal == "unsealed"
        assert recording.warnings[0] == "the compressed data is cut off"


def test_after_the_end_nothing_is_written(tmp_path):
    path = tmp_path / "a.tokcast"
    recorder = Recorder.open(path)
    recorder.close()
    size = path.stat().st_size
    recorder.record("a", Delta("x", 1))
    recorder.mark("late")
    recorder.close()
    assert path.stat().st_size == size
