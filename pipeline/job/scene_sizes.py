"""A look at the headers of a few sampled scenes before a run: how much work they are, and how much disk they take."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from maskbeam.pipeline.inputs.listing import InputSummary
from maskbeam.pipeline.inputs.read import read_chunk
from maskbeam.pipeline.inputs.readers.open_raster import open_raster
from maskbeam.pipeline.inputs.readers.raster import Raster
from maskbeam.pipeline.inputs.sampling import sample
from maskbeam.pipeline.inputs.scenes import check_channels_of, files_of, is_raster, rules_of
from maskbeam.pipeline.job.job import Job
from maskbeam.pipeline.output.geotiff.files import files_of as outputs_of
from maskbeam.pipeline.output.geotiff.room import needed_bytes
from maskbeam.pipeline.text.wording import duration, plural
from maskbeam.transforms.elements import EncodedImage, Failure, Grid
from maskbeam.transforms.errors import ImageError
from maskbeam.transforms.geo.aoi import inside
from maskbeam.transforms.geo.geojson import Aoi
from maskbeam.transforms.tiling.layout import Layout, Tiling

SCENES = 8


class SceneSize(NamedTuple):
    """Amounts of a scene; `inside` are its windows that the area of interest touches, all where there is none."""

    pixels: int
    blocks: int
    windows: int
    inside: int
    read: int
    written: int
    temporary: int


class Rate(NamedTuple):
    """So many windows took so many seconds."""

    windows: int
    seconds: float


@dataclass(frozen=True)
class SceneSizes:
    """Amounts of sampled scenes, in bytes where they are of files.

    Attributes:
        sampled: Of each.
        failed: Reasons why other sampled scenes could not be opened.
    """

    sampled: list[SceneSize] = field(default_factory=list)
    failed: tuple[str, ...] = ()

    def of(self, found: InputSummary, job: Job) -> list[str]:
        """The estimate for all of the input, in lines."""
        failed = (
            f"; {plural(len(self.failed), 'sampled scene')} failed, such as {self.failed[0]}" if self.failed else ""
        )
        if not self.sampled:
            return [f"Scenes   not known: no sampled image could be opened as a raster{failed}"]
        looked, images = len(self.sampled) + len(self.failed), self._images(found, job)
        about = "" if images == len(self.sampled) else "about "
        rule = "" if images == looked else f" (sampled {plural(looked, 'scene')})"
        amounts = self._of_all(images)
        work = _work(amounts, is_cut=job.aoi is not None)
        return [
            f"Scenes   {about}{plural(images, 'scene')}, {work}{rule}{failed}",
            f"Disk     at most {amounts.written / 1e6:,.1f} MB of output, before it is compressed, and "
            f"{amounts.temporary / 1e6:,.1f} MB of temporary files in $TMPDIR at once for the largest scene",
        ]

    def time(self, found: InputSummary, job: Job, rate: Rate) -> str:
        """The time that the windows of all of the input take at the rate of this machine, in a line."""
        windows = self._of_all(self._images(found, job)).inside
        return (
            f"Time     about {duration(windows * rate.seconds / rate.windows)} for {plural(windows, 'window')}, at "
            f"{rate.windows / rate.seconds:,.1f} a second, as {rate.windows:,} of a scene took on this machine"
        )

    def _images(self, found: InputSummary, job: Job) -> int:
        looked = len(self.sampled) + len(self.failed)
        return max(looked, min(found.files, job.options.read.limit or found.files))

    def _of_all(self, images: int) -> SceneSize:
        """The amounts of so many scenes, and the temporary files of the largest one."""
        means = (round(images * float(np.mean(amounts))) for amounts in zip(*self.sampled, strict=True))
        return SceneSize(*means)._replace(temporary=max(each.temporary for each in self.sampled))


def _work(amounts: SceneSize, *, is_cut: bool) -> str:
    windows = plural(amounts.windows, "window") + (f", {amounts.inside:,} of them in --aoi" if is_cut else "")
    in_blocks = f"{amounts.pixels / 1e6:,.1f} megapixels in {plural(amounts.blocks, 'block')}"
    return f"{in_blocks} and {windows}; {amounts.read / 1e6:,.1f} MB to read"


def scene_sizes(job: Job, tiling: Tiling) -> SceneSizes:
    """Opens a few scenes, and reads no pixel."""
    sizes, failed = [], []
    for image in sampled_scenes(job):
        try:
            with open_raster(files_of(image.origin), rules_of(job.options)) as raster:
                check_channels_of(raster, job.probe.spec.channels)
                sizes.append(_size(job, image, raster, tiling.layout(raster.size)))
        except ImageError as error:
            failed.append(str(error))
    return SceneSizes(sizes, tuple(failed))


def sampled_scenes(job: Job) -> Iterator[EncodedImage]:
    """A few rasters of the input, the same ones each time."""
    options = replace(job.options.read, limit=min(SCENES, job.options.read.limit or SCENES))
    for found in (found for chunk in sample(options) for found in read_chunk(chunk, options)):
        if not isinstance(found, Failure) and is_raster(found):
            yield found


def _size(job: Job, image: EncodedImage, raster: Raster, layout: Layout) -> SceneSize:
    origin = replace(image.origin, size=raster.size, grid=raster.grid)
    outputs = [file.layout for file in outputs_of(origin, job.rendering, job.labeling)]
    return SceneSize(
        pixels=raster.size[0] * raster.size[1],
        blocks=len(layout.blocks),
        windows=layout.windows,
        inside=_inside(job.aoi, raster, layout) if job.aoi else layout.windows,
        read=image.file_size,
        written=sum(each.raw_bytes for each in outputs),
        temporary=max(needed_bytes(each, None) for each in outputs),
    )


def _inside(aoi: Aoi, raster: Raster, layout: Layout) -> int:
    """Windows that hold a pixel inside; none of a raster without a place, which fails."""
    grid = raster.grid
    if not isinstance(grid, Grid):
        return 0
    found = {
        region
        for span in layout.spans()
        for region in layout.windows_of(span)
        if inside(aoi, grid, raster.size, region).any()
    }
    return len(found)
