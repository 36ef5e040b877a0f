"""The manifest that seals a folder of evidence: SHA-256 and size of each file, and a seal over itself.

There is one way to write a manifest, so a byte of it that differs, white space included, is a change.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Mapping
from pathlib import Path

import msgspec

from chatapp.errors import ChatappError, FileFormatError

SCHEMA = "chatapp.evidence/1"
MANIFEST = "manifest.json"
RUNS = "runs.tokcast"
FILES = (
    RUNS,
    *("claim.json", "workload.json", "responses.json", "environment.json", "result.json", "README.txt"),
)
MAX_FILE_BYTES = 2 << 30


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


class EvidenceError(ChatappError):
    """A folder of evidence was changed, is not whole, or contradicts itself."""

    def __init__(self, folder: Path, problems: list[str]) -> None:
        self.problems = problems
        more = f" (and {len(problems) - 1} more problems)" if len(problems) > 1 else ""
        super().__init__(
            f"{folder}: this is not the evidence that was sealed: {problems[0]}{more}",
            hint="nothing in it can be relied on; ask its maker for the folder whose manifest hash was published",
        )


def seal_file(path: Path) -> Seal:
    """Return the SHA-256 and size of a file."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
            size += len(block)
    return Seal(digest.hexdigest(), size)


def encode_manifest(schema: str, created: str, files: Mapping[str, Seal]) -> bytes:
    """Return a manifest as it is written, its own seal computed."""

    def encoded(seal: str) -> bytes:
        manifest = Manifest(schema, created, dict(files), seal)
        return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"

    return encoded(hashlib.sha256(encoded("")).hexdigest())


def read_manifest(folder: Path) -> tuple[Manifest, str]:
    """Return a folder's manifest and its SHA-256.

    Raises:
        EvidenceError: it was changed, or is none.
        FileFormatError: there is none.
    """
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
    if data != encode_manifest(manifest.schema, manifest.created, manifest.files):
        raise EvidenceError(folder, ["its manifest was changed"])
    return manifest, hashlib.sha256(data).hexdigest()


def changes(folder: Path, manifest: Manifest) -> list[str]:
    """Return what in a folder is not as its manifest says, one line each."""
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
        elif path.stat().st_size != seal.bytes or seal.bytes > MAX_FILE_BYTES or seal_file(path) != seal:
            problems.append(f"{name!r} was changed")
    return problems
