"""Copies a remote model into a folder of this process, once for each of its versions."""

import hashlib
import threading
from functools import cache
from pathlib import Path, PurePosixPath

from maskbeam.pipeline.process.temporary import make_folder
from maskbeam.transforms.errors import RunError

_one_at_a_time = threading.Lock()


@cache
def _cache_folder() -> Path:
    return make_folder(prefix="maskbeam-model-")


def fetch_model(uri: str) -> Path:
    """The local copy of the file or folder `uri`; it is deleted when the process ends.

    Raises:
        RunError: There is nothing, or it cannot be read.
    """
    with _one_at_a_time:
        try:
            return _fetch(uri.rstrip("/"))
        except RunError:
            raise
        except Exception as error:
            # Whatever storage has to say, one message that names the model is what a person can act on.
            raise RunError(f"--model {uri}: it cannot be read ({type(error).__name__}: {error}).") from error


def _fetch(uri: str) -> Path:
    from maskbeam.pipeline.storage import open_storage

    storage = open_storage(uri)
    single = storage.stat(uri)
    listed = [single] if single else sorted(storage.list(f"{uri}/"), key=lambda entry: entry.uri)
    if not listed:
        raise RunError(f"--model {uri}: there is no such file or folder.")
    versions = "\n".join(f"{entry.uri} {entry.version}" for entry in listed)
    folder = _cache_folder() / hashlib.sha256(versions.encode()).hexdigest()[:16]
    target = folder / PurePosixPath(uri).name
    if not target.exists():
        for entry in listed:
            _save(
                folder.with_suffix(".part") / target.name,
                entry.uri[len(uri) :],
                storage.read(entry.uri, version=entry.version, limit=entry.size + 1),
            )
        folder.with_suffix(".part").rename(folder)
    return target


def _save(root: Path, name: str, data: bytes) -> None:
    if ".." in PurePosixPath(name).parts:
        raise RunError(f"--model: the object {name!r} leads out of its folder.")
    path = root / name.lstrip("/") if name else root
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
