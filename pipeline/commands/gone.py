"""Files of inputs that are gone: how they are found, and how `maskbeam clean` tells them."""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from maskbeam.pipeline.output.claim import Record
from maskbeam.pipeline.output.orphans import Images, plain_files, record_of
from maskbeam.pipeline.output.tree import Tree
from maskbeam.pipeline.storage import Listed, SourceChanged
from maskbeam.pipeline.text.wording import printable

#: Why a file that no row claims is kept: its key in JSON, and its words for people.
KEPT = {
    "failed": "of inputs that are there and failed",
    "other_inputs": "of other commands' --input; --all_inputs takes them, too",
    "without_record": "without a record of maskbeam's",
}


@dataclass(frozen=True)
class Orphan:
    """A mask that no row of the report claims, and its record."""

    path: str
    listed: Listed
    name: str
    record: Record


@dataclass
class Output:
    """A finished output, as its reports tell it.

    Attributes:
        tree: The output.
        inputs: Digest of the last command's `--input`.
        all_inputs: True where masks that other commands' `--input` made are removed, too.
        images: Those that have a row.
        failed: Places of inputs that failed.
        kept: The number of files that no row claims and that are kept, by a reason of `KEPT`.
    """

    tree: Tree
    inputs: str
    all_inputs: bool
    images: Images
    failed: frozenset[str]
    kept: Counter[str] = field(default_factory=Counter)

    def orphans(self) -> Iterator[Orphan]:
        """The masks that are to go; counts those that are kept."""
        self.kept.clear()
        tree = self.tree
        folder, _, ending = tree.record.partition("/{}")
        for listed in plain_files(tree.storage, tree.root, folder):
            path = listed.uri[len(tree.root) + 1 :]
            name = path[len(folder) + 1 :].removesuffix(ending)
            if self.images.text(name) is not None:
                continue
            record = None if name == path[len(folder) + 1 :] else _record(tree, listed)
            if record is None:
                self.kept["without_record"] += 1
            elif record.claim.place in self.failed:
                self.kept["failed"] += 1
            elif record.claim.inputs != self.inputs and not self.all_inputs:
                self.kept["other_inputs"] += 1
            else:
                yield Orphan(path, listed, name, record)


class Gone:
    """The files of inputs that are gone: counted, and told line by line or kept for one document.

    Lines take no memory; a document holds the path of each file.
    """

    def __init__(self, *, told: bool) -> None:
        self.masks = self.others = 0
        self.paths: dict[str, list[str]] = {}
        self._told = told

    def add_mask(self, path: str, word: str) -> None:
        """A mask; `word` says to people what became of it."""
        self.masks += 1
        if self._told:
            say(f"{word:<9} {path}")
        else:
            self._keep(path)

    def add_others(self, paths: list[str]) -> None:
        """The other files of an image."""
        self.others += len(paths)
        if not self._told:
            for path in paths:
                self._keep(path)

    def _keep(self, path: str) -> None:
        self.paths.setdefault(path.partition("/")[0], []).append(path)


def _record(tree: Tree, listed: Listed) -> Record | None:
    with suppress(SourceChanged):
        return record_of(tree.storage, listed)
    return None


def say(text: str) -> None:
    """Prints a line, unless it is empty."""
    if text:
        print(printable(text))  # noqa: T201
