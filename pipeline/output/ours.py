"""The files of an output that are maskbeam's own, by their names; only these are ever deleted in its folders.

Nothing is deleted through a link, neither to a folder nor to a file: folders are opened as what they are, and files
are removed within an open folder, so that one that is exchanged for a link meanwhile leads nowhere.
"""

import os
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from maskbeam.pipeline.output.claim import TEXT_KEY, parse_claim
from maskbeam.pipeline.output.tree import LOCK, RECORD, SUCCESS, Tree
from maskbeam.pipeline.storage import NotFound, Storage, is_gcs
from maskbeam.pipeline.storage.local_errors import insist, listing
from maskbeam.transforms.codecs.aux_xml import AUX_EXTENSION
from maskbeam.transforms.codecs.codec import TEXT_BYTES
from maskbeam.transforms.codecs.encode import read_text
from maskbeam.transforms.errors import RunError
from maskbeam.transforms.products.registry import product, product_names

#: Of the file beside a GeoTIFF mask that holds the names of its classes.
NAMES_EXTENSION = f".tif{AUX_EXTENSION}"
#: Files that lie in the output itself.
FILES = (RECORD, LOCK, SUCCESS)
#: The folder of blocks of images that are not done yet, see `blocks.py`.
BLOCKS = ".blocks"
#: The folder of comparisons with the truth or with old labels.
COMPARISONS = "compare"
_RUN = r"\d{8}-\d{6}-[0-9a-f]{6}"
#: What the names of files look like, below each folder that belongs to the run as a whole.
NAMES = {
    ".tmp": rf"{_RUN}/([0-9a-f]{{12,64}}|probe\.json|progress/[^/]+\.json)",
    BLOCKS: r"[0-9a-f]{32}/\d+-\d+-\d+x\d+\.png",
    "parts": r"\d+-of-\d+(\.lock)?\.json",
    "failed": r"[0-9a-f]{16,64}\.json",
    "runs": rf"{_RUN}\.json",
    "review": r"[a-z_]+\.(csv|jpg)",
    COMPARISONS: r"[A-Za-z0-9][A-Za-z0-9_-]*/(_SUCCESS|summary\.json|classes\.csv|flow\.csv|worst/\d\d\.jpg"
    r"|images(-\d{5}-of-\d{5})?\.csv|failures(-\d{5}-of-\d{5})?\.jsonl|parts/\d{5}-of-\d{5}\.json)",
    "reports": r"summary\.json|classes\.csv|(images\.(csv|parquet)|failures\.jsonl)|samples/.+\.jpg"
    r"|scenes(-\d{5}-of-\d{5})?\.geojson|images-\d{5}-of-\d{5}\.(csv|parquet)|failures-\d{5}-of-\d{5}\.jsonl",
}
_PART = re.compile(r"(\d+)-of-(\d+)(\.lock)?\.json")
#: Carried by each file below `reports/samples`, whose name is an image's and tells nothing.
SAMPLE_TEXT = {TEXT_KEY: '{"sample":true}'}


def image_folders() -> list[str]:
    """The folders that hold files of images: masks and products."""
    return ["masks", *sorted(product_names())]


def names_of(path: str) -> Iterator[str]:
    """The encoded ids that a file of an image may be named after; none for other files.

    A file may be one of a class, or of an image whose id begins with the name of a folder.
    """
    kind, _, below = without_extension(path).partition("/")
    if kind in image_folders() and ".." not in path.split("/"):
        yield below
        if may_be_by_class(kind) and "/" in below:
            yield below.partition("/")[2]


def without_extension(path: str) -> str:
    """A path of an image's file without its extension: a file beside a GeoTIFF has both of theirs."""
    return path.removesuffix(NAMES_EXTENSION) if path.endswith(NAMES_EXTENSION) else path.rpartition(".")[0]


def may_be_by_class(kind: str) -> bool:
    """True for a product that may have a folder for each class."""
    return kind in product_names() and product(kind).may_be_by_class


def is_own(folder: str, below: str) -> bool:
    """True if maskbeam makes files of this name below a folder of the output."""
    return re.fullmatch(NAMES[folder], below, re.DOTALL) is not None


def new_run() -> str:
    """The name of a run that begins now; none is like another."""
    return time.strftime("%Y%m%d-%H%M%S-", time.gmtime()) + uuid.uuid4().hex[:6]


def is_run(name: str) -> bool:
    """True if this may be the name of a run."""
    return re.fullmatch(_RUN, name) is not None


def check_layout(output: str) -> None:
    """Makes sure that what maskbeam writes in an output meets folders where folders belong, and files elsewhere.

    Raises:
        RunError: Something else is there, or a link to a folder in which files are deleted.
    """
    if is_gcs(output):
        return
    for name in (*image_folders(), *NAMES):
        path = f"{output}/{name}"
        if os.path.lexists(path) and not os.path.isdir(path):
            raise RunError(f"{path} must be a folder, and is something else; remove it, or choose another --output")
        if name in NAMES and os.path.islink(path):
            raise RunError(
                f"{path} is a link, and maskbeam deletes nothing through links; put a folder in its place, or choose "
                "another --output"
            )
    for name in FILES:
        path = f"{output}/{name}"
        if os.path.lexists(path) and not os.path.isfile(path):
            raise RunError(f"{path} must be a file, and is something else; remove it, or choose another --output")


def check_new(output: str, storage: Storage) -> str | None:
    """Makes sure that an output without a record holds nothing of somebody else: nobody asked to replace it.

    What a first run of ours left that died before it wrote its record is ours by its name. Masks and products say
    themselves who made them: the record of an output that was moved away under a run is not in what that run left.

    Returns:
        The fingerprint of all masks and products that are there; None where there are none.

    Raises:
        RunError: It does.
    """
    made: dict[str | None, str] = {}
    for folder in (*image_folders(), "reports"):
        for listed in storage.list(f"{output}/{folder}/"):
            below = listed.uri[len(output) + 1 :]
            made[_maker(storage, listed.uri, below, made)] = folder
            if None in made or len(made) > 1:
                raise RunError(
                    f"{output}/{folder} holds files, and nothing there tells that maskbeam made them: choose another "
                    "--output, or replace them with --overwrite"
                )
    for folder in (".tmp", BLOCKS, "parts", "failed", "runs"):
        start = len(f"{output}/{folder}/")
        if any(not _is_ours(storage, folder, listed.uri, start) for listed in storage.list(f"{output}/{folder}/")):
            raise RunError(
                f"{output}/{folder} holds files that maskbeam did not make, and it needs that folder for its own: "
                "choose another --output, or move them away"
            )
    if storage.stat(f"{output}/{SUCCESS}"):
        raise RunError(f"{output}/{SUCCESS} is not maskbeam's: choose another --output, or move it away")
    return next(iter(made), None)


def check_made(output: str, made: str | None, fingerprint: str) -> None:
    """Makes sure that what `check_new` found was made as this run would.

    Raises:
        RunError: It was not.
    """
    if made not in (None, fingerprint):
        raise RunError(
            f"{output} holds what another model or other options made, and {RECORD}, which tells them, is gone: "
            "choose another --output, or replace it with --overwrite"
        )


def _maker(storage: Storage, uri: str, below: str, made: Mapping[str | None, str]) -> str | None:
    """The fingerprint of who made a file; None where it does not tell. Reports are those of the masks beside them."""
    if below.startswith("reports/"):
        return next(iter(made), None) if is_own("reports", below.removeprefix("reports/")) else None
    with suppress(NotFound):
        claim = parse_claim(read_text(storage.read(uri, limit=TEXT_BYTES)).get(TEXT_KEY))
        return claim.fingerprint if claim else None
    return None


def report_files(storage: Storage, output: str, name: str) -> Iterator[str]:
    """The places of a report, such as `images.csv`: one file, or several shards of it; never a file of others."""
    stem, _, ending = name.partition(".")
    start = len(f"{output}/reports/")
    for listed in storage.list(f"{output}/reports/{stem}*.{ending}"):
        if is_own("reports", listed.uri[start:]):
            yield listed.uri


def is_success(below: str) -> bool:
    """True of the file that says that a comparison is whole."""
    return below.endswith(f"/{SUCCESS}")


def every(below: str) -> bool:
    """True of any file."""
    return True


def delete_own(tree: Tree, folder: str, *, only: Callable[[str], bool] = every) -> None:
    """Removes what is maskbeam's own below a folder of the output, and leaves everything else.

    Args:
        tree: The output.
        folder: One of `NAMES`.
        only: Says of a path below it whether it goes.

    Raises:
        RunError: The storage refuses, or keeps failing.
    """
    top = tree.uri(folder)
    if not is_gcs(tree.root):
        with suppress(NotFound), listing(top):
            insist(lambda: _delete_below(top, folder, only))
        return
    for listed in list(tree.storage.list(f"{top}/")):
        below = listed.uri[len(top) + 1 :]
        if only(below) and _is_ours(tree.storage, folder, listed.uri, len(top) + 1):
            tree.storage.delete(listed.uri)


def runs_staged(tree: Tree) -> set[str]:
    """The runs that have something in `.tmp`."""
    return set(filter(is_run, folders_in(tree, ".tmp")))


def folders_in(tree: Tree, folder: str) -> set[str]:
    """The names of what lies in a folder of the output."""
    top = tree.uri(folder)
    if is_gcs(tree.root):
        return {listed.uri.removeprefix(f"{top}/").partition("/")[0] for listed in tree.storage.list(f"{top}/")}
    return {path.name for path in Path(top).glob("*")}


def delete_staged(tree: Tree, run: str) -> None:
    """Removes what a run left in `.tmp`: files that are not complete, and how far its workers were."""
    delete_below(tree, ".tmp", run)


def delete_below(tree: Tree, folder: str, name: str) -> None:
    """Removes what is maskbeam's own in a folder of one of the output's, and that folder if nothing else is in it."""
    if is_gcs(tree.root):
        start = len(tree.uri(folder)) + 1
        for listed in list(tree.storage.list(tree.uri(f"{folder}/{name}") + "/")):
            if is_own(folder, listed.uri[start:]):
                tree.storage.delete(listed.uri)
        return
    with suppress(OSError):
        descriptor = os.open(tree.uri(folder), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            # A link in its place stays.
            for at, _, names, inner in os.fwalk(name, topdown=False, dir_fd=descriptor):
                _delete_own_in(inner, folder, at, names)
                with suppress(OSError):
                    # One that holds files of others stays.
                    os.rmdir(at, dir_fd=descriptor)
        finally:
            os.close(descriptor)


def _delete_own_in(inner: int, folder: str, at: str, names: list[str]) -> None:
    for name in names:
        if is_own(folder, f"{at}/{name}"):
            with suppress(OSError):
                os.unlink(name, dir_fd=inner)


def remove_empty(output: str, folder: str) -> None:
    """Removes a folder that holds nothing any more; objects have none."""
    if not is_gcs(output):
        with suppress(OSError):
            Path(output, folder).rmdir()


def _is_ours(storage: Storage, folder: str, uri: str, start: int) -> bool:
    below = uri[start:]
    if not is_own(folder, below):
        return False
    with suppress(NotFound):
        return not _needs_mark(folder, below) or _is_marked(below, storage.read(uri, limit=TEXT_BYTES))
    return True  # gone meanwhile


def _delete_below(top: str, folder: str, only: Callable[[str], bool]) -> None:
    for at, _, names, descriptor in os.fwalk(top, topdown=False, onerror=_raise):
        inner = at[len(top) + 1 :]
        for name in names:
            below = f"{inner}/{name}" if inner else name
            if only(below) and is_own(folder, below) and _is_marked_here(folder, below, name, descriptor):
                os.unlink(name, dir_fd=descriptor)


def _is_marked_here(folder: str, below: str, name: str, descriptor: int) -> bool:
    return not _needs_mark(folder, below) or _is_marked(below, _read_plain(name, descriptor))


def _raise(error: OSError) -> None:
    raise error


def _needs_mark(folder: str, below: str) -> bool:
    """True if others may well call a file so: what it holds must tell that it is ours."""
    return (folder == "reports" and below.startswith("samples/")) or _PART.match(below) is not None


def _is_marked(below: str, data: bytes) -> bool:
    part = _PART.match(below)
    if part is None:
        return read_text(data).items() >= SAMPLE_TEXT.items()
    if part[3]:
        # An empty one is what a death between its two steps leaves.
        return not data or re.match(rb'\{"run": "', data) is not None
    return re.match(rb'\{\s*"part": "%b/%b"' % (part[1].encode(), part[2].encode()), data) is not None


def _read_plain(name: str, folder: int) -> bytes:
    """A file's first bytes; of a link or a pipe some that mark nothing."""
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return b"?"
    with open(descriptor, "rb") as file:
        return file.read(TEXT_BYTES)
