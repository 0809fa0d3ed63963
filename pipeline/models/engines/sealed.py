"""Digests beside what is kept for later jobs, so that damage is noticed before it makes wrong masks."""

import hashlib
import json
import os
import uuid
from pathlib import Path

_DIGESTS = "sha256.json"


def seal(folder: Path) -> None:
    """Brings the files of a folder to the disk, with their digests beside them."""
    files = sorted(file for file in folder.iterdir() if file.is_file())
    digests = {file.name: _sha256(file) for file in files}
    (folder / _DIGESTS).write_text(json.dumps(digests, indent=1))
    for path in (*files, folder / _DIGESTS, folder):
        _sync(path)


def is_whole(folder: Path) -> bool:
    """True if a sealed folder holds what it held when it was sealed."""
    try:
        digests = json.loads((folder / _DIGESTS).read_text())
        return bool(digests) and all(_sha256(folder / name) == digest for name, digest in digests.items())
    except (OSError, ValueError, AttributeError, TypeError):
        return False


def write_sealed(path: Path, text: str) -> None:
    """Writes a text with its digest in front, whole or not at all.

    Raises:
        OSError: The disk takes no more files.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_name(f".{uuid.uuid4().hex}")
    try:
        staged.write_text(f"{_digest(text)}\n{text}")
        _sync(staged)
        os.replace(staged, path)
    finally:
        staged.unlink(missing_ok=True)


def read_sealed(path: Path) -> str:
    """The text that `write_sealed` wrote.

    Raises:
        OSError: It is not there.
        ValueError: It is damaged.
    """
    digest, _, text = path.read_text().partition("\n")
    if _digest(text) != digest:
        raise ValueError(f"{path} is not what it was when it was written")
    return text


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
