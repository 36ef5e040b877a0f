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
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from chatapp.bench.report import environment
from chatapp.bench.workloads import Workload
from chatapp.compare.claims import Claim
from chatapp.compare.contest import Contest, figures_of
from chatapp.compare.verification import Sample, Verification, judge, served_models, to_json
from chatapp.errors import ChatappError, FileFormatError, UsageError
from chatapp.recording.answers import RecordedAnswer, load_answers
from chatapp.recording.reader import Recording
from chatapp.redaction import REDACTOR
from chatapp.stream.answer import Answer
from chatapp.stream.events import BackendInfo, Finished
from chatapp.stream.metrics import Figures

SCHEMA = "chatapp.evidence/1"
MANIFEST = "manifest.json"
RUNS = "runs.tokcast"
WRITTEN = ("claim.json", "workload.json", "responses.json", "environment.json", "result.json", "README.txt")
FILES = (RUNS, *WRITTEN)
MAX_FILE_BYTES = 2 << 30

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


class Seal(msgspec.Struct, frozen=True):
    """One file of the folder."""

    sha256: str
    bytes: int


class Manifest(msgspec.Struct, frozen=True):
    """The list that seals a folder."""

    schema: str
    created: str
    files: dict[str, Seal]
    seal: str
    """SHA-256 of this manifest as it is written with an empty seal."""


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


class EvidenceError(ChatappError):
    """A folder of evidence was changed, is not whole, or contradicts itself."""

    def __init__(self, folder: Path, problems: list[str]) -> None:
        self.problems = problems
        more = f" (and {len(problems) - 1} more problems)" if len(problems) > 1 else ""
        super().__init__(
            f"{folder}: this is not the evidence that was sealed: {problems[0]}{more}",
            hint="nothing in it can be relied on; ask its maker for the folder whose manifest hash was published",
        )


def prepare(folder: Path) -> None:
    """Create the folder, before anything is measured.

    Raises:
        UsageError: it holds something already, or cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise UsageError(f"{folder}: is not empty; evidence is never overwritten", hint="name a new folder")
        probe = folder / MANIFEST
        probe.touch()
        probe.unlink()
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
        seals = {name: _seal(folder / name) for name in sorted(FILES)}
        manifest = _encode_manifest(SCHEMA, created, seals)
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
    manifest, digest = _read_manifest(folder)
    problems = _differences(folder, manifest)
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


def _seal(path: Path) -> Seal:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
            size += len(block)
    return Seal(digest.hexdigest(), size)


def _encode_manifest(schema: str, created: str, files: Mapping[str, Seal]) -> bytes:
    def encoded(seal: str) -> bytes:
        manifest = Manifest(schema, created, dict(files), seal)
        return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"

    return encoded(hashlib.sha256(encoded("")).hexdigest())


def _read_manifest(folder: Path) -> tuple[Manifest, str]:
    path = folder / MANIFEST
    try:
        with path.open("rb") as file:
            data = file.read(1 << 20)
    except OSError as exc:
        raise FileFormatError(
            path, f"cannot be read: {exc.strerror or exc}", hint="name a folder that verify --evidence made"
        ) from None
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
        datetime.date.fromisoformat(manifest.created[:10])
    except (msgspec.MsgspecError, ValueError) as exc:
        raise EvidenceError(folder, [f"its manifest is broken: {str(exc)[:200]}"]) from None
    if manifest.schema != SCHEMA:
        raise EvidenceError(folder, [f"its manifest is of schema {manifest.schema[:60]!r}, not {SCHEMA!r}"])
    if data != _encode_manifest(manifest.schema, manifest.created, manifest.files):
        raise EvidenceError(folder, ["its manifest was changed"])
    return manifest, hashlib.sha256(data).hexdigest()


def _differences(folder: Path, manifest: Manifest) -> list[str]:
    problems = []
    there = {path.name for path in folder.iterdir()} - {MANIFEST}
    problems += [f"{name!r} was added" for name in sorted(there - set(FILES))]
    problems += [f"the manifest does not list {name!r}" for name in FILES if name not in manifest.files]
    for name, seal in manifest.files.items():
        path = folder / name
        if name not in FILES:
            problems.append(f"the manifest lists {name[:60]!r}, which is no file of evidence")
        elif path.is_symlink() or not path.is_file():
            problems.append(f"{name!r} is missing")
        elif path.stat().st_size != seal.bytes or seal.bytes > MAX_FILE_BYTES or _seal(path) != seal:
            problems.append(f"{name!r} was changed")
    return problems


_T = TypeVar("_T")


def _load(folder: Path, name: str, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode((folder / name).read_bytes(), type=kind)
    except (OSError, msgspec.MsgspecError) as exc:
        raise EvidenceError(folder, [f"{name!r} cannot be read: {str(exc)[:200]}"]) from None
