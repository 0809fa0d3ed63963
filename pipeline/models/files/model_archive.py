"""Looks into the containers that hold models (zip and HDF5) before anything trusts them.

What is refused here is never part of a model that Keras saved, so no flag lets it through.
"""

import io
import json
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

from maskbeam.transforms.errors import RunError

# Keras stores weights as they are. Others may have packed them, so some expansion is let through: far more than
# weights yield, far less than a bomb needs.
MAX_EXPANSION = 100
FREE_BYTES = 64 << 20
MAX_JSON_BYTES = 256 << 20

_SYMLINK = 0o120000
_ENCRYPTED = 0x1


def open_zip(path: Path, uri: str) -> zipfile.ZipFile:
    """Opens a `.keras` archive after checking the names and the sizes that it declares.

    Raises:
        RunError: It is damaged, or its entries leave the archive, repeat, overlap or expand beyond reason.
    """
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise RunError(f"--model {uri}: the zip archive is damaged ({error}); copy the file again.") from error
    entries = archive.infolist()
    problem = next(_entry_problems(entries), None) or _size_problem(entries, path.stat().st_size)
    if problem:
        archive.close()
        raise RunError(f"--model {uri}: refused, {problem}. Keras writes no such file; save the model again.")
    return archive


def _entry_problems(entries: list[zipfile.ZipInfo]) -> Iterator[str]:
    for name, count in Counter(entry.filename for entry in entries).items():
        if count > 1:
            yield f"it holds {name!r} {count} times"
    for entry in entries:
        place = PurePosixPath(entry.filename.replace("\\", "/"))
        if place.is_absolute() or ".." in place.parts or ":" in entry.filename:
            yield f"its entry {entry.filename!r} leads out of the archive"
        if entry.external_attr >> 16 & 0o170000 == _SYMLINK:
            yield f"its entry {entry.filename!r} is a symbolic link"
        if entry.flag_bits & _ENCRYPTED:
            yield f"its entry {entry.filename!r} is encrypted"


def _size_problem(entries: list[zipfile.ZipInfo], on_disk: int) -> str | None:
    packed = sum(entry.compress_size for entry in entries)
    unpacked = sum(entry.file_size for entry in entries)
    if packed > on_disk:
        return f"its entries declare {packed:,} packed bytes but the file has {on_disk:,}"
    return None if _plausible(unpacked, on_disk) else f"it would expand from {on_disk:,} to {unpacked:,} bytes"


def _plausible(declared: int, stored: int) -> bool:
    return declared <= FREE_BYTES + MAX_EXPANSION * stored


def read_entry(archive: zipfile.ZipFile, name: str, uri: str) -> bytes:
    """The bytes of one small entry, such as `config.json`.

    Raises:
        RunError: It is larger than any configuration is, or damaged.
    """
    if archive.getinfo(name).file_size > MAX_JSON_BYTES:
        raise RunError(f"--model {uri}: refused, {name} is larger than {MAX_JSON_BYTES:,} bytes.")
    return _read(archive, name, uri)


def _read(archive: zipfile.ZipFile, name: str, uri: str) -> bytes:
    try:
        return archive.read(name)
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError, ValueError) as error:
        raise RunError(f"--model {uri}: {name} in the archive is damaged ({error}); copy the file again.") from error


def read_json(path: Path, uri: str) -> Any:
    """The content of one JSON file of a model's folder, of any type.

    Raises:
        RunError: It is no JSON, or larger than any configuration is.
    """
    with path.open("rb") as file:
        text = file.read(MAX_JSON_BYTES + 1)
    if len(text) > MAX_JSON_BYTES:
        raise RunError(f"--model {uri}: refused, {path.name} is larger than {MAX_JSON_BYTES:,} bytes.")
    return parse_json(text, uri, path.name)


def parse_json(text: str | bytes, uri: str, name: str) -> Any:
    """Parses what `name` in a model holds.

    Raises:
        RunError: It is no JSON.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RunError(f"--model {uri}: its {name} is damaged ({error}); copy the model again.") from error


def check_weights(archive: zipfile.ZipFile, uri: str) -> int:
    """Checks the HDF5 file of weights inside a `.keras` archive as `check_hdf5` does; the bytes of its arrays."""
    total = 0
    for entry in archive.infolist():
        if entry.filename.endswith(".h5"):
            # HDF5 jumps about: ten times faster in memory, and reading all of it proves the entry's checksum.
            total += check_hdf5(io.BytesIO(_read(archive, entry.filename, uri)), uri, size=entry.file_size)
    return total


def check_hdf5(file: Path | IO[bytes], uri: str, *, size: int) -> int:
    """Checks an HDF5 file of `size` bytes for links that lead out of it and shapes that it cannot hold.

    Returns:
        The bytes of all its arrays.

    Raises:
        RunError: It is damaged, or holds soft, external or virtual links, or its datasets declare far more bytes
            than it has.
    """
    import h5py

    try:
        with h5py.File(file, "r") as opened:
            declared = sum(_declared_bytes(opened, uri))
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise RunError(f"--model {uri}: the HDF5 file is damaged ({error}); copy the file again.") from error
    if not _plausible(declared, size):
        raise RunError(
            f"--model {uri}: refused, its arrays declare {declared:,} bytes but the file has {size:,}. "
            "Keras writes no such file; save the model again."
        )
    return declared


def _declared_bytes(root: Any, uri: str) -> Iterator[int]:
    """Yields what each dataset would take in memory. Follows hard links only, and each object once."""
    import h5py

    pending, seen = [root], {hash(root.id)}
    while pending:
        group = pending.pop()
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise RunError(f"--model {uri}: refused, {group.name}/{name} is a link and may leave the file.")
            item = group[name]
            if hash(item.id) in seen:
                continue
            seen.add(hash(item.id))
            if isinstance(item, h5py.Group):
                pending.append(item)
            elif isinstance(item, h5py.Dataset):
                yield _dataset_bytes(item, uri)


def _dataset_bytes(dataset: Any, uri: str) -> int:
    if dataset.external or dataset.is_virtual:
        raise RunError(f"--model {uri}: refused, the array {dataset.name} lies in another file.")
    return int(dataset.nbytes)
