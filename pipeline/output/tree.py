"""The output folder as workers see it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from maskbeam.pipeline.inputs.anonymous import PLAIN, Names
from maskbeam.pipeline.output.claim import Claim, Verdict, claim_text, judge
from maskbeam.pipeline.output.holder import Holder
from maskbeam.pipeline.storage import (
    Conflict,
    NotFound,
    Storage,
    Unreadable,
    folder_of,
    join,
    open_storage,
    unguarded,
)
from maskbeam.transforms.elements import Source
from maskbeam.transforms.errors import Code, ImageError, RunError

RECORD = ".job.json"
LOCK = ".lock.json"
SUCCESS = "_SUCCESS"
# What an option is that was not given and has no other value.
NO_VALUE = "none"
BLOCKED = (
    "in the place of one of its outputs lies something that is no file, such as a folder or a link to nothing, or a "
    "file that cannot be read; remove it, and run again"
)


@dataclass(frozen=True)
class Tree:
    """The output folder as workers see it, and what claims made in it say.

    Attributes:
        root: The output folder.
        staging: Folder below it for files that are not complete yet.
        record: Path pattern of the file that carries an image's record.
        fingerprint: Digest of the model and of all options that decide about pixels.
        inputs: Digest of the command's input patterns.
        overwrite: Whether what commands with other inputs left under the same ids is replaced.
        hold: Asked before each write whether the run still holds the output; None: there is no lease.
        mending: Options, and versions of decoders, that masks do not depend on and that could mend a failure: names
            and values.
        drawing: How products are drawn, as digests by product.
        of_images: What matters to some images only, by flag, as it is now.
        drawn_before: `drawing` of records that do not say it, which an older version wrote.
        names: What stands in it for names of images and for their sources.
    """

    root: str
    staging: str
    record: str
    fingerprint: str
    inputs: str
    overwrite: bool = False
    hold: Holder | None = None
    mending: tuple[tuple[str, str], ...] = ()
    drawing: tuple[tuple[str, str], ...] = ()
    of_images: tuple[tuple[str, str], ...] = ()
    drawn_before: tuple[tuple[str, str], ...] = ()
    names: Names = PLAIN

    @property
    def storage(self) -> Storage:
        """The storage that holds the tree; one client a process."""
        return open_storage(self.root, staging=self.staging, guard=self.hold or unguarded, named=self.root)

    def look(self) -> None:
        """Makes sure that the run still holds the output, by a look at its lease; raises TakenOverError."""
        if self.hold:
            self.hold.look()

    def uri(self, path: str) -> str:
        """The URI of a file of the tree; raises ValueError for a path that leaves it."""
        return join(self.root, path)

    def claim(self, source: Source) -> Claim:
        """The claim that a source makes in this job."""
        version = self.names.digest(source.version.encode("utf-8", "surrogateescape"), of="version")
        return Claim(source.place, version, source.content, self.fingerprint, self.inputs)

    def text(self, source: Source) -> Mapping[str, str]:
        """The text of an image's products: its claim."""
        return claim_text(self.claim(source))

    def judge(self, held: Claim | None, mine: Claim) -> Verdict:
        """The verdict on a file of the tree that exists; see `claim.judge`."""
        return judge(held, mine, overwrite=self.overwrite)


@contextmanager
def reading_output() -> Iterator[None]:
    """Lets what cannot be read in the place of an image's file cost that image only: `OUTPUT_BLOCKED`."""
    try:
        yield
    except Unreadable:
        raise ImageError(Code.OUTPUT_BLOCKED, BLOCKED) from None


def overwrite(tree: Tree, path: str, data: bytes) -> None:
    """Writes a file that belongs to the run as a whole, whatever was there.

    Raises:
        RunError: Somebody else writes the same file at the same time.
    """
    uri = tree.uri(path)
    held = tree.storage.stat(uri)
    try:
        tree.storage.write(uri, data, expected=held.version if held else None)
    except Conflict:
        if _content(tree, uri) != data:
            raise RunError(f"another run writes to {tree.root}; let one of them finish first") from None
    except ImageError as error:
        # Said of an image's file; this one is the run's.
        raise RunError(f"nothing can be written to {folder_of(uri)}: {error.reason}") from None


def _content(tree: Tree, uri: str) -> bytes:
    try:
        return tree.storage.read(uri)
    except NotFound:
        raise RunError(f"{uri} is there and no file that can be read; remove it") from None
