from pathlib import Path

import numpy as np
import pytest
from rasterio.transform import Affine

from maskbeam.pipeline.inputs.readers.raster import small_size
from tests.support.rasters import UTM, opened, planes, whole, write_raster

COARSE = {"transform": Affine(20, 0, 500000, 0, -20, 5600000)}


@pytest.mark.parametrize(
    ("size", "longest", "expected"),
    [((61, 83), 100, (61, 83)), ((61, 83), 83, (61, 83)), ((61, 83), 82, (31, 42)), ((1, 5000), 2048, (1, 1667))],
)
def test_sizes_are_those_of_every_nth_pixel(size: tuple[int, int], longest: int, expected: tuple[int, int]) -> None:
    step = -(-max(size) // longest)
    assert small_size(size, longest) == expected == np.zeros(size)[::step, ::step].shape


def test_one_that_is_small_enough_is_what_is_read(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", planes())
    with opened(path) as raster:
        small = raster.thumbnail(100)
    np.testing.assert_array_equal(small.values, whole(path).values)


def test_pixels_are_pixels_of_the_image_near_their_place(tmp_path: Path) -> None:
    rows, columns = np.mgrid[:100, :80]
    path = write_raster(tmp_path / "a.tif", np.stack([rows, columns, rows]).astype("uint8"))
    with opened(path) as raster:
        values = raster.thumbnail(25).values
    assert values.shape == (25, 20, 3)
    middle = np.mgrid[:25, :20] * 4 + 1.5
    assert np.abs(values[..., 0] - middle[0]).max() <= 2
    assert np.abs(values[..., 1] - middle[1]).max() <= 2


def test_values_are_scaled_by_the_stated_range_and_never_refused(tmp_path: Path) -> None:
    data = np.full((1, 40, 40), 6000, "uint16")
    data[:, :20], data[:, 30:] = 500, 60000
    path = write_raster(tmp_path / "a.tif", data)
    with opened(path, ranges=((1000.0, 11000.0),)) as raster:
        values = raster.thumbnail(20).values[..., 0]
    assert np.unique(values).tolist() == [0, 127.5, 255]


def test_no_data_is_no_data_by_mask_and_by_value(tmp_path: Path) -> None:
    data, there = planes(3, 40, 40), np.ones((40, 40), bool)
    there[:20] = False
    masked = write_raster(tmp_path / "a.tif", data, mask=there)
    data[:, :20] = 0
    valued = write_raster(tmp_path / "b.tif", data, nodata=0)
    for path in (masked, valued):
        with opened(path) as raster:
            small = raster.thumbnail(20)
        assert not small.valid[:10].any()
        assert small.valid[10:].all()
        assert not small.values[:10].any()


def test_infinite_values_are_no_data_to_a_person(tmp_path: Path) -> None:
    data = planes(2, 20, 20, "float32")
    data[1, :10] = np.inf
    path = write_raster(tmp_path / "a.tif", data)
    with opened(path, raw=True) as raster:
        small = raster.thumbnail(20)
    assert small.valid.any(axis=1).tolist() == [False] * 10 + [True] * 10


def test_coarser_bands_lie_over_the_same_ground(tmp_path: Path) -> None:
    fine = np.zeros((1, 80, 80), "uint8")
    fine[:, 40:] = 200
    first = write_raster(tmp_path / "a.tif", fine, **UTM)
    second = write_raster(tmp_path / "b.tif", fine[:, ::2, ::2], **{**UTM, **COARSE})
    with opened(first, second, names=["A", "B"]) as raster:
        values = raster.thumbnail(20).values
    np.testing.assert_array_equal(values[..., 0], values[..., 1])
