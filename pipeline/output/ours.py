"""Which files of an output are maskbeam's own, told by their names; only these are ever deleted in its folders.

Nothing is deleted through a link, neither to a folder nor to a file: folders are opened as what they are, and files
are removed within an open folder, so that one that is exchanged for a link meanwhile leads nowhere.
"""

import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from pipeline.options import PRODUCTS
from pipeline.output.claim import TEXT_KEY
from pipeline.output.tree import LOCK, RECORD, SUCCESS, Tree
from pipeline.storage import NotFound, Storage, is_gcs
from pipeline.storage.local_errors import insist, listing
from transforms.encode import read_text
from transforms.errors import RunError

_RUN = r"\d{8}-\d{6}-[0-9a-f]{6}"
#: What the names of files look like, below each folder that belongs to the run as a whole.
NAMES = {
    ".tmp": rf"{_RUN}/.+",
    "parts": r"\d+-of-\d+(\.lock)?\.json",
    "failed": r"[0-9a-f]{16,64}\.json",
    "runs": rf"{_RUN}\.json",
    "reports": r"summary\.json|classes\.csv|(images\.(csv|parquet)|failures\.jsonl)|samples/.+\.jpg"
    r"|images-\d{5}-of-\d{5}\.(csv|parquet)|failures-\d{5}-of-\d{5}\.jsonl",
}
# More than stands before the pixels of a JPEG that we wrote.
_HEAD_BYTES = 64 << 10
#: Carried by each file below `reports/samples`, whose name is an image's and tells nothing.
SAMPLE_TEXT = {TEXT_KEY: '{"sample":true}'}


def is_own(folder: str, below: str) -> bool:
    """Whether maskbeam makes files of this name below a folder of the output."""
    return re.fullmatch(NAMES[folder], below, re.DOTALL) is not None


def new_run() -> str:
    """The name of a run that begins now; none is like another."""
    return time.strftime("%Y%m%d-%H%M%S-", time.gmtime()) + uuid.uuid4().hex[:6]


def is_run(name: str) -> bool:
    """Whether this may be the name of a run."""
    return re.fullmatch(_RUN, name) is not None


def check_layout(output: str) -> None:
    """Makes sure that what maskbeam writes in an output meets folders where folders belong, and files elsewhere.

    Raises:
        RunError: Something else is there, or a link to a folder in which files are deleted.
    """
    if is_gcs(output):
        return
    for name in ("masks", *PRODUCTS, *NAMES):
        path = f"{output}/{name}"
        if os.path.lexists(path) and not os.path.isdir(path):
            raise RunError(f"{path} must be a folder, and is something else; remove it, or choose another --output")
        if name in NAMES and os.path.islink(path):
            raise RunError(
                f"{path} is a link, and maskbeam deletes nothing through links; put a folder in its place, or choose "
                "another --output"
            )
    for name in (RECORD, LOCK, SUCCESS):
        path = f"{output}/{name}"
        if os.path.lexists(path) and not os.path.isfile(path):
            raise RunError(f"{path} must be a file, and is something else; remove it, or choose another --output")


def check_new(output: str, storage: Storage) -> None:
    """Makes sure that an output without a record holds nothing of somebody else: nobody asked to replace it.

    What a first run of ours left that died before it wrote its record is ours by its name.

    Raises:
        RunError: It does.
    """
    for folder in ("masks", *PRODUCTS, "reports"):
        if next(iter(storage.list(f"{output}/{folder}/")), None):
            raise RunError(
                f"{output}/{folder} holds files, and nothing there tells that maskbeam made them: choose another "
                "--output, or replace them with --overwrite"
            )
    for folder in (".tmp", "parts", "failed", "runs"):
        start = len(f"{output}/{folder}/")
        if any(not is_own(folder, listed.uri[start:]) for listed in storage.list(f"{output}/{folder}/")):
            raise RunError(
                f"{output}/{folder} holds files that maskbeam did not make, and it needs that folder for its own: "
                "choose another --output, or move them away"
            )
    if storage.stat(f"{output}/{SUCCESS}"):
        raise RunError(f"{output}/{SUCCESS} is not maskbeam's: choose another --output, or move it away")


def report_files(storage: Storage, output: str, name: str) -> Iterator[str]:
    """Where a report lies, such as `images.csv`: one file, or several shards of it; never a file of others."""
    stem, _, ending = name.partition(".")
    start = len(f"{output}/reports/")
    for listed in storage.list(f"{output}/reports/{stem}*.{ending}"):
        if is_own("reports", listed.uri[start:]):
            yield listed.uri


def delete_own(tree: Tree, folder: str) -> None:
    """Removes what is maskbeam's own below a folder of the output, and leaves everything else.

    Raises:
        RunError: The storage refuses, or keeps failing.
    """
    top = tree.uri(folder)
    if not is_gcs(tree.root):
        with suppress(NotFound), listing(top):
            insist(lambda: _delete_below(top, folder))
        return
    for listed in list(tree.storage.list(f"{top}/")):
        below = listed.uri[len(top) + 1 :]
        if is_own(folder, below) and (not _needs_mark(below) or _is_marked(tree.storage.read(listed.uri))):
            tree.storage.delete(listed.uri)


def runs_staged(tree: Tree) -> set[str]:
    """The runs that have something in `.tmp`."""
    folder = tree.uri(".tmp")
    if is_gcs(tree.root):
        names = {
            listed.uri.removeprefix(f"{folder}/").partition("/")[0] for listed in tree.storage.list(f"{folder}/")
        }
    else:
        names = {path.name for path in Path(folder).glob("*")}
    return set(filter(is_run, names))


def delete_staged(tree: Tree, run: str) -> None:
    """Removes what a run left in `.tmp`: files that are not complete, and how far its workers were."""
    if is_gcs(tree.root):
        for listed in list(tree.storage.list(tree.uri(f".tmp/{run}") + "/")):
            tree.storage.delete(listed.uri)
        return
    with suppress(OSError):
        descriptor = os.open(tree.uri(".tmp"), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            # A link in its place stays, and links in it are removed as what they are.
            shutil.rmtree(run, ignore_errors=True, dir_fd=descriptor)
        finally:
            os.close(descriptor)


def remove_empty(output: str, folder: str) -> None:
    """Removes a folder that holds nothing any more; objects have none."""
    if not is_gcs(output):
        with suppress(OSError):
            Path(output, folder).rmdir()


def _delete_below(top: str, folder: str) -> None:
    for at, _, names, descriptor in os.fwalk(top, topdown=False, onerror=_raise):
        inner = at[len(top) + 1 :]
        for name in names:
            below = f"{inner}/{name}" if inner else name
            if is_own(folder, below) and (not _needs_mark(below) or _is_marked(_read_plain(name, descriptor))):
                os.unlink(name, dir_fd=descriptor)


def _raise(error: OSError) -> None:
    raise error


def _needs_mark(below: str) -> bool:
    return below.startswith("samples/")


def _is_marked(data: bytes) -> bool:
    return read_text(data).items() >= SAMPLE_TEXT.items()


def _read_plain(name: str, folder: int) -> bytes:
    """A file's first bytes, none of a link or a pipe."""
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return b""
    with open(descriptor, "rb") as file:
        return file.read(_HEAD_BYTES)
