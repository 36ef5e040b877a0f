"""`chatapp verify`: what it decides, prints, writes and refuses, and its exit codes."""

import asyncio
import io
import json
import os
import signal
from pathlib import Path

import pytest

from chatapp.bench.cost import FREE, Price
from chatapp.cli import run
from chatapp.stream.events import Failed
from tests.cli.test_compare import OnAnyLoop

CLAIM = """\
vendor = "V"
model = "m"
system = "CS-3"
kind = "{kind}"
metric = "{metric}"
value = {value}
unit = "{unit}"
workload = "short-chat"
measured_by = "X"
date = "2026-05-06"
source = "https://example.org/x"
statement = "It is fast."
method = "Not stated."
{more}
"""


@pytest.fixture
def claim(tmp_path):
    def write(value, *, kind="time", metric="e2e_ms", unit="ms", more=""):
        path = tmp_path / "mine.toml"
        path.write_text(CLAIM.format(kind=kind, metric=metric, value=value, unit=unit, more=more))
        return str(path)

    return write


@pytest.fixture
def backends(monkeypatch):
    table = {
        "fast/m": OnAnyLoop(None, ttft_ms=5, gap_ms=5, tokens=10, name="fast/m", label="Fast"),
        "slow/m": OnAnyLoop(None, ttft_ms=10, gap_ms=20, tokens=10, name="slow/m", label="Slow"),
        "sim:x/m": OnAnyLoop(None, ttft_ms=5, gap_ms=5, tokens=10, name="sim:x/m", label="X", kind="simulated"),
        "recording:x": OnAnyLoop(None, name="recording:x", label="R", kind="recorded"),
    }
    monkeypatch.setattr("chatapp.backends.registry.resolve", lambda name, *_args, **_options: table[name])
    monkeypatch.setattr("chatapp.cli.contest.price_of", lambda *_args, **_options: FREE)
    return table


def verify(claim, *args, backend="fast/m", runs=3):
    named = ["--backend", backend] if backend else []
    return run(["verify", claim, *named, "--runs", str(runs), "--warmup", "0", "--cooldown", "0", *args])


def test_what_is_faster_holds(backends, claim, capsys):
    assert verify(claim(5_000)) == 0
    out, err = capsys.readouterr()
    assert "It is fast." in out
    assert "faster than claimed" in out
    assert "what differs from the claim's method" in out
    assert "its method: Not stated." in out
    assert "run 3: Fast" in err
    assert len({request.prompt for request in backends["fast/m"].requests}) == 3


def test_what_is_slower_does_not(backends, claim, capsys):
    assert verify(claim(1)) == 1
    assert "not confirmed, slower" in capsys.readouterr().out


def test_within_the_band_is_confirmed(backends, claim, capsys):
    assert verify(claim(52, more="tolerance = 0.9")) == 0
    assert "\nconfirmed: " in capsys.readouterr().out


def test_one_run_decides_nothing_and_says_how_many_more_would(backends, claim, capsys):
    assert verify(claim(50), runs=1) == 1
    out = capsys.readouterr().out
    assert "inconclusive" in out
    assert "about 2 more runs would decide" in out


def test_a_simulated_backend_verifies_nothing(backends, claim, capsys):
    assert verify(claim(5_000), backend="sim:x/m") == 1
    out = capsys.readouterr().out
    assert "model only, verifies nothing" in out
    assert "X [simulated]" in out


def test_a_ratio_takes_two(backends, claim, capsys):
    path = claim(2, kind="ratio", metric="output_speed_tps", unit="x", more='baseline = "the other"\ntolerance = 0.5')
    assert verify(path) == 2
    assert "takes two backends, not 1" in capsys.readouterr().err
    assert verify(path, "--backend", "slow/m") == 0
    assert "Fast against Slow" in capsys.readouterr().out


def test_json(backends, claim, capsys):
    assert verify(claim(5_000), "--json", "-") == 0
    out, err = capsys.readouterr()
    made = json.loads(out)
    assert made["schema"] == "chatapp.verify/1"
    assert made["verdict"]["confirmed"] is True
    assert len(made["responses"]) == 3
    assert "faster than claimed" in err


def test_evidence_is_kept_and_checked_again_offline(backends, claim, tmp_path, capsys):
    folder = tmp_path / "evidence"
    assert verify(claim(5_000), "--evidence", str(folder), "--json", str(tmp_path / "v.json")) == 0
    out = capsys.readouterr().out
    made = json.loads((tmp_path / "v.json").read_text())
    assert made["evidence"]["manifest_sha256"] in out
    assert "not an honest tester" in out
    backends.clear()  # nothing is asked again
    assert run(["verify", "--from", str(folder), "--json", str(tmp_path / "again.json")]) == 0
    assert "every byte as it was sealed" in capsys.readouterr().out
    again = json.loads((tmp_path / "again.json").read_text())
    assert again["verdict"] == made["verdict"]
    assert again["evidence"]["manifest_sha256"] == made["evidence"]["manifest_sha256"]
    recording = folder / "runs.tokcast"
    data = bytearray(recording.read_bytes())
    data[len(data) // 2] ^= 1
    recording.write_bytes(data)
    assert run(["verify", "--from", str(folder)]) == 1
    assert "'runs.tokcast' was changed" in capsys.readouterr().err


def test_evidence_of_what_was_not_confirmed_exits_alike(backends, claim, tmp_path):
    assert verify(claim(1), "--evidence", str(tmp_path / "e")) == 1
    assert run(["verify", "--from", str(tmp_path / "e")]) == 1


def test_ctrl_c_keeps_what_there_is(backends, claim, tmp_path, capsys):
    class Interrupting(OnAnyLoop):
        async def stream(self, request):
            async for event in super().stream(request):
                yield event
                if len(self.requests) == 3:
                    os.kill(os.getpid(), signal.SIGINT)  # once: a second one would end it at once
                    await asyncio.Event().wait()

    backends["fast/m"] = Interrupting(None, ttft_ms=1, gap_ms=1, tokens=3, name="fast/m", label="Fast")
    assert verify(claim(5_000), "--evidence", str(tmp_path / "e"), runs=9) == 130
    assert "note: partial: interrupted" in capsys.readouterr().out
    run(["verify", "--from", str(tmp_path / "e")])
    assert "note: partial: interrupted" in capsys.readouterr().out


def test_failed_answers_are_in_no_figure(backends, claim, capsys):
    backends["fast/m"].failures = [Failed(0, "auth", "no key")]
    assert verify(claim(5_000)) == 1
    out = capsys.readouterr().out
    assert "nothing: no whole answer had this figure" in out
    assert "1 of 1 answers failed" in out


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_with_a_full_disk_the_verdict_is_still_printed(backends, claim, capsys):
    assert verify(claim(5_000), "--json", "/dev/full") == 1
    out, err = capsys.readouterr()
    assert "faster than claimed" in out
    assert "No space left" in err


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["verify"], "which claim?"),
        (["verify", "cerebras-kimi-speed"], "nearest: cerebras-kimi-k2.6-speed"),
        (["verify", "--from", "/no/such/folder"], "cannot be read"),
        (["verify", "x", "--from", "/tmp"], "nothing else"),
        (["verify", "seed-no-splitting", "--backend", "fast/m"], "no backend is asked"),
        (["verify", "cerebras-kimi-k2.6-speed", "--backend", "fast/m", "--backend", "slow/m"], "takes one backend"),
        (["verify", "cerebras-kimi-k2.6-speed", "--backend", "recording:x"], "verifies nothing"),
        (["verify", "cerebras-kimi-k2.6-speed", "--backend", "fast/m", "--timeout", "nan"], "--timeout"),
        (["verify", "cerebras-kimi-k2.6-speed", "--backend", "fast/m", "--max-tokens", "5"], "more than --max-tokens"),
        (["verify", "cerebras-kimi-k2.6-speed", "--backend", "fast/m", "--json", "/no/such/x"], "does not exist"),
        (["verify", "cerebras-kimi-k2.6-speed", "--backend", "fast/m", "--evidence", "/proc"], "/proc: "),
    ],
)
def test_wrong_use_is_refused_before_anything_is_asked(backends, capsys, args, message):
    assert run(args) == 2
    assert message in capsys.readouterr().err
    assert backends["fast/m"].requests == []


def test_a_broken_claim_file_names_line_and_key(backends, claim, capsys):
    assert verify(claim(-5)) == 2
    assert "mine.toml:6: " in capsys.readouterr().err


def test_a_paid_run_needs_consent(backends, claim, monkeypatch, capsys):
    monkeypatch.setattr("chatapp.cli.contest.price_of", lambda *_args, **_options: Price(100_000.0, 100_000.0))
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert verify(claim(5_000)) == 2
    assert "--yes" in capsys.readouterr().err
    assert verify(claim(5_000), "--max-cost", "0.01") == 2
    assert "cannot be kept" in capsys.readouterr().err
    assert verify(claim(5_000), "--yes") == 0


class TestArithmetic:
    @pytest.mark.parametrize("name", ["seed-single-cs2", "seed-no-splitting", "seed-gpu-dozens"])
    def test_claims_that_do_not_hold(self, name, capsys):
        assert run(["verify", name, "--json", "-"]) == 1
        out, err = capsys.readouterr()
        made = json.loads(out)
        assert made["schema"] == "chatapp.verify/1"
        assert made["verdict"]["outcome"] == "contradicted"
        assert "594.2 GB" in err
        assert "smallest number" in err

    def test_one_that_does(self, claim, capsys):
        path = claim(16, kind="fit", metric="fit", unit="systems")
        text = Path(path).read_text().replace('model = "m"', 'model = "kimi-k2.6"')
        Path(path).write_text(text)
        assert run(["verify", path]) == 0
        assert "supported: 594 GB" in capsys.readouterr().out


class TestWithoutBackend:
    def test_it_lists_what_could_test_the_claim(self, capsys, monkeypatch):
        monkeypatch.delenv("CEREBRAS_API_KEY", raising=False)
        assert run(["verify", "cerebras-kimi-k2.6-speed", "--json", "-"]) == 1
        out, err = capsys.readouterr()
        made = json.loads(out)
        first = made["candidates"][0]
        assert (first["name"], first["ready"]) == ("cerebras/kimi-k2.6", False)
        assert first["why_not"] == "CEREBRAS_API_KEY is not set"
        assert "claim 981; model, not having seen it, " in err
        assert "verifies nothing" in err
        assert "estimated cost of 10 runs" in err

    def test_a_ratio_says_that_it_takes_two(self, capsys):
        assert run(["verify", "seed-record"]) == 1
        assert "--backend twice" in capsys.readouterr().out
