"""A look at a scene: its grid, its bands and what the model is fed of them, told by a few of its windows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import hypot

import numpy as np

from maskbeam.pipeline.inputs.readers.raster import Raster
from maskbeam.pipeline.inputs.scenes import Scenes
from maskbeam.pipeline.options.raster_values import Range
from maskbeam.pipeline.text.wording import percent, plural
from maskbeam.transforms.elements import Array, Grid, GroundPoints, Image, Origin, Region
from maskbeam.transforms.geo.systems import system_name, unit_name
from maskbeam.transforms.tiling.layout import Layout

# Windows that are looked at, down and across: a scene is not read whole for this.
_EACH_WAY = 3
# Of 0..255: a model that is fed less than this has hardly been trained so.
_DARK = 25.5


@dataclass(frozen=True)
class BandLook:
    """A band that is fed, over the pixels with data of the windows that were looked at.

    Attributes:
        number: Its number among the bands of all files, from 1.
        name: Its name, or its number again.
        dtype: The type of its stored values.
        lowest: Of its values, in the units of `--input_range`.
        highest: The same.
        fed_lowest: What the model is fed of them, on the scale of 0..255, or with `raw` in the file's units.
        fed_highest: The same.
    """

    number: int
    name: str
    dtype: str
    lowest: float
    highest: float
    fed_lowest: float
    fed_highest: float


@dataclass(frozen=True)
class Place:
    """The place of a scene on the earth.

    Attributes:
        crs: Its coordinate system as people name it; empty: none.
        pixel: The height and width of a pixel on the ground, with their unit; empty where single points place it.
        points: How many ground control points it has.
    """

    crs: str = ""
    pixel: str = ""
    points: int = 0


@dataclass(frozen=True)
class SceneLook:
    """All there is to say of a scene.

    Attributes:
        image_id: Its id.
        height: In pixels.
        width: In pixels.
        place: Where it lies on the earth.
        windows: How many of the model's windows it takes.
        window: Their height and width.
        looked_at: How many of them were read for this.
        no_data: The share of their pixels without data, 0..1.
        is_raw: True where values are fed in the file's units.
        bands: Those that are fed, in this order; none where there is no data.
    """

    image_id: str
    height: int
    width: int
    place: Place
    windows: int
    window: tuple[int, int]
    looked_at: int
    no_data: float
    is_raw: bool
    bands: tuple[BandLook, ...]


def look_at(scenes: Scenes, origin: Origin) -> tuple[SceneLook, Image]:
    """Reads a few windows of a scene.

    Returns:
        What there is to say of it, and that window, an example for the model, which has most data.

    Raises:
        ImageError: As `Scenes.opened` and `Raster.read`.
    """
    with scenes.opened(origin) as raster:
        layout = scenes.tiling.layout(raster.size)
        regions = lattice(layout)
        reads = [raster.read(region) for region in regions]
        values = np.concatenate([read.values[read.valid] for read in reads])
        best = max(
            range(len(reads)), key=lambda i: (np.count_nonzero(reads[i].valid), -_off_middle(regions[i], layout))
        )
        described = replace(origin, size=raster.size, grid=raster.grid)
        pixels = sum(region.height * region.width for region in regions)
        look = SceneLook(
            origin.image_id,
            *raster.size,
            _place(raster.grid),
            layout.windows,
            scenes.tiling.window,
            len(regions),
            1 - len(values) / pixels,
            scenes.rules.raw,
            _bands(raster, values) if len(values) else (),
        )
    return look, Image(described, regions[best], reads[best].values, reads[best].valid)


def lattice(layout: Layout) -> list[Region]:
    """A few of the windows of an image, spread over it evenly."""
    sizes = [min(window, side) for window, side in zip(layout.tiling.window, layout.size, strict=True)]
    return [Region(top, left, *sizes) for top in _spread(layout.rows) for left in _spread(layout.columns)]


def _spread(starts: Sequence[int]) -> list[int]:
    return list(dict.fromkeys(starts[(2 * i + 1) * len(starts) // (2 * _EACH_WAY)] for i in range(_EACH_WAY)))


def _off_middle(region: Region, layout: Layout) -> float:
    down, across = (
        2 * first + length - side
        for first, length, side in zip((region.top, region.left), region.size, layout.size, strict=True)
    )
    return hypot(down, across)


def _place(grid: Grid | GroundPoints | None) -> Place:
    if grid is None:
        return Place()
    if isinstance(grid, GroundPoints):
        return Place(system_name(grid.crs), points=len(grid.points))
    return Place(system_name(grid.crs), _pixel(grid))


def _pixel(grid: Grid) -> str:
    a, b, _, d, e, _ = grid.transform
    return f"{hypot(b, e):.9g} x {hypot(a, d):.9g} {unit_name(grid.crs)}".rstrip()


def _bands(raster: Raster, values: Array) -> tuple[BandLook, ...]:
    lowest, highest = values.min(axis=0).tolist(), values.max(axis=0).tolist()
    return tuple(
        BandLook(number, name, dtype, _unscaled(low, scale), _unscaled(high, scale), low, high)
        for number, name, dtype, scale, low, high in zip(
            raster.numbers, raster.bands, raster.stored, raster.ranges, lowest, highest, strict=True
        )
    )


def _unscaled(value: float, scale: Range | None) -> float:
    """A value of 0..255 in the units of its range, to the digits that it has."""
    return value if scale is None else float(f"{scale[0] + value / 255 * (scale[1] - scale[0]):.6g}")


def lines_of(look: SceneLook) -> Iterator[str]:
    """The same for a person."""
    yield f"{look.image_id}: {look.height:,} x {look.width:,} pixels, {_placed(look.place)}"
    height, width = look.window
    yield (
        f"  {plural(look.windows, 'window')} of {height} x {width}; in {look.looked_at} of them, spread over it, "
        f"{percent(look.no_data)} of the pixels are no data"
    )
    for band in look.bands:
        name = f" {band.name}" if band.name != str(band.number) else ""
        yield f"  band {band.number}{name}, {band.dtype}: {_values(band, is_raw=look.is_raw)}"
    if look.bands and not look.is_raw and max(band.fed_highest for band in look.bands) < _DARK:
        yield "  the model is fed less than a tenth of 0..255: say with --input_range LO,HI which values these are"


def _placed(place: Place) -> str:
    system = place.crs or "no system that is known"
    if place.points:
        return f"placed by {plural(place.points, 'ground control point')} in {system}"
    return f"each of {place.pixel} in {system}" if place.pixel else "without a place on the earth"


def _values(band: BandLook, *, is_raw: bool) -> str:
    stored = f"{band.lowest:,.6g} to {band.highest:,.6g}"
    if is_raw:
        return f"{stored}, fed as they are"
    return f"{stored}, fed as {band.fed_lowest:.1f} to {band.fed_highest:.1f} of 0..255"
