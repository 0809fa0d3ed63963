from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rasterio.transform import Affine

from maskbeam.pipeline.references.scenes import aligned_regions, scene_thumbnail
from maskbeam.transforms.classes.class_table import ClassInfo, ClassTable
from maskbeam.transforms.comparison.align import Alignment
from maskbeam.transforms.comparison.pairing import pair_classes
from maskbeam.transforms.comparison.values import Values
from maskbeam.transforms.elements import Array
from maskbeam.transforms.errors import Code, ImageError, RunError
from tests.support.rasters import UTM, write_raster

TABLE = ClassTable(tuple(ClassInfo(i, i, f"c{i}", (i, i, 9)) for i in range(4)), "t")
HOW = Alignment.of(pair_classes(TABLE, None, flag="--truth_classes"), Values(), TABLE)
SIZE = (1100, 700)
NONE = 4


def grid(path: Path) -> dict[str, Any]:
    import rasterio

    with rasterio.open(path) as file:
        return {"crs": file.crs.to_wkt(), "transform": list(file.transform[:6])}


def ids(seed: int) -> Array:
    return np.random.default_rng(seed).integers(0, 4, SIZE, np.uint8)


def written(path: Path, pixels: Array, **said: Any) -> Path:
    return write_raster(path, pixels[None], **said)


def joined(mask: Path, reference: Path) -> tuple[Array, Array]:
    found = np.full((2, *SIZE), 99, np.uint8)
    for region, truth, labels in aligned_regions(str(mask), str(reference), grid(mask), HOW):
        at = slice(region.top, region.top + region.height), slice(region.left, region.left + region.width)
        found[0][at], found[1][at] = truth, labels
    return found[0], found[1]


@pytest.mark.parametrize("tiles", [{}, {"tiled": True, "blockxsize": 128, "blockysize": 256, "compress": "lzw"}])
def test_regions_cover_the_scene_with_both(tmp_path: Path, tiles: dict[str, Any]) -> None:
    mask, reference = written(tmp_path / "m.tif", ids(1)), written(tmp_path / "r.tif", ids(2), **tiles)
    truth, labels = joined(mask, reference)
    np.testing.assert_array_equal(truth, ids(2))
    np.testing.assert_array_equal(labels, ids(1))
    assert scene_thumbnail(str(reference)).size == SIZE


def test_pixels_without_data_are_ignored(tmp_path: Path) -> None:
    mask, reference = written(tmp_path / "m.tif", ids(1)), written(tmp_path / "r.tif", ids(2), nodata=3)
    np.testing.assert_array_equal(joined(mask, reference)[0], np.where(ids(2) == 3, NONE, ids(2)))


@pytest.mark.parametrize(
    ("said", "size", "words"),
    [
        ({"crs": "EPSG:32634"}, SIZE, "coordinate system"),
        ({"transform": Affine(10, 0, 500005, 0, -10, 5600000)}, SIZE, "transform"),
        ({}, (1100, 699), "size, 699 x 1100 and not 700 x 1100"),
    ],
)
def test_another_grid_is_said(tmp_path: Path, said: dict[str, Any], size: tuple[int, int], words: str) -> None:
    mask = written(tmp_path / "m.tif", ids(1))
    reference = written(tmp_path / "r.tif", ids(2)[: size[0], : size[1]], **{**UTM, **said})
    with pytest.raises(ImageError, match=words) as caught:
        joined(mask, reference)
    assert caught.value.code is Code.REFERENCE_GRID


def test_what_cannot_be_read_costs_its_scene_and_a_damaged_mask_the_run(tmp_path: Path) -> None:
    mask, reference = written(tmp_path / "m.tif", ids(1)), written(tmp_path / "r.tif", ids(2))
    place = grid(mask)
    whole = reference.read_bytes()
    for data in (b"", whole[:2000], b"x" * 500):
        reference.write_bytes(data)
        with pytest.raises(ImageError) as caught:
            list(aligned_regions(str(mask), str(reference), place, HOW))
        assert caught.value.code is Code.REFERENCE_UNREADABLE
    floats = written(tmp_path / "f.tif", ids(2).astype(np.float32))
    with pytest.raises(ImageError, match="float32"):
        list(aligned_regions(str(mask), str(floats), place, HOW))
    reference.write_bytes(whole)
    mask.write_bytes(b"x")
    with pytest.raises(RunError, match="damaged"):
        list(aligned_regions(str(mask), str(reference), place, HOW))


def test_a_tile_of_half_a_gigabyte_is_not_decoded(tmp_path: Path) -> None:
    mask = written(tmp_path / "m.tif", ids(1))
    big = {"tiled": True, "blockxsize": 1 << 14, "blockysize": 1 << 14, "compress": "deflate", "sparse_ok": True}
    reference = written(tmp_path / "r.tif", ids(2).astype(np.uint16), **big)
    with pytest.raises(ImageError, match="over 256 MB"):
        joined(mask, reference)
