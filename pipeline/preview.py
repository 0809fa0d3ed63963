"""What a few sampled images tell before a run: how large its output gets, and what --fast_decode changes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from pipeline.inputs.listing import InputSummary
from pipeline.inputs.read import fetch, read_chunk
from pipeline.inputs.sampling import sample
from pipeline.job import Job
from pipeline.output.write import Write
from pipeline.reports.sample_overlays import decode_for
from pipeline.reports.wording import count, percent
from transforms.argmax import label_map
from transforms.elements import Array, EncodedImage, Failure, Image, LabelMap, LabelPlanes, LogitsBatch
from transforms.errors import ImageError
from transforms.predict import Engine
from transforms.prepare import prepare
from transforms.statistics import PixelStatistics

IMAGES = 8
Decoder = Callable[[EncodedImage], Image]


@dataclass(frozen=True)
class OutputSize:
    """An estimate of what a run writes: `sampled` images took `bytes` and were `input_bytes` large."""

    sampled: int
    bytes: int
    input_bytes: int

    def of(self, found: InputSummary, limit: int | None) -> str:
        """The estimate for all of the input, and the rule that it was made by."""
        if not self.sampled:
            return "not known: no sampled image could be used"
        each = self.input_bytes / self.sampled
        images = found.files + (round(found.shard_bytes / each) if found.shards else 0)
        images = min(images, limit or images)
        size = images * self.bytes / self.sampled / 1e6
        return (
            f"about {count(images, 'image')}, {size:,.1f} MB (sampled {count(self.sampled, 'image')}: "
            f"{each / 1e3:,.1f} kB of input and {self.bytes / self.sampled / 1e3:,.1f} kB of output each)"
        )


def output_size(job: Job, engine: Engine) -> OutputSize:
    """Segments a few images without writing anything."""
    writer = Write(job.tree, job.rendering, job.table.ids)
    sizes, inputs = [], []
    for image, labels in _segmented(job, engine, decode_for(job)):
        statistics = PixelStatistics.of(labels, job.table.ids).to_json()
        sizes.append(sum(len(data) for _, data in writer.files(labels, statistics)))
        inputs.append(len(image.data or b""))
    return OutputSize(len(sizes), sum(sizes), sum(inputs))


def fast_decode_agreement(job: Job, engine: Engine) -> str:
    """How many labels stay the same under --fast_decode, over the sampled images that it decodes otherwise."""
    exact = replace(job, options=replace(job.options, decode=replace(job.options.decode, fast_decode=False)))
    fast = {image.source: labels for image, labels in _segmented(job, engine, decode_for(job))}
    same, total, images = 0, 0, 0
    for image, labels in _segmented(exact, engine, decode_for(exact)):
        if image.source in fast and _is_reduced(job, image):
            one, other = _array(labels), _array(fast[image.source])
            same, total, images = same + int(np.count_nonzero(one == other)), total + one.size, images + 1
    if not images:
        return "no sampled image is large enough to be decoded at a reduced scale"
    return f"{percent(same / total)} of the labels of {count(images, 'sampled image')} stay the same"


def _segmented(job: Job, engine: Engine, decode: Decoder) -> Iterator[tuple[EncodedImage, LabelMap | LabelPlanes]]:
    keep = "overlay" in job.rendering.products
    for image in _sampled(job):
        try:
            made = prepare(decode(image), job.probe.spec, keep_image=keep)
            scores = engine(made.plane[None])
            batch = LogitsBatch((made,), scores.logits, scores.confidence, scores.nonfinite)
            yield image, label_map(batch, job.labeling)
        except ImageError:
            continue  # an example of nothing; the run itself reports it


def _sampled(job: Job) -> Iterator[EncodedImage]:
    options = replace(job.options.read, limit=min(IMAGES, job.options.read.limit or IMAGES))
    for found in (found for chunk in sample(options) for found in read_chunk(chunk, options)):
        try:
            if not isinstance(found, Failure):
                yield fetch(found)
        except ImageError:
            continue


def _is_reduced(job: Job, image: EncodedImage) -> bool:
    return decode_for(job)(image).full_size is not None


def _array(labels: LabelMap | LabelPlanes) -> Array:
    return labels.labels if isinstance(labels, LabelMap) else labels.planes
