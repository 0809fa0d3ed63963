"""The rows of the reports of a finished output, read back."""

import csv
import io
import re
from collections.abc import Iterator
from typing import NamedTuple

from maskbeam.pipeline.output.ours import report_files
from maskbeam.pipeline.output.stored_json import parse_stored
from maskbeam.pipeline.storage import Storage
from maskbeam.pipeline.text.csv_text import cell_text
from maskbeam.transforms.elements import Source
from maskbeam.transforms.errors import RunError

_PLACE = re.compile(r"[0-9a-f]{32}")


class FinishedImage(NamedTuple):
    """A line of the images report: id and source as they were before they were made safe, and its cells by column."""

    image_id: str
    source: Source
    cells: dict[str, str]

    @property
    def place(self) -> str:
        """Digest of where the source lies; with --anonymous_ids the report holds nothing else."""
        return _place(self.source.where)


class Failed(NamedTuple):
    """A line of the failures report: its code, the digest of where the source lies, and the id, if it got one."""

    code: str
    place: str
    image_id: str = ""


def image_rows(storage: Storage, root: str) -> Iterator[FinishedImage]:
    """The rows of the images report, all of its shards."""
    for uri in report_files(storage, root, "images.csv"):
        with io.TextIOWrapper(storage.open(uri), encoding="utf-8", newline="") as text:
            try:
                yield from _rows(text)
            except (csv.Error, IndexError, UnicodeDecodeError):
                raise damaged(uri) from None


def failed_rows(storage: Storage, root: str) -> Iterator[Failed]:
    """The lines of the failures report, all of its shards."""
    for uri in report_files(storage, root, "failures.jsonl"):
        with storage.open(uri) as lines:
            try:
                for values in map(parse_stored, lines):
                    yield Failed(values["code"], _place(values["where"]), values.get("id", ""))
            except (ValueError, TypeError, KeyError):
                raise damaged(uri) from None


def _rows(text: io.TextIOWrapper) -> Iterator[FinishedImage]:
    lines = csv.reader(text)
    columns = next(lines, [])
    for cells in lines:
        image_id, where = (cell_text(cells[i]) for i in (0, 3))
        if len(cells) != len(columns):
            raise IndexError("a line of another number of cells than the header")
        yield FinishedImage(image_id, Source(where, ""), dict(zip(columns, cells, strict=True)))


def _place(where: str) -> str:
    return where if _PLACE.fullmatch(where) else Source(where, "").place


def damaged(uri: str) -> RunError:
    """The error of a file of an output that cannot be understood."""
    return RunError(f"{uri} is damaged; run the same command again")
