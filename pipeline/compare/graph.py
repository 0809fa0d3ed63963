"""The graph of a comparison: rows of the images report, spread over parts; each is done by itself, and summed."""

from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam

from maskbeam.pipeline.compare.comparison import Comparison
from maskbeam.pipeline.compare.part import DoPart, Part
from maskbeam.pipeline.compare.totals import SumTotals, Totals
from maskbeam.pipeline.compare.writer import Writer
from maskbeam.pipeline.output.finished_rows import FinishedImage
from maskbeam.transforms.elements import Source

# References cross the shuffle, pixels never: an image's id, and where its source lies.
Named = tuple[str, str]


def compare_images(root: beam.Pipeline, *, comparison: Comparison) -> Any:
    """Wires rows -> parts -> sums -> reports.

    Args:
        root: The pipeline.
        comparison: What was resolved before work started.

    Returns:
        The `Totals`, one element.
    """
    writer = Writer(comparison)
    parts = (
        root
        | "Once" >> beam.Create([comparison])
        | "List images" >> beam.FlatMap(_images).with_output_types(tuple[int, Named])
        | "Group by part" >> beam.GroupByKey()
        | "Do parts" >> beam.Map(_done, DoPart(comparison)).with_output_types(Part)
    )
    totals = parts | "Sum parts" >> beam.CombineGlobally(SumTotals(comparison))
    written = (
        parts
        | "Key shards" >> beam.Map(_keyed, writer).with_output_types(tuple[int, int])
        | "Group by shard" >> beam.GroupByKey()
        | "Write shard" >> beam.Map(_write_shard, writer)
    )
    return totals | "Finish" >> beam.Map(_finish, writer, written=beam.pvalue.AsList(written))


def _images(comparison: Comparison) -> Iterator[tuple[int, Named]]:
    for image in comparison.output.images():
        if comparison.holds(image.image_id):
            yield comparison.part_of(image.image_id), (image.image_id, image.source.where)


def _done(group: tuple[int, Iterable[Named]], do: DoPart) -> Part:
    number, named = group
    return do(number, [FinishedImage(image_id, Source(where, ""), {}) for image_id, where in named])


def _keyed(part: Part, writer: Writer) -> tuple[int, int]:
    return writer.shard_of(part.number), part.number


def _write_shard(group: tuple[int, Iterable[int]], writer: Writer) -> int:
    shard, parts = group
    writer.write_shard(shard, sorted(parts))
    return shard


def _finish(totals: Totals, writer: Writer, written: list[int]) -> Totals:
    # `written` is only waited for: the rows are complete before anything says that they are.
    writer.finish(totals, set(written))
    return totals
