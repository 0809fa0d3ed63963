"""Temporary folders that this process takes with it: at its exit, and when a signal or a hang ends it."""

import atexit
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_folders: set[Path] = set()


def make_folder(*, prefix: str = "maskbeam-", within: str | Path | None = None) -> Path:
    """Makes a folder that is there until this process ends.

    Args:
        prefix: What its name begins with.
        within: Where it is made; None: in `$TMPDIR`.

    Raises:
        OSError: It cannot be made.
    """
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=within))
    _folders.add(folder)
    return folder


@contextmanager
def temporary_folder(*, prefix: str = "maskbeam-", within: str | Path | None = None) -> Iterator[Path]:
    """A folder as of `make_folder` that is gone when this context ends, too."""
    folder = make_folder(prefix=prefix, within=within)
    try:
        yield folder
    finally:
        _remove(folder)


@atexit.register
def remove_folders() -> None:
    """Removes all of them; what cannot be removed is left."""
    for folder in tuple(_folders):
        _remove(folder)


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    _folders.discard(folder)
