import hashlib

import pytest

from chatapp.compare.manifest import (
    FILES,
    MANIFEST,
    SCHEMA,
    EvidenceError,
    changes,
    encode_manifest,
    read_manifest,
    seal_file,
)
from chatapp.errors import FileFormatError


@pytest.fixture
def folder(tmp_path):
    for name in FILES:
        (tmp_path / name).write_text(f"this is {name}")
    seals = {name: seal_file(tmp_path / name) for name in sorted(FILES)}
    (tmp_path / MANIFEST).write_bytes(encode_manifest(SCHEMA, "2026-11-24T12:00:00+00:00", seals))
    return tmp_path


def test_what_was_sealed_is_unchanged(folder):
    manifest, digest = read_manifest(folder)
    assert changes(folder, manifest) == []
    assert digest == hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
    assert manifest.files["claim.json"].bytes == len("this is claim.json")


def test_no_byte_of_the_manifest_can_change_unseen(folder):
    path = folder / MANIFEST
    data = path.read_bytes()
    for position in range(len(data)):
        for flip in (1, 0x20, 0x80):
            changed = bytearray(data)
            changed[position] ^= flip
            path.write_bytes(changed)
            with pytest.raises(EvidenceError):
                read_manifest(folder)


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b"\xff", b'{"schema": 1}'])
def test_what_is_no_manifest(folder, data):
    (folder / MANIFEST).write_bytes(data)
    with pytest.raises(EvidenceError, match="broken"):
        read_manifest(folder)


def test_no_manifest_at_all(tmp_path):
    with pytest.raises(FileFormatError, match="cannot be read"):
        read_manifest(tmp_path)


def test_each_change_has_its_line(folder):
    manifest, _digest = read_manifest(folder)
    (folder / "claim.json").write_text("another")
    (folder / "result.json").unlink()
    (folder / "more").touch()
    assert changes(folder, manifest) == ["'more' was added", "'claim.json' was changed", "'result.json' is missing"]
    error = EvidenceError(folder, changes(folder, manifest))
    assert "'more' was added (and 2 more problems)" in error.message
