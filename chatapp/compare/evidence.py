"""Evidence of a verification: a folder from which anybody can compute the verdict again, and see any later change.

    manifest.json      SHA-256 and size of every other file, and a seal over itself
    runs.tokcast       every arrival of every measured run, one stream a backend
    claim.json         the claim as it was checked
    workload.json      what was asked, all of it
    responses.json     figures, request ids, Date headers, system_fingerprint, certificate hashes, connection times
    environment.json   machine, versions, clock
    result.json        the verdict as it was printed (`chatapp.verify/1`)
    README.txt         what this is, and what a seal is not

Every byte is guarded: a file's by its hash, the manifest's by its seal and by having only one way to be written. What a
seal shows is that nothing changed since; whoever made a folder can make another. It does not show an honest tester.
"""

from __future__ import annotations

import datetime
import hashlib
import importlib.metadata
import platform
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from chatapp.bench.report import environment
from chatapp.bench.workloads import Workload
from chatapp.compare.claims import Claim
from chatapp.compare.contest import Contest, figures_of
from chatapp.compare.manifest import (
    FILES,
    MANIFEST,
    RUNS,
    SCHEMA,
    EvidenceError,
    changes,
    encode_manifest,
    read_manifest,
    seal_file,
)
from chatapp.compare.sample import Sample, served_models
from chatapp.compare.verification import Verification, judge, to_json
from chatapp.errors import ChatappError, UsageError
from chatapp.recording.answers import RecordedAnswer, load_answers
from chatapp.recording.reader import Recording
from chatapp.redaction import REDACTOR
from chatapp.stream.answer import Answer
from chatapp.stream.events import BackendInfo, Finished
from chatapp.stream.metrics import Figures

PACKAGES = ("openai", "httpx2", "httpcore2", "websockets", "tiktoken", "msgspec", "uvloop", "xllamacpp")
"""Whose versions could change a figure."""

README = """\
Evidence of a check by chatapp: {claim}
Made {created}.

To check it:   chatapp verify --from THIS-FOLDER
It computes the verdict again from the raw arrivals in runs.tokcast, without a network, and
compares every file with manifest.json.

What the seal shows: that nothing in this folder was changed since it was made. To bind the
maker too, publish the SHA-256 of manifest.json at once, before anybody could want another
result.

What the seal does not show: an honest tester. Whoever makes such a folder could have made it
up. The request ids, Date headers and certificate hashes in responses.json let the provider
confirm that the requests were real; the stronger test is that somebody else repeats the run.

No secret is in this folder: keys are never written, and what looks like one is replaced.
"""


class Responses(msgspec.Struct, frozen=True, kw_only=True):
    """What one backend did, as `responses.json` says it for a reader."""

    name: str
    backend: BackendInfo
    failure: str
    runs: list[dict[str, Any]]


class Checked(msgspec.Struct, frozen=True):
    """What a folder says when it is read again."""

    verification: Verification
    manifest_sha256: str
    created: str


def prepare(folder: Path) -> None:
    """Create the folder, before anything is measured.

    Raises:
        UsageError: it holds something already, or cannot be created: only the last folder of a path is.
    """
    try:
        folder.mkdir(exist_ok=True)
        if any(folder.iterdir()):
            raise UsageError(f"{folder}: is not empty; evidence is never overwritten", hint="name a new folder")
        probe = folder / MANIFEST
        probe.touch()
        probe.unlink()
    except FileNotFoundError:
        raise UsageError(
            f"{folder}: the folder {str(folder.parent)!r} does not exist", hint="create it, or name another"
        ) from None
    except OSError as exc:
        raise UsageError(f"{folder}: cannot be written: {exc.strerror or exc}", hint="name another folder") from None


def write_evidence(folder: Path, found: Verification, contest: Contest) -> str:
    """Write what stands beside the recording, seal the folder, and return the SHA-256 of its manifest.

    Raises:
        ChatappError: it cannot be written.
    """
    created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    contents = {
        "claim.json": _json(found.claim),
        "workload.json": _json(found.workload),
        "responses.json": _json(_responses(contest)),
        "environment.json": _json(environment_in_full()),
        "result.json": _json(to_json(found)),
        "README.txt": README.format(claim=found.claim.id, created=created).encode(),
    }
    try:
        for name, data in contents.items():
            (folder / name).write_bytes(data)
        seals = {name: seal_file(folder / name) for name in sorted(FILES)}
        manifest = encode_manifest(SCHEMA, created, seals)
        (folder / MANIFEST).write_bytes(manifest)
    except OSError as exc:
        raise ChatappError(
            f"{folder}: the evidence cannot be written: {exc.strerror or exc}", hint="is the disk full?"
        ) from None
    return hashlib.sha256(manifest).hexdigest()


def read_evidence(folder: Path) -> Checked:
    """Check a folder byte by byte and compute its verdict again from the raw arrivals.

    Raises:
        EvidenceError: something was changed, is missing or was added, or the stored verdict is another one.
        FileFormatError: the folder holds no evidence.
    """
    manifest, digest = read_manifest(folder)
    problems = changes(folder, manifest)
    if problems:
        raise EvidenceError(folder, problems)
    claim = _load(folder, "claim.json", Claim)
    workload = _load(folder, "workload.json", Workload)
    result = _load(folder, "result.json", dict[str, Any])
    responses = _load(folder, "responses.json", list[Responses])
    partial = result.get("partial")
    day = datetime.date.fromisoformat(manifest.created[:10])
    samples = recompute(folder / RUNS, responses)
    found = judge(claim, samples, workload, partial=partial, today=day)
    stored = result.get("verdict")
    computed = to_json(found)["verdict"]
    if stored != msgspec.json.decode(msgspec.json.encode(computed)):
        raise EvidenceError(folder, ["the stored verdict is not the one that its arrivals give"])
    return Checked(found, digest, manifest.created)


def recompute(path: Path, responses: Sequence[Responses]) -> tuple[Sample, ...]:
    """Return what the backends of a recorded contest did: every figure from the raw arrivals alone.

    Args:
        path: the recording; stream `worker-N` is the N-th backend's.
        responses: who took part, in order; their figures are not read.
    """
    with Recording.open(path) as recording:
        answers = load_answers(recording)
    samples = []
    for lane, who in enumerate(responses, start=1):
        # A request that met a busy server was sent again: only its last attempt was measured.
        last = {msgspec.json.encode(answer.request): answer for answer in answers if answer.stream == f"worker-{lane}"}
        runs = list(last.values())
        said = [event.provenance for run in runs for event in run.events if isinstance(event, Finished)]
        samples.append(
            Sample(
                name=who.name,
                info=runs[0].info if runs else who.backend,
                figures=tuple(_figures(answer) for answer in runs),
                served=served_models(said),
                failure=who.failure,
            )
        )
    return tuple(samples)


def _figures(recorded: RecordedAnswer) -> Figures:
    answer = Answer(recorded.info)
    for event in recorded.events:
        answer.feed(event)
    return figures_of(answer, recorded.request)


def environment_in_full() -> dict[str, Any]:
    """Return everything about this machine that could bear on a figure; nothing that names its owner."""
    versions: dict[str, str] = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    clock = time.get_clock_info("monotonic")
    return {
        **environment(),
        "packages": versions,
        "implementation": platform.python_implementation(),
        "clock_source": _clock_source(),
        "clock_resolution_s": clock.resolution,
        "clock_implementation": clock.implementation,
    }


def _clock_source() -> str | None:
    path = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None


def _responses(contest: Contest) -> list[Responses]:
    return [
        Responses(
            name=contestant.name,
            backend=contestant.backend.info,
            failure=contestant.failure,
            runs=[
                {
                    "run": run.number,
                    "provenance": run.provenance,
                    "waited_s": run.waited_s,
                    "figures": run.figures.to_json(),
                }
                for run in contestant.runs
            ],
        )
        for contestant in contest.contestants
    ]


def _json(value: Any) -> bytes:
    redacted = REDACTOR.value(msgspec.to_builtins(value))
    return msgspec.json.format(msgspec.json.encode(redacted), indent=2) + b"\n"


_T = TypeVar("_T")


def _load(folder: Path, name: str, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode((folder / name).read_bytes(), type=kind)
    except (OSError, msgspec.MsgspecError) as exc:
        raise EvidenceError(folder, [f"{name!r} cannot be read: {str(exc)[:200]}"]) from None
