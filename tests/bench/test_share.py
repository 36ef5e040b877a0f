"""A worker's side, without a cluster: the same functions, called from another thread."""

import errno
import os
import threading
import time

import msgspec
import pytest

from chatapp.bench import share
from chatapp.bench.cost import FREE, Budget
from chatapp.bench.schedule import Load
from chatapp.bench.share import Outcome, Share, State
from chatapp.bench.workloads import single_prompt

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    for name in ("CONFIG", "DATA", "STATE", "CACHE"):
        monkeypatch.setenv(f"CHATAPP_{name}_DIR", str(tmp_path / name.lower()))


def make(identity, **changed):
    settings = {
        "identity": identity,
        "backend": "sim:cs3/kimi-k2.6",
        "base_url": None,
        "model": None,
        "workload": single_prompt("hi", output_tokens=20),
        "load": Load(requests=2, concurrency=2),
        "run": "seed",
        "budget": Budget(),
        "price": FREE,
        "record": False,
    }
    return Share(**{**settings, **changed})


class Task:
    """`measure` in a thread, as a worker runs it."""

    def __init__(self, one):
        self._one = one
        self._result = b""
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        self._result = share.measure(msgspec.msgpack.encode(self._one))

    def state(self):
        return msgspec.msgpack.decode(share.look(self._one.identity), type=State)

    def wait_until_ready(self):
        end = time.monotonic() + 20
        while not self.state().ready and self._thread.is_alive():
            assert time.monotonic() < end
            time.sleep(0.01)

    def outcome(self):
        self._thread.join(30)
        assert not self._thread.is_alive()
        return msgspec.msgpack.decode(self._result, type=Outcome)


def test_a_share_waits_warm_and_begins_when_told():
    task = Task(make("a"))
    task.wait_until_ready()
    assert task.state().progress is None, "nothing is sent before the start"
    at_ns = time.monotonic_ns() + 200_000_000
    share.start("a", at_ns)
    outcome = task.outcome()
    assert outcome.error == ""
    assert outcome.begun_ns >= at_ns
    assert [response.figures.outcome for response in outcome.run.responses] == ["length", "length"]
    assert outcome.run.load.warmup == 1
    assert share._controls == {}


def test_a_share_that_is_stopped_before_it_begins_measures_nothing():
    share.stop("b")
    outcome = Task(make("b")).outcome()
    assert outcome.run.responses == ()
    assert outcome.run.partial == "interrupted"


def test_a_share_that_nobody_looks_at_stops_by_itself(monkeypatch):
    monkeypatch.setattr(share, "ABANDONED_S", 0.5)
    outcome = Task(make("c")).outcome()
    assert outcome.run.partial == "the coordinator was lost"


def test_what_a_worker_cannot_do_comes_back_as_text(monkeypatch):
    monkeypatch.delenv("CEREBRAS_API_KEY", raising=False)
    outcome = Task(make("d", backend="cerebras/gpt-oss-120b")).outcome()
    assert "CEREBRAS_API_KEY is not set" in outcome.error
    assert "export" in outcome.hint
    outcome = Task(make("e", workload=single_prompt("hi"), load=Load(requests=1), backend="sim:no/such")).outcome()
    assert outcome.run is None
    assert outcome.error


def test_calls_for_a_share_that_is_over_change_nothing():
    share.start("nobody", 1)
    assert msgspec.msgpack.decode(share.look("nobody"), type=State) == State()
    assert share._controls == {}
    monotonic_ns, wall_ns = share.read_clocks()
    assert monotonic_ns <= time.monotonic_ns()
    assert wall_ns <= time.time_ns()
    assert share.host_name() == os.uname().nodename


def test_a_recording_is_read_piece_by_piece_and_removed(monkeypatch):
    monkeypatch.setattr(share, "PIECE_BYTES", 1000)
    task = Task(make("f", record=True))
    task.wait_until_ready()
    share.start("f", time.monotonic_ns())
    outcome = task.outcome()
    data = b""
    while piece := share.read_piece(outcome.recording, len(data)):
        data += piece
    assert data.startswith(b'{"format":"tokcast"')
    assert b'"z"' in data.splitlines()[-1], "it is sealed"
    assert 0 < outcome.begun_ns <= outcome.recorded_ns, "its zero is the first request, not the opening"
    share.remove(outcome.recording)
    assert not os.path.exists(os.path.dirname(outcome.recording))


def test_a_full_disk_stops_the_recording_and_not_the_measurement(monkeypatch):
    real = os.write
    written = []

    def write(fd, data):
        if b'"t",' in data:
            written.append(1)
            if len(written) > 2:
                raise OSError(errno.ENOSPC, "No space left on device")
        return real(fd, data)

    monkeypatch.setattr("chatapp.recording.sink.os.write", write)
    task = Task(make("g", record=True))
    task.wait_until_ready()
    share.start("g", time.monotonic_ns())
    outcome = task.outcome()
    assert [response.figures.outcome for response in outcome.run.responses] == ["length", "length"]
    assert "the disk is full" in outcome.problem
    share.remove(outcome.recording)
