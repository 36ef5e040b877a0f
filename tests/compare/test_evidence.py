import datetime
import hashlib
import json
import shutil

import msgspec
import pytest

from chatapp.bench.plan import RecordingObserver
from chatapp.bench.workloads import Workload
from chatapp.clock import VirtualClock
from chatapp.compare import evidence, manifest
from chatapp.compare.claims import Claim
from chatapp.compare.contest import Contest, Contestant
from chatapp.compare.evidence import prepare, read_evidence, write_evidence
from chatapp.compare.manifest import EvidenceError
from chatapp.compare.sample import samples_of
from chatapp.compare.verification import judge, to_json
from chatapp.errors import BackendError, ChatappError, FileFormatError, UsageError
from chatapp.recording.writer import Recorder
from chatapp.redaction import REDACTOR, Secret
from chatapp.stream.events import Failed, Finished
from tests.bench.conftest import ScriptedBackend, busy
from tests.compare.test_contest import Endless
from tests.compare.test_verdict import FIELDS, SPEED

CANARY = "sk-canary-9876543210abcdef9876"
TODAY = datetime.datetime.now(datetime.UTC).date()


class Telling(ScriptedBackend):
    """Gives an auditor something to hold on to."""

    async def stream(self, request):
        async for event in super().stream(request):
            if isinstance(event, Finished):
                event = msgspec.structs.replace(  # noqa: PLW2901
                    event,
                    provenance={"request_id": "req-1", "model": "served-m", "date": "Tue, 24 Nov 2026", "key": CANARY},
                )
            yield event


async def sealed(folder, *backends, runs=4, claim=SPEED, timeout_s=60.0, prompt="p"):
    clock = VirtualClock(autojump=True)
    for backend in backends:
        backend.clock = clock
    workload = Workload(name="w", title="Shape", source="own", prompts=(prompt,), output_tokens=11)
    contestants = [Contestant(f"b{i}", b.info.label, b) for i, b in enumerate(backends)]
    prepare(folder)
    with Recorder.open(folder / manifest.RUNS, title="verify", clock=clock) as recorder:
        observer = RecordingObserver(recorder)
        contest = Contest(contestants, workload, clock, timeout_s=timeout_s, observer=observer)
        await contest.run(runs, warmup=1)
    found = judge(claim, samples_of(contest), workload, partial=contest.partial, today=TODAY)
    return found, write_evidence(folder, found, contest)


@pytest.fixture
async def folder(tmp_path):
    await sealed(tmp_path / "evidence", Telling(None, gap_ms=1))
    return tmp_path / "evidence"


async def test_the_verdict_is_computed_again_from_the_arrivals_alone(tmp_path):
    found, digest = await sealed(tmp_path / "e", Telling(None, gap_ms=1))
    assert found.verdict.outcome == "confirmed"
    checked = read_evidence(tmp_path / "e")
    assert checked.verification.verdict == found.verdict
    assert checked.verification.differences == found.differences
    assert any("its answers say served-m" in line for line in found.differences)
    assert checked.manifest_sha256 == digest == hashlib.sha256((tmp_path / "e/manifest.json").read_bytes()).hexdigest()
    again, live = (to_json(one) for one in (checked.verification, found))
    assert again["responses"] == live["responses"]
    assert again["backends"] == live["backends"]


async def test_failures_attempts_and_answers_cut_off_come_out_as_they_were(tmp_path):
    backends = (
        Telling(None, gap_ms=1, failures=[None, busy(1), None, Failed(0, "server_error", "boom")]),
        Endless(None, name="endless/m"),
    )
    found, _digest = await sealed(tmp_path / "e", *backends, runs=3, timeout_s=5)
    checked = read_evidence(tmp_path / "e").verification
    assert checked.verdict == found.verdict
    for again, live in zip(checked.samples, found.samples, strict=True):
        assert [figures.error for figures in again.figures] == [figures.error for figures in live.figures]
    assert [figures.error for figures in checked.samples[0].figures] == [None, "server_error: boom", None]


@pytest.mark.parametrize("runs", [1, 2])
async def test_a_backend_that_could_not_take_part_is_there_with_its_reason(tmp_path, runs):
    class Unreachable(Telling):
        async def warm(self):
            raise BackendError("unreachable", "nobody listens")

    ratio = Claim(**FIELDS, kind="ratio", metric="output_speed_tps", value=5, unit="x", baseline="the other")
    backends = (Telling(None), Unreachable(None, name="gone/m", label="Gone"))
    found, _digest = await sealed(tmp_path / "e", *backends, runs=runs, claim=ratio)
    assert "Gone took no further part: unreachable: nobody listens" in found.remarks
    again = read_evidence(tmp_path / "e").verification
    assert (again.verdict, again.remarks) == (found.verdict, found.remarks)
    assert again.verdict.outcome == "inconclusive"


async def test_what_an_auditor_needs_is_there(folder):
    responses = json.loads((folder / "responses.json").read_text())
    assert responses[0]["runs"][0]["provenance"]["request_id"] == "req-1"
    assert responses[0]["runs"][0]["figures"]["connection_reused"] is True
    environment = json.loads((folder / "environment.json").read_text())
    assert environment["packages"]["openai"]
    assert "clock_source" in environment
    assert json.loads((folder / "workload.json").read_text())["prompts"] == ["p"]
    assert "not show: an honest tester" in (folder / "README.txt").read_text()
    assert (folder / manifest.RUNS).read_text().count('"q"') == 4  # the warm-up is not measured


async def test_a_changed_byte_anywhere_is_seen(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    tried = 0
    for path in sorted(copy.iterdir()):
        data = path.read_bytes()
        step = 1 if path.name == "manifest.json" else max(1, len(data) // 25)
        for position in [*range(0, len(data), step), len(data) - 1]:
            changed = bytearray(data)
            changed[position] ^= 1
            path.write_bytes(changed)
            with pytest.raises(ChatappError):
                read_evidence(copy)
            tried += 1
        path.write_bytes(data)
    assert tried > 1000
    read_evidence(copy)


@pytest.mark.parametrize("name", [*manifest.FILES, "manifest.json"])
async def test_a_file_cut_short_removed_or_lengthened_is_seen(folder, name):
    path = folder / name
    data = path.read_bytes()
    for changed in (data[:-1], data + b"\n", b""):
        path.write_bytes(changed)
        with pytest.raises(ChatappError):
            read_evidence(folder)
    path.unlink()
    with pytest.raises(ChatappError):
        read_evidence(folder)


async def test_a_file_added_or_replaced_by_a_link_is_seen(folder, tmp_path):
    (folder / "more.txt").write_text("x")
    with pytest.raises(EvidenceError, match=r"'more\.txt' was added"):
        read_evidence(folder)
    (folder / "more.txt").unlink()
    kept = tmp_path / "claim.json"
    (folder / "claim.json").rename(kept)
    (folder / "claim.json").symlink_to(kept)
    with pytest.raises(EvidenceError, match=r"'claim\.json' is missing"):
        read_evidence(folder)


def reseal(folder, **changes):
    """Make a manifest that fits, as somebody would who wants to deceive."""
    files = {name: manifest.seal_file(folder / name) for name in manifest.FILES} | changes
    files = {name: seal for name, seal in sorted(files.items()) if seal is not None}
    (folder / "manifest.json").write_bytes(manifest.encode_manifest(manifest.SCHEMA, "2026-11-24T00:00:00", files))


async def test_another_verdict_than_the_arrivals_give_is_seen_even_with_a_new_seal(folder):
    result = json.loads((folder / "result.json").read_text())
    result["verdict"]["median"] = 99_999.0
    (folder / "result.json").write_text(json.dumps(result))
    reseal(folder)
    with pytest.raises(EvidenceError, match="not the one that its arrivals give"):
        read_evidence(folder)


async def test_a_manifest_names_no_other_files_and_all_of_its_own(folder):
    reseal(folder, **{"../../etc/passwd": manifest.Seal("0" * 64, 1)})
    with pytest.raises(EvidenceError, match="no file of evidence"):
        read_evidence(folder)
    reseal(folder, **{"claim.json": None})
    with pytest.raises(EvidenceError, match=r"does not list 'claim\.json'"):
        read_evidence(folder)


async def test_a_sealed_file_that_is_not_what_it_should_be(folder):
    (folder / "claim.json").write_text('{"id": 5}')
    reseal(folder)
    with pytest.raises(EvidenceError, match=r"'claim\.json' cannot be read"):
        read_evidence(folder)


async def test_of_another_schema_or_no_folder_at_all(folder, tmp_path):
    files = {name: manifest.seal_file(folder / name) for name in sorted(manifest.FILES)}
    other = manifest.encode_manifest("chatapp.evidence/9", "2026-11-24T00:00:00", files)
    (folder / "manifest.json").write_bytes(other)
    with pytest.raises(EvidenceError, match="schema"):
        read_evidence(folder)
    with pytest.raises(FileFormatError, match="cannot be read"):
        read_evidence(tmp_path / "none")


async def test_no_secret_is_in_it(tmp_path):
    loaded = "a-key-of-no-known-shape-4711"
    Secret("TEST_KEY", loaded)
    try:
        backend = Telling(None, failures=[None, Failed(0, "server_error", f"bad {loaded} {CANARY}")])
        found, _digest = await sealed(tmp_path / "e", backend, prompt=f"use {CANARY} and {loaded}")
        for path in (tmp_path / "e").iterdir():
            text = path.read_text()
            assert CANARY not in text, path.name
            assert loaded not in text, path.name
        assert "[REDACTED:TEST_KEY]" in (tmp_path / "e" / manifest.RUNS).read_text()
        assert read_evidence(tmp_path / "e").verification.verdict == found.verdict
    finally:
        REDACTOR._values.pop(loaded)
        REDACTOR._exact = None


def test_a_folder_is_never_overwritten(tmp_path):
    with pytest.raises(UsageError, match=r"the folder '.*/a' does not exist"):
        prepare(tmp_path / "a/b")
    (tmp_path / "a").mkdir()
    prepare(tmp_path / "a/b")
    (tmp_path / "a/b/x").touch()
    with pytest.raises(UsageError, match="is not empty"):
        prepare(tmp_path / "a/b")
    with pytest.raises(UsageError, match="cannot be written"):
        prepare(tmp_path / "a/b/x")


async def test_a_full_disk_is_said(tmp_path, monkeypatch):
    def full(_path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(evidence, "seal_file", full)
    with pytest.raises(ChatappError, match="No space left"):
        await sealed(tmp_path / "e", Telling(None))


def test_without_the_kernels_word_the_clock_source_is_unknown(monkeypatch, tmp_path):
    monkeypatch.setattr(evidence, "Path", lambda _path: tmp_path / "none")
    assert evidence.environment_in_full()["clock_source"] is None
