"""Cloud-optimized GeoTIFFs of blocks: rasterio reads them back, and what makes one is looked at tag by tag."""

import os
import random
import resource
import struct
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.enums import MaskFlags
from rasterio.windows import Window

from maskbeam.pipeline.output.geotiff import cog
from maskbeam.pipeline.output.geotiff.cog import making_cog
from maskbeam.pipeline.output.geotiff.layout import (
    Layout,
    of_binary,
    of_color,
    of_confidence,
    of_mask,
)
from maskbeam.transforms.codecs.encode import is_whole, read_text
from maskbeam.transforms.codecs.geotiff import GEOTIFF
from maskbeam.transforms.elements import Array, Grid, GroundPoint, GroundPoints, Region
from maskbeam.transforms.errors import RunError
from maskbeam.transforms.products.palette import make_palette
from tests.support.places import NORTH_UP, blobs, cut, utm, within, wkt

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
RECORD = '{"claim":{"place":"<&>\'"},"height":700}'
SIZE = (700, 1300)
LABELS = blobs(*SIZE)
POINTS = GroundPoints(
    wkt(32633),
    (
        GroundPoint(0, 0, 500000, 5600000),
        GroundPoint(0, 1300, 501300, 5600050),
        GroundPoint(700, 0, 499960, 5599100, 12.5),
        GroundPoint(700, 1300, 501260, 5599150),
    ),
)


def made(
    layout: Layout,
    pixels: Array,
    blocks: Iterable[Region] | None = None,
    *,
    valid: Array | None = None,
    folder: Path | None = None,
    text: str = RECORD,
) -> bytes:
    with making_cog(layout, folder=str(folder) if folder else None) as cog:
        for region in blocks or [Region.whole(layout.size)]:
            data = None if valid is None else within(region, valid)
            cog.write(within(region, pixels), region, valid=data)
        return cog.finish({"maskbeam": text}).read_bytes()


@contextmanager
def opened(data: bytes) -> Iterator[Any]:
    with rasterio.MemoryFile(data) as held, held.open(driver="GTiff") as file:
        yield file


def directories(data: bytes) -> list[dict[int, tuple[int, int, int]]]:
    """Type, number and place of the values of each tag, in all directories of a little-endian TIFF."""
    assert data[:4] == b"II*\0"
    found, (at,) = [], struct.unpack_from("<I", data, 4)
    while at:
        (count,) = struct.unpack_from("<H", data, at)
        entries: dict[int, tuple[int, int, int]] = {-1: (0, 0, at)}
        for i in range(count):
            tag, kind, number = struct.unpack_from("<HHI", data, at + 2 + 12 * i)
            size = number * {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 12: 8}[kind]
            place = at + 10 + 12 * i
            entries[tag] = (kind, number, place if size <= 4 else struct.unpack_from("<I", data, place)[0])
        found.append(entries)
        (at,) = struct.unpack_from("<I", data, at + 2 + 12 * count)
    return found


def values(data: bytes, entry: tuple[int, int, int]) -> tuple[int, ...]:
    kind, number, at = entry
    return struct.unpack_from(f"<{number}{ {3: 'H', 4: 'I'}[kind] }", data, at)


def check_optimized(data: bytes) -> None:
    """Tiled, all directories before all pixels, smaller copies by half down to a tile, the smallest pixels first."""
    found = directories(data)
    assert all(values(data, each[322]) == values(data, each[323]) == (512,) for each in found)
    pixels = [min(values(data, each[324])) for each in found]
    assert min(pixels) > max(each[-1][2] for each in found)
    images = [each for each in found if 254 not in each or not values(data, each[254])[0] & 4]
    assert [values(data, each[256])[0] for each in images] == [1300, 650, 325]
    starts = [min(values(data, each[324])) for each in images]
    assert starts == sorted(starts, reverse=True)


def test_a_mask_is_read_back_with_its_grid_its_record_and_its_smaller_copies() -> None:
    data = made(of_mask(SIZE, utm(), ignore=255, wide=False), LABELS, cut(SIZE, 300, 400))
    check_optimized(data)
    with opened(data) as file:
        assert np.array_equal(file.read(1), LABELS)
        assert (file.dtypes, file.nodata, file.count) == (("uint8",), 255, 1)
        assert file.crs == rasterio.CRS.from_epsg(32633)
        assert tuple(file.transform)[:6] == NORTH_UP
        assert file.tags()["maskbeam"] == RECORD
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert file.colorinterp[0].name == "gray"
        assert file.overviews(1) == [2, 4]
        small = file.read(1, out_shape=(350, 650))
        assert np.isin(small, np.unique(LABELS)).all()
    assert read_text(data[: 64 << 10]) == {"maskbeam": RECORD}
    assert is_whole(data)


def test_smaller_copies_have_the_most_frequent_class_and_no_mean_of_two() -> None:
    labels = np.full((1024, 1024), 8, np.uint8)
    labels[0::2, 0::2] = 2
    data = made(of_mask((1024, 1024), utm(), ignore=255, wide=False), labels)
    with opened(data) as file:
        assert np.unique(file.read(1, out_shape=(512, 512))).tolist() == [8]


def test_smaller_copies_leave_out_pixels_without_data() -> None:
    labels = np.full((1024, 1024), 255, np.uint8)
    labels[0::2, 0::2] = 2
    data = made(of_mask((1024, 1024), utm(), ignore=255, wide=False), labels)
    with opened(data) as file:
        assert np.unique(file.read(1, out_shape=(512, 512))).tolist() == [2]


def test_ids_above_254_take_16_bits() -> None:
    labels = LABELS.astype(np.uint16) * 300
    data = made(of_mask(SIZE, utm(), ignore=65535, wide=True), labels)
    with opened(data) as file:
        assert (file.dtypes, file.nodata) == (("uint16",), 65535)
        assert np.array_equal(file.read(1), labels)


@pytest.mark.parametrize(
    "place",
    [
        utm((8.0, 6.0, 500000.0, 6.0, -8.0, 5600000.0)),
        utm((10.0, 0.0, 500000.0, 0.0, 10.0, 5600000.0)),
        Grid(wkt(4326), (0.01, 0.0, 10.0, 0.0, -0.01, 60.0)),
        Grid(wkt(3857), (100.0, 0.0, 1e6, 0.0, -100.0, 8399737.89)),
        Grid(wkt(2263), (10.0, 0.0, 980000.0, 0.0, -10.0, 200000.0)),
        Grid("", NORTH_UP),
        None,
    ],
    ids=["rotated", "south up", "geographic", "mercator", "feet", "without crs", "nowhere"],
)
def test_the_grid_is_that_of_the_input(place: Grid | None) -> None:
    data = made(of_mask(SIZE, place, ignore=255, wide=False), LABELS)
    with opened(data) as file:
        assert (file.height, file.width) == SIZE
        assert tuple(file.transform)[:6] == (place.transform if place else (1, 0, 0, 0, 1, 0))
        assert file.crs == (rasterio.CRS.from_wkt(place.crs) if place and place.crs else None)
        assert np.array_equal(file.read(1), LABELS)


@pytest.mark.parametrize("system", [wkt(32633), ""])
def test_control_points_and_their_system_are_those_of_the_input(system: str) -> None:
    place = GroundPoints(system, POINTS.points)
    data = made(of_mask(SIZE, place, ignore=255, wide=False), LABELS)
    with opened(data) as file:
        points, crs = file.gcps
        assert crs == (rasterio.CRS.from_epsg(32633) if system else None)
        assert [(p.row, p.col, p.x, p.y, p.z) for p in points] == [tuple(p) for p in POINTS.points]


def test_colours_have_the_palette_inside_and_ids_as_pixels() -> None:
    palette = make_palette({i: (i * 40, 255 - i, 7) for i in range(5)})
    data = made(of_color(SIZE, utm(), palette, ignore=255), LABELS)
    check_optimized(data)
    with opened(data) as file:
        assert np.array_equal(file.read(1), LABELS)
        assert [file.colormap(1)[i][:3] for i in range(256)] == [tuple(color) for color in palette]


def test_colours_of_many_classes_are_colours() -> None:
    palette = make_palette({i * 300: (i * 40, 255 - i, 7) for i in range(5)})
    colors = palette[LABELS.astype(np.uint16) * 300]
    data = made(of_color(SIZE, utm(), palette, ignore=65535), colors, cut(SIZE, 300, 400))
    check_optimized(data)
    with opened(data) as file:
        assert np.array_equal(np.moveaxis(file.read(), 0, 2), colors)
        small = np.moveaxis(file.read(out_shape=(3, 350, 650)), 0, 2).reshape(-1, 3)
        assert {tuple(each) for each in small} <= {tuple(each) for each in colors.reshape(-1, 3)}


def test_confidence_masks_pixels_without_data_inside() -> None:
    confidence, valid = LABELS * 50, LABELS != 3
    data = made(of_confidence(SIZE, utm()), confidence, cut(SIZE, 300, 400), valid=valid)
    check_optimized(data)
    with opened(data) as file:
        assert file.mask_flag_enums[0] == [MaskFlags.per_dataset]
        assert np.array_equal(file.dataset_mask() > 0, valid)
        assert np.array_equal(file.read(1)[valid], confidence[valid])


def test_binary_masks_hold_0_and_255() -> None:
    mask = np.where(LABELS == 2, np.uint8(255), np.uint8(0))
    with opened(made(of_binary(SIZE, utm()), mask)) as file:
        assert np.array_equal(file.read(1), mask)
        assert file.nodata is None


LAYOUTS: Mapping[str, Layout] = {
    "mask": of_mask(SIZE, utm(), ignore=255, wide=False),
    "confidence": of_confidence(SIZE, utm()),
    "points": of_mask(SIZE, POINTS, ignore=255, wide=False),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_bytes_depend_on_neither_blocks_nor_their_order_nor_threads_nor_the_folder(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = LAYOUTS[name]
    valid = LABELS != 3 if layout.masked else None
    first = made(layout, LABELS, valid=valid)
    shuffled = list(cut(SIZE, 123, 217))
    random.Random(0).shuffle(shuffled)
    (tmp_path / "elsewhere").mkdir()
    for blocks in (cut(SIZE, 256, 1300), cut(SIZE, 512, 512), reversed(list(cut(SIZE, 97, 300))), shuffled):
        assert made(layout, LABELS, blocks, valid=valid, folder=tmp_path / "elsewhere") == first
    monkeypatch.setenv("GDAL_NUM_THREADS", "3")
    assert made(layout, LABELS, cut(SIZE, 256, 400), valid=valid) == first


def test_several_are_made_at_once() -> None:
    layouts = [*LAYOUTS.values()] * 3
    valid = LABELS != 3
    alone = [made(layout, LABELS, valid=valid if layout.masked else None) for layout in LAYOUTS.values()]

    def make(layout: Layout) -> bytes:
        return made(layout, LABELS, cut(SIZE, 300, 400), valid=valid if layout.masked else None)

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(make, layouts)) == alone * 3


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (513, 2), (512, 512), (2049, 1025)])
def test_any_size(size: tuple[int, int]) -> None:
    labels = blobs(*size)
    data = made(of_mask(size, utm(), ignore=255, wide=False), labels)
    assert is_whole(data)
    with opened(data) as file:
        assert np.array_equal(file.read(1), labels)


def test_nothing_is_left_behind_but_what_is_taken_out(tmp_path: Path) -> None:
    layout = of_mask(SIZE, utm(), ignore=255, wide=False)
    with making_cog(layout, folder=str(tmp_path)) as cog:
        cog.write(LABELS, Region.whole(SIZE))
        path = cog.finish({})
        assert [each.name for each in path.parent.iterdir()] == [path.name]
        assert tmp_path in path.parents
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="cover"), making_cog(layout, folder=str(tmp_path)) as cog:
        cog.finish({})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda cog: cog.write(LABELS.astype(np.uint16), Region.whole(SIZE)),
        lambda cog: cog.write(LABELS[1:], Region.whole(SIZE)),
        lambda cog: cog.write(LABELS, Region(1, 0, *SIZE)),
        lambda cog: cog.write(LABELS[:9, :9], Region(0, 1292, 9, 9)),
        lambda cog: cog.write(LABELS[:9, :9], Region(-1, 0, 9, 9)),
        lambda cog: cog.write(LABELS[:100], Region(0, 0, 100, 1300), valid=LABELS[:100] > 0),
        lambda cog: [cog.write(LABELS[:9], Region(top, 0, 9, 1300)) for top in (0, 8)],
        lambda cog: [cog.write(LABELS[:9], Region(0, 0, 9, 1300)), cog.finish({})],
    ],
)  # fmt: skip
def test_blocks_that_cannot_be_right_are_refused(change: Any) -> None:
    with (
        pytest.raises(ValueError, match=r"expected|mask|lie|cover"),
        making_cog(of_mask(SIZE, utm(), ignore=255, wide=False)) as cog,
    ):
        change(cog)


def test_too_little_room_is_said_before_work_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = os.statvfs_result((4096, 4096, 10**6, 97_657, 97_657, 1, 1, 1, 0, 255))  # 0.4 GB
    monkeypatch.setattr("os.statvfs", lambda path: free)
    layout = of_mask((26_246, 26_246), None, ignore=255, wide=False)
    message = (
        f"{tmp_path} is too small: needs 1.9 GB of temporary space and 0.4 are free; set TMPDIR to a larger disk"
    )
    with pytest.raises(RunError) as error, making_cog(layout, folder=str(tmp_path)):
        pass
    assert str(error.value) == message
    with making_cog(layout, folder=str(tmp_path), compressed=50_000_000):
        pass
    with pytest.raises(RunError, match="TMPDIR"), making_cog(layout, folder=f"{tmp_path}/nowhere"):
        pass


@pytest.mark.parametrize("limit", [20_000, 300_000, 700_000])
def test_a_disk_that_fills_up_is_an_error_and_never_a_wrong_file(limit: int, tmp_path: Path) -> None:
    """A file of 900 kB, of which no more can be written than `limit`: blocks fail, or the copy, or what is cached."""
    noise = np.random.default_rng(0).integers(0, 200, SIZE, np.uint8)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        with pytest.raises(RunError, match="is that disk full"):
            made(of_mask(SIZE, utm(), ignore=255, wide=False), noise, cut(SIZE, 256, 256), folder=tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


class Forgetful:
    """A tiled file that loses a row of blocks without a word, as one does whose cache finds no room at the end."""

    def __init__(self, file: Any) -> None:
        self.file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def write(self, bands: Array, window: Window) -> None:
        if window.row_off != 512:
            self.file.write(bands, window=window)


def test_a_block_that_was_lost_on_its_way_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cog, "_open_tiled", lambda *args, real=cog._open_tiled: Forgetful(real(*args)))
    with pytest.raises(RunError, match="what was written is not what was read back"):
        made(of_mask(SIZE, None, ignore=255, wide=False), LABELS, cut(SIZE, 256, 1300))


def test_memory_does_not_grow_with_the_scene() -> None:
    """Peak memory of processes of their own, at 2,000 and at 9,000 a side: 4 and 81 MB of samples."""
    code = """
import resource, sys
import numpy as np
from maskbeam.pipeline.output.geotiff.cog import making_cog
from maskbeam.pipeline.output.geotiff.layout import of_mask
from tests.support.places import cut
size = (int(sys.argv[1]),) * 2
with making_cog(of_mask(size, None, ignore=255, wide=False)) as cog:
    for region in cut(size, 1000, 1000):
        cog.write(np.full(region.size, region.top // 1000 % 5, np.uint8), region)
    cog.finish({})
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""
    small, large = (
        int(subprocess.run([sys.executable, "-c", code, side], check=True, capture_output=True, text=True).stdout)
        for side in ("2000", "9000")
    )
    assert large - small < 100


@pytest.mark.parametrize("pixels", [LABELS, np.stack([LABELS, LABELS, 7 * LABELS], axis=2)], ids=["grey", "colours"])
def test_small_images_that_are_encoded_in_memory_have_the_same_bytes(pixels: Array) -> None:
    layout = Layout(SIZE) if pixels.ndim == 2 else Layout(SIZE, bands=3, overviews="nearest")
    assert made(layout, pixels, cut(SIZE, 300, 400)) == GEOTIFF.encode(pixels, text={"maskbeam": RECORD})
