"""A look at a few sampled images before a run: the size of its output, and the changes of --fast_decode."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from maskbeam.pipeline.inputs.fetch import fetch
from maskbeam.pipeline.inputs.listing import InputSummary
from maskbeam.pipeline.inputs.read import read_chunk
from maskbeam.pipeline.inputs.sampling import sample
from maskbeam.pipeline.job.job import Job
from maskbeam.pipeline.job.steps import decode_for
from maskbeam.pipeline.output.write import Write
from maskbeam.pipeline.process.watchdog import step
from maskbeam.pipeline.text.wording import percent, plural
from maskbeam.transforms.argmax import label_map
from maskbeam.transforms.elements import EncodedImage, Failure, Labels, LogitsBatch
from maskbeam.transforms.errors import ImageError
from maskbeam.transforms.measures.counted import count as count_pixels
from maskbeam.transforms.predict import Engine
from maskbeam.transforms.products.render import rendered
from maskbeam.transforms.resampling.prepare import prepare
from maskbeam.transforms.tiling.whole import whole_labels

IMAGES = 8


@dataclass(frozen=True)
class OutputSize:
    """An estimate of what a run writes: `sampled` images took `bytes` and were `input_bytes` large.

    `failed` says why other sampled images could not be used.
    """

    sampled: int
    bytes: int
    input_bytes: int
    failed: tuple[str, ...] = ()

    def of(self, found: InputSummary, limit: int | None) -> str:
        """The estimate for all of the input, and the rule that it was made by."""
        failed = (
            f"; {plural(len(self.failed), 'sampled image')} failed, such as {self.failed[0]}" if self.failed else ""
        )
        if not self.sampled:
            return f"not known: no sampled image could be used{failed}"
        each = self.input_bytes / self.sampled
        images = found.files + (round(found.shard_bytes / each) if found.shards else 0)
        images = min(images, limit or images)
        size = images * self.bytes / self.sampled / 1e6
        return (
            f"about {plural(images, 'image')}, {size:,.1f} MB (sampled {plural(self.sampled, 'image')}: "
            f"{each / 1e3:,.1f} kB of input and {self.bytes / self.sampled / 1e3:,.1f} kB of output each){failed}"
        )


def output_size(job: Job, engine: Engine) -> OutputSize:
    """Segments a few images without writing anything."""
    writer = Write(job.tree, job.rendering, job.table.ids)
    sizes, inputs, failed = [], [], []
    for image in _sampled(job):
        try:
            labels = _segment(job, engine, image)
        except ImageError as error:
            failed.append(str(error))
            continue
        sizes.append(
            sum(
                len(file.data)
                for file in writer.files(
                    rendered(labels, job.rendering, text=job.tree.text), count_pixels(labels, job.table.ids)
                )
            )
        )
        inputs.append(len(image.data or b""))
    return OutputSize(len(sizes), sum(sizes), sum(inputs), tuple(failed))


def fast_decode_agreement(job: Job, engine: Engine) -> str:
    """The share of labels that stay the same under --fast_decode, over sampled images that it decodes otherwise."""
    exact = replace(job, options=replace(job.options, decode=replace(job.options.decode, fast_decode=False)))
    same, total, images = 0, 0, 0
    for image in _sampled(job):
        with suppress(ImageError):  # an example of nothing; the run itself reports it
            if decode_for(job)(image).is_reduced:
                one, other = (_segment(each, engine, image).pixels for each in (job, exact))
                same, total, images = same + int(np.count_nonzero(one == other)), total + one.size, images + 1
    if not images:
        return "no sampled image is large enough to be decoded at a reduced scale"
    return f"{percent(same / total)} of the labels of {plural(images, 'sampled image')} stay the same"


def _sampled(job: Job) -> Iterator[EncodedImage]:
    options = replace(job.options.read, limit=min(IMAGES, job.options.read.limit or IMAGES))
    for found in (found for chunk in sample(options) for found in read_chunk(chunk, options)):
        with suppress(ImageError):
            if not isinstance(found, Failure):
                yield fetch(found)


def _segment(job: Job, engine: Engine, image: EncodedImage) -> Labels:
    decoded = decode_for(job)(image)
    if job.cutter:
        return whole_labels(decoded, job.cutter, job.labeling, engine)
    made = prepare(decoded, job.probe.spec, keep_image=job.keeps_images)
    with step("tried out"):
        scores = engine(made.plane[None])
    return label_map(LogitsBatch((made,), scores.logits, scores.confidence, scores.nonfinite), job.labeling)
