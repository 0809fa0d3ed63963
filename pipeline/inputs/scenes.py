"""Rasters become images: small ones at once; of large ones a reference, whose windows are read in their turn."""

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from apache_beam.pvalue import TaggedOutput

from maskbeam.pipeline.inputs.anonymous import Names
from maskbeam.pipeline.inputs.area import lies_outside, read_inside
from maskbeam.pipeline.inputs.bands import check_bands, find_bands
from maskbeam.pipeline.inputs.readers.handles import RasterFile
from maskbeam.pipeline.inputs.readers.open_raster import open_raster
from maskbeam.pipeline.inputs.readers.raster import Raster
from maskbeam.pipeline.inputs.readers.rules import RasterRules
from maskbeam.pipeline.inputs.records import record_of
from maskbeam.pipeline.options import RunOptions
from maskbeam.pipeline.options.raster_values import Ranges
from maskbeam.pipeline.storage import open_input
from maskbeam.transforms.codecs.registry import is_raster_name
from maskbeam.transforms.elements import EncodedImage, Image, OfImage, Origin, Region, Source
from maskbeam.transforms.errors import Code, ImageError
from maskbeam.transforms.geo.geojson import Aoi
from maskbeam.transforms.measures.rasters import FACTS
from maskbeam.transforms.tiling.layout import Layout, Span, Tiling
from maskbeam.transforms.tiling.tile import Read

# Of a file's content, what tells copies from other images: a scene is not read whole for that.
_ENDS = 1 << 20
# A scene of more blocks is large: work for many. Of such scenes, and of the first ones, so many blocks make a span.
_MANY_BLOCKS, _SPREAD_BLOCKS = 64, 4
# Of products of Sentinel-2: `_N0510_` in their names.
_BASELINE, _OFFSET_SINCE = re.compile(r"_N(\d{4})(?=[_./])"), 400


@dataclass(frozen=True, eq=False)
class Scene(OfImage):
    """A raster of several blocks, by reference: small enough to be sent to any worker; `is_first` as of images."""

    is_first: bool = False


@dataclass(frozen=True, eq=False)
class SceneSpan(OfImage):
    """A part of a scene that is computed in one go."""

    span: Span


def is_raster(image: EncodedImage) -> bool:
    """True for an image that is read as a raster, by the names of its files."""
    where = image.origin.companions[0].where if image.origin.companions else image.source.where
    return image.data is None and is_raster_name(where)


def raster_again(source: Source) -> Origin | None:
    """A raster that was read, from where it was; None for other images.

    Raises:
        ImageError: One of its several files is gone, or another one now.
    """
    if record_of(source) is not None:
        return None
    origin = Origin("", source, companions=find_bands(source))
    return origin if is_raster(EncodedImage(origin)) else None


def rules_of(options: RunOptions) -> RasterRules:
    """The rules by which a job's rasters are read."""
    raster, found = options.raster, options.decode.input_range
    ranges = found.of_bands if isinstance(found, Ranges) else (found,) if isinstance(found, tuple) else ()
    return RasterRules(
        bands=raster.bands,
        nodata=raster.nodata,
        ranges=ranges,
        raw=found == "raw",
        out_of_range=raster.out_of_range,  # type: ignore[arg-type]
        invalid=raster.invalid,
        apply_scale=raster.apply_scale,
    )


def _unwatched(origin: Origin) -> AbstractContextManager[None]:
    return nullcontext()


@dataclass(frozen=True)
class Scenes:
    """Reads a job's rasters.

    Attributes:
        rules: How their values are taken.
        channels: Bands that the model takes.
        tiling: How images are divided.
        names: What stands for names and contents in the output.
        aoi: The polygons outside of which all is no data; None: there are none.
        watch: Gives a context for a call that reads of an image, which may hang.
    """

    rules: RasterRules
    channels: int
    tiling: Tiling
    names: Names
    aoi: Aoi | None = None
    watch: Callable[[Origin], AbstractContextManager[None]] = _unwatched

    def __call__(self, image: EncodedImage) -> Any:
        """A raster of one block as an `Image`, a larger one as a `Scene` at the tag `scene`.

        Raises:
            ImageError: It cannot be opened or read, or has other bands than the model takes.
        """
        with self.opened(image.origin) as raster:
            origin = self._described(image.origin, raster)
            if not self.tiling.layout(raster.size).is_one_block:
                return TaggedOutput("scene", Scene(origin, image.is_first))
            return self._read(raster, origin, Region.whole(raster.size))

    def described(self, origin: Origin) -> Origin:
        """The same image with its content, size, grid and facts; raises as a call does."""
        with self.opened(origin) as raster:
            return self._described(origin, raster)

    @contextmanager
    def opened(self, origin: Origin) -> Iterator[Raster]:
        """The raster of an image, held against what was listed of its files when this context begins and ends."""
        watch = partial(self.watch, origin)
        with open_raster(files_of(origin), self.rules, window=self.tiling.window[0], watch=watch) as raster:
            check_channels_of(raster, self.channels)
            yield raster
            raster.check_unchanged()

    @contextmanager
    def reading(self, origin: Origin) -> Iterator[Read]:
        """A function that reads regions of a scene, from any thread."""
        with self.opened(origin) as raster:
            yield lambda region: self._read(raster, origin, region)

    def _read(self, raster: Raster, origin: Origin, region: Region) -> Image:
        values, valid = raster.read(region) if self.aoi is None else read_inside(raster, self.aoi, region)
        return Image(origin, region, values, None if valid.all() else valid)

    def _told(self, origin: Origin, raster: Raster) -> dict[str, str]:
        """The facts of `maskbeam.transforms.measures.rasters`, by name."""
        is_outside = self.aoi is not None and lies_outside(raster, self.aoi)
        if not is_outside:
            raster.look_at_alphas()
        told = {
            "rasters": True,
            "outside_aoi": is_outside,
            "many_alphas": bool(raster.warnings),
            "offset_left_in": raster.begins_at_zero and _has_offset(origin.source.where),
        }
        return {FACTS[name]: "yes" for name, so in told.items() if so}

    def _described(self, origin: Origin, raster: Raster) -> Origin:
        content = self.names.digest(_ends_of(origin), of="content")
        facts = {**raster.facts, **self._told(origin, raster)}
        if self.rules.ranges or self.rules.raw:
            facts["samples"] = ",".join(sorted(set(raster.stored)))
        if self.rules.out_of_range != "fail":
            # Of images that had such values and did not fail nobody knows; with `fail` there are none.
            facts["beyond"] = self.rules.out_of_range
        source = replace(origin.source, content=content)
        return replace(origin, source=source, size=raster.size, grid=raster.grid, facts=facts)


def _has_offset(where: str) -> bool:
    """True for a name that tells of a baseline of Sentinel-2 from 04.00 on, since which numbers carry +1000."""
    return any(int(baseline) >= _OFFSET_SINCE for baseline in _BASELINE.findall(where))


def files_of(origin: Origin) -> list[RasterFile]:
    """The files of a raster; ImageError (SOURCE_MISSING, BAD_CHANNELS) as of `check_bands`."""
    if not origin.companions:
        return [RasterFile(origin.source.where, version=origin.source.version)]
    check_bands(origin.companions)
    return [RasterFile(band.where, band.name, band.version) for band in origin.companions]


def check_channels_of(raster: Raster, channels: int) -> None:
    """Raises ImageError (BAD_CHANNELS) for a raster that has other bands than the model takes."""
    if raster.channels == channels:
        return
    held = ", ".join(raster.bands)
    quotes = "; if bands are files of their own, put the pattern in quotes" if raster.channels == 1 else ""
    raise ImageError(
        Code.BAD_CHANNELS,
        f"{raster.channels} band{'s' * (raster.channels > 1)} ({held}), the model takes {channels}: choose with "
        f"--bands{quotes}",
    )


def _ends_of(origin: Origin) -> bytes:
    """A digest of the sizes and both ends of all files of an image."""
    digest = hashlib.blake2b(digest_size=32)
    files: list[Source] = list(origin.companions) or [origin.source]
    for file in files:
        head, end = open_input(file.where).read_ends(file.where, head=_ENDS, tail=_ENDS)
        digest.update(b"%d %d " % (len(head), len(end)) + head + end)
    return digest.digest()


def spans_of(scene: Scene, layout: Layout, done: frozenset[int], *, spread: bool) -> Iterator[Span]:
    """The work left on a scene: its columns, without blocks that are done.

    With `spread`, for many workers, columns of few scenes and of large ones are cut, so that there is work for all.
    """
    is_cut = spread and (scene.is_first or len(layout.blocks) > _MANY_BLOCKS)
    for span in layout.spans(done):
        blocks = _SPREAD_BLOCKS if is_cut else len(layout.blocks)
        for first in range(span.first, span.last + 1, blocks):
            yield Span(first, min(first + blocks - 1, span.last))
