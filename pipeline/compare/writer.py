"""Writes a comparison into its output: rows of images shard by shard, then the whole, `_SUCCESS` last."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from maskbeam.pipeline.compare.closing import closing_lines
from maskbeam.pipeline.compare.compare_files import (
    Found,
    classes_csv,
    failures_jsonl,
    flow_csv,
    images_csv,
    summary_json,
)
from maskbeam.pipeline.compare.comparison import Comparison
from maskbeam.pipeline.compare.part import FailedRow, Part, Row, read_part
from maskbeam.pipeline.compare.pictures import draw_worst
from maskbeam.pipeline.compare.totals import Totals
from maskbeam.pipeline.compare.verdict import judge
from maskbeam.pipeline.exit_codes import ExitCode
from maskbeam.pipeline.output.ours import COMPARISONS, delete_own
from maskbeam.pipeline.output.tree import SUCCESS, overwrite
from maskbeam.pipeline.reports.report import ROWS_PER_SHARD
from maskbeam.pipeline.reports.report_writer import shard_name
from maskbeam.transforms.errors import RunError


@dataclass(frozen=True)
class Writer:
    """Writes a comparison's files; can be pickled."""

    comparison: Comparison

    @property
    def shards(self) -> int:
        """The number of files that rows of images are spread over."""
        return min(self.comparison.parts, 1 + max(0, self.comparison.chosen - 1) // ROWS_PER_SHARD)

    def shard_of(self, part: int) -> int:
        """The shard that holds a part."""
        return part * self.shards // self.comparison.parts

    def begin(self) -> None:
        """Removes what an earlier comparison said; what is kept of parts stays."""
        delete_own(self.comparison.tree, COMPARISONS, only=partial(_is_report, self.comparison.name))

    def write_shard(self, shard: int, parts: Sequence[int]) -> None:
        """Writes the rows of some parts, read back one at a time."""
        rows = images_csv(self._rows(parts), self.comparison.count)
        self._write(shard_name("images.csv", shard, self.shards), "".join(rows))
        failed = "".join(failures_jsonl(self._failed(parts)))
        self._write(shard_name("failures.jsonl", shard, self.shards), failed)

    def finish(self, totals: Totals, written: set[int]) -> None:
        """Writes what is said of all images; `_SUCCESS` last, if it is one.

        Raises:
            RunError: The reports of the output are not whole; or another run has taken it over.
        """
        comparison, tree = self.comparison, self.comparison.tree
        tree.look()
        if totals.images != comparison.chosen:
            raise RunError(
                f"the reports in {tree.root} tell of {totals.images:,} images where {comparison.chosen:,} were "
                "expected: they are not whole; run the same maskbeam run again"
            )
        for shard in sorted(set(range(self.shards)) - written):
            self.write_shard(shard, [])
        found = Found(comparison, totals)
        self._write("classes.csv", classes_csv(found))
        self._write("flow.csv", flow_csv(found))
        code, worst = judge(found), draw_worst(comparison, totals.worst)
        summary = summary_json(found, worst, list(closing_lines(found)), code)
        self._write("summary.json", summary)
        self._forget_others(totals)
        if code is ExitCode.DONE:
            self._write(SUCCESS, summary)

    def _forget_others(self, totals: Totals) -> None:
        """Removes what is kept of parts that there are no more."""
        kept = {comparison_path(self.comparison, part) for part in totals.parts}
        delete_own(self.comparison.tree, COMPARISONS, only=partial(_is_other_part, self.comparison.name, kept))

    def _rows(self, parts: Sequence[int]) -> Iterator[Row]:
        for part in self._parts(parts):
            yield from part.rows

    def _failed(self, parts: Sequence[int]) -> Iterator[FailedRow]:
        for part in self._parts(parts):
            yield from part.failed

    def _parts(self, numbers: Sequence[int]) -> Iterator[Part]:
        for number in numbers:
            part = read_part(self.comparison, number)
            if part is None:
                raise RunError(f"a part of {self.comparison.folder} was removed while it was needed; run it again")
            yield part

    def _write(self, name: str, text: str) -> None:
        overwrite(self.comparison.tree, f"{self.comparison.folder}/{name}", text.encode())


def comparison_path(comparison: Comparison, part: int) -> str:
    """The path of a part below the folder of comparisons."""
    return comparison.part_path(part).removeprefix(f"{COMPARISONS}/")


def _is_report(name: str, below: str) -> bool:
    return below.startswith(f"{name}/") and not below.startswith(f"{name}/parts/")


def _is_other_part(name: str, kept: set[str], below: str) -> bool:
    return below.startswith(f"{name}/parts/") and below not in kept
