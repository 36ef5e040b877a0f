import gzip
import hashlib
import io
import os
from pathlib import Path

import pytest

from chatapp.errors import UsageError
from chatapp.recording.sink import StreamSink, open_sink


def test_a_line_is_in_the_file_as_soon_as_it_is_written(tmp_path):
    path = tmp_path / "a.tokcast"
    sink = open_sink(path)
    sink.write(b"one\n")
    assert path.read_bytes() == b"one\n"
    sink.write(b"two\n")
    assert sink.digest() == hashlib.sha256(b"one\ntwo\n").hexdigest()
    sink.sync()
    sink.sync()
    sink.close()
    assert path.read_bytes() == b"one\ntwo\n"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_disk_that_takes_a_part_is_asked_again(tmp_path, monkeypatch):
    sink = open_sink(tmp_path / "a.tokcast")
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:3]))
    sink.write(b"0123456789\n")
    monkeypatch.undo()
    sink.close()
    assert (tmp_path / "a.tokcast").read_bytes() == b"0123456789\n"


def test_a_disk_that_takes_a_part_and_then_refuses_leaves_whole_lines(tmp_path, monkeypatch):
    path = tmp_path / "a.tokcast"
    sink = open_sink(path)
    sink.write(b"whole\n")
    real = os.write
    calls = []

    def full(fd, data):
        calls.append(data)
        if len(calls) > 1:
            raise OSError(28, "No space left on device")
        return real(fd, data[:3])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space"):
        sink.write(b"0123456789\n")
    monkeypatch.undo()
    assert path.read_bytes() == b"whole\n"
    sink.write(b"again\n")  # space came back
    sink.close()
    assert path.read_bytes() == b"whole\nagain\n"


def test_a_device_that_cannot_be_cut_takes_nothing_more():
    sink = open_sink(Path("/dev/full"))
    for _ in range(2):
        with pytest.raises(OSError, match=r"No space|earlier write"):
            sink.write(b"x\n")
    assert sink.failed
    sink.close()


def test_a_compressed_file_with_a_hole_is_not_continued(tmp_path, monkeypatch):
    path = tmp_path / "a.tokcast.gz"
    sink = open_sink(path)
    sink.write(b"kept\n")
    sink.sync()

    def full(fd, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    sink.write(b"lost\n")  # still in the compressor
    with pytest.raises(OSError, match="No space"):
        sink.sync()
    monkeypatch.undo()
    with pytest.raises(OSError, match="earlier write"):
        sink.write(b"more\n")
    sink.close()
    with pytest.raises(EOFError), gzip.open(path) as unpacked:
        unpacked.read()


def test_compressed_lines_come_back(tmp_path):
    path = tmp_path / "a.tokcast.gz"
    sink = open_sink(path)
    for _ in range(1000):
        sink.write(b'[0.020113,"t",{"s":"a","x":"word "}]\n')
    sink.close()
    assert gzip.decompress(path.read_bytes()).count(b"\n") == 1000
    assert path.stat().st_size < 1000


def test_a_stream_gets_all_and_stays_open():
    stream = io.BytesIO()
    sink = StreamSink(stream, "memory")
    sink.write(b"one\n")
    sink.sync()
    sink.close()
    assert stream.getvalue() == b"one\n"
    assert sink.digest() == hashlib.sha256(b"one\n").hexdigest()


def test_a_folder_is_not_made_for_a_recording(tmp_path):
    with pytest.raises(UsageError, match=r"the folder '.*/new' does not exist") as caught:
        open_sink(tmp_path / "new" / "a.tokcast")
    assert "create it" in caught.value.hint
    assert not (tmp_path / "new").exists()


def test_a_file_that_holds_something_is_refused(tmp_path):
    path = tmp_path / "a.tokcast"
    path.write_text("")
    open_sink(path).close()  # empty: nothing is lost
    path.write_text("x")
    with pytest.raises(UsageError, match="exists already"):
        open_sink(path)
