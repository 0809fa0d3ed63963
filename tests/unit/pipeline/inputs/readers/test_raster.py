"""Windows put together are the whole; rasterio, which reads whole files, is the oracle, or plain rules by hand."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio._env import get_gdal_config
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, Resampling

from maskbeam.pipeline.inputs.readers.gdal import gdal_settings
from maskbeam.pipeline.options.raster_values import InvalidPixels
from maskbeam.transforms.codecs.gdal import cache, gdal
from maskbeam.transforms.elements import Array, Grid, GroundPoints, Region
from maskbeam.transforms.errors import ImageError
from tests.support.rasters import UTM, in_windows, opened, planes, whole, write_raster

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

RED, GREEN, BLUE, ALPHA = ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha
SIZE = (61, 83)
HOLE = np.hypot(*np.mgrid[-20:41, -50:33]) > 15
TILED: dict[str, Any] = {"tiled": True, "blockxsize": 16, "blockysize": 32}


def nodata_file(path: Path) -> Path:
    return write_raster(path, planes(dtype="int16") * HOLE, nodata=0, **TILED)


def dark_band_file(path: Path) -> Path:
    data = planes() * HOLE
    data[1, 40:50] = 0
    return write_raster(path, data, nodata=0)


def float_file(path: Path) -> Path:
    data = np.where(HOLE, planes(dtype="float32") / 7, np.float32(-3.4e38))
    return write_raster(path, data, nodata=-3.4e38, **TILED)


def masked_file(path: Path) -> Path:
    return write_raster(path, planes(), mask=HOLE, **TILED)


def mask_beside_file(path: Path) -> Path:
    written = write_raster(path, planes(), mask=HOLE, inside=False)
    assert Path(f"{path}.msk").exists()
    return written


def mask_and_nodata_file(path: Path) -> Path:
    data = planes()
    data[:, 50:] = 0
    return write_raster(path, data, mask=HOLE, nodata=0)


def alpha_file(path: Path) -> Path:
    data = np.concatenate([planes(dtype="uint16"), (HOLE * np.uint16(65535))[None]])
    return write_raster(path, data, colorinterp=[RED, GREEN, BLUE, ALPHA], photometric="RGB", alpha="YES")


def nan_file(path: Path) -> Path:
    return write_raster(path, np.where(HOLE, planes(dtype="float64"), np.nan), nodata=np.nan)


def plain_file(path: Path) -> Path:
    return write_raster(path, planes(), **TILED)


def jpeg2000_file(path: Path) -> Path:
    return write_raster(path, planes(dtype="uint16"), driver="JP2OpenJPEG", QUALITY=100, REVERSIBLE="YES")


FILES = [
    nodata_file, dark_band_file, float_file, masked_file, mask_beside_file, mask_and_nodata_file, alpha_file,
    nan_file, plain_file, jpeg2000_file,
]  # fmt: skip


@pytest.mark.parametrize("make", FILES)
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 61), st.integers(7, 83))
def test_windows_put_together_are_what_rasterio_reads(
    tmp_path: Path, make: Callable[[Path], Path], height: int, width: int
) -> None:
    path = tmp_path / "a.tif"
    path = path if path.exists() else make(path)
    with opened(path, raw=True) as raster:
        found = in_windows(raster, height, width)
    with rasterio.open(path) as file:
        values, valid = file.read([1, 2, 3]), file.dataset_mask() > 0
    assert np.array_equal(found.valid, valid)
    assert 0 < valid.mean() < 1 or make in (plain_file, jpeg2000_file)
    expected = np.where(valid, values, 0).transpose(1, 2, 0)
    assert np.array_equal(found.values, expected.astype(found.values.dtype))


@given(st.integers(0, 60), st.integers(0, 82), st.data())
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_region_is_that_part_of_the_whole(tmp_path: Path, top: int, left: int, data: st.DataObject) -> None:
    region = Region(top, left, data.draw(st.integers(1, 61 - top)), data.draw(st.integers(1, 83 - left)))
    path = tmp_path / "a.tif"
    path = path if path.exists() else nodata_file(path)
    part = slice(top, top + region.height), slice(left, left + region.width)
    with opened(path, ranges=((0, 200),)) as raster:
        found, all_of_it = raster.read(region), raster.read(Region.whole(raster.size))
    assert np.array_equal(found.values, all_of_it.values[part])
    assert np.array_equal(found.valid, all_of_it.valid[part])


def test_what_a_file_beside_says_of_a_jpeg_2000_is_heeded(tmp_path: Path) -> None:
    data = planes(dtype="uint16") * HOLE
    path = write_raster(tmp_path / "a.jp2", data, driver="JP2OpenJPEG", QUALITY=100, REVERSIBLE="YES", nodata=0)
    before = sorted(each.name for each in tmp_path.iterdir())
    assert before == ["a.jp2", "a.jp2.aux.xml"]
    assert np.array_equal(whole(path).valid, HOLE)
    assert sorted(each.name for each in tmp_path.iterdir()) == before


def test_a_region_outside_is_a_mistake(tmp_path: Path) -> None:
    with opened(plain_file(tmp_path / "a.tif")) as raster:
        for region in (Region(0, 0, 62, 1), Region(-1, 0, 5, 5), Region(0, 83, 1, 1), Region(0, 0, 0, 1)):
            with pytest.raises(ValueError, match="61 x 83"):
                raster.read(region)


def test_the_header(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", planes(2, dtype="uint16"), descriptions=("B04", "B03"), **TILED)
    with opened(path) as raster:
        assert (raster.size, raster.channels, raster.bands) == (SIZE, 2, ("B04", "B03"))
        assert (raster.block, raster.is_tiled, raster.dtype.name) == ((32, 16), True, "float32")
        assert (raster.stored, raster.facts) == (("uint16", "uint16"), {"samples": "uint16"})
        assert raster.grid == Grid(CRS.from_epsg(32633).to_wkt(), (10, 0, 500000, 0, -10, 5600000))
        assert raster.warnings == ()
    with opened(write_raster(tmp_path / "b.tif", planes())) as raster:
        assert (raster.bands, raster.is_tiled) == (("1", "2", "3"), False)
        assert (raster.dtype.name, raster.facts) == ("uint8", {})


@pytest.mark.parametrize("crs", ["EPSG:4326", None])
@pytest.mark.parametrize("transform", [(8, 6, 5e5, 6, -8, 5.6e6), (10, 0, 5e5, 0, 10, 5.6e6)])
def test_rotated_and_south_up_grids_are_kept(tmp_path: Path, crs: str | None, transform: tuple[float, ...]) -> None:
    path = write_raster(tmp_path / "a.tif", planes(), crs=crs, transform=rasterio.Affine(*transform))
    with opened(path) as raster:
        assert isinstance(raster.grid, Grid)
        assert raster.grid.transform == transform
        assert raster.grid.crs == (CRS.from_string(crs).to_wkt() if crs else "")


def test_without_a_place(tmp_path: Path) -> None:
    with opened(write_raster(tmp_path / "a.tif", planes(), crs=None, transform=None)) as raster:
        assert raster.grid is None


def test_ground_control_points(tmp_path: Path) -> None:
    points = [GroundControlPoint(row, col, 5e5 + col, 5e6 - row, 7) for row in (0, 61) for col in (0, 83)]
    with opened(write_raster(tmp_path / "a.tif", planes(), transform=None, gcps=points)) as raster:
        assert isinstance(raster.grid, GroundPoints)
        assert raster.grid.crs == CRS.from_epsg(32633).to_wkt()
        expected = [(p.row, p.col, p.x, p.y, p.z) for p in points]
        assert [(p.row, p.column, p.x, p.y, p.z) for p in raster.grid.points] == expected


def test_bands_in_any_order(tmp_path: Path) -> None:
    data = planes(4)
    path = write_raster(tmp_path / "a.tif", data, descriptions=("B08", "B02", "B03", "B04"))
    for words in (("4", "3", "2"), ("B04", "B03", "B02")):
        assert np.array_equal(whole(path, bands=words).values, data[[3, 2, 1]].transpose(1, 2, 0))
    assert np.array_equal(whole(path, bands=("2", "2")).values, data[[1, 1]].transpose(1, 2, 0))


def test_one_dark_band_is_data_unless_it_is_alone(tmp_path: Path) -> None:
    path = dark_band_file(tmp_path / "a.tif")
    dark = HOLE.copy()
    dark[40:50] = False
    assert np.array_equal(whole(path).valid, HOLE)
    assert np.array_equal(whole(path, bands=("2",)).valid, dark)
    assert np.array_equal(whole(path, bands=("1", "3")).valid, HOLE)


def test_a_value_for_no_data_that_the_file_does_not_say_or_says_wrongly(tmp_path: Path) -> None:
    data = planes() * HOLE
    data[:, :5] = 250
    silent, wrong = write_raster(tmp_path / "a.tif", data), write_raster(tmp_path / "b.tif", data, nodata=250)
    assert whole(silent).valid.all()
    assert np.array_equal(whole(wrong).valid, (data != 250).any(0))
    for path in (silent, wrong):
        assert np.array_equal(whole(path, nodata=0).valid, (data != 0).any(0))
        assert whole(path, nodata=None).valid.all()


def test_a_value_for_no_data_is_added_to_a_mask_and_none_takes_it_away(tmp_path: Path) -> None:
    data = planes()
    data[:, 50:] = 0
    path = write_raster(tmp_path / "a.tif", data, mask=HOLE)
    assert np.array_equal(whole(path, nodata=0).valid, HOLE & (data != 0).any(0))
    assert whole(path, nodata=None).valid.all()


def test_nan_in_any_band_is_no_data_whatever_is_said(tmp_path: Path) -> None:
    data = planes(dtype="float32")
    data[1, 10:20, 10:20] = np.nan
    path = write_raster(tmp_path / "a.tif", data)
    expected = ~np.isnan(data).any(0)
    for nodata in ("file", 0, None):
        found = whole(path, ranges=((0, 255),), nodata=nodata)
        assert np.array_equal(found.valid, expected)
        assert not found.values[~expected].any()
    assert whole(path, ranges=((0, 255),), bands=("1", "3")).valid.all()


def naip(path: Path) -> Path:
    return write_raster(path, planes(4) * HOLE, colorinterp=[RED, GREEN, BLUE, ALPHA], photometric="RGB", alpha="YES")


def test_transparency_that_holds_data_is_a_band_where_it_is_named(tmp_path: Path) -> None:
    path = naip(tmp_path / "a.tif")
    with opened(path) as raster:
        assert not raster.warnings
        assert np.array_equal(in_windows(raster, 30, 30).valid, HOLE)
        (text,) = raster.warnings
        assert "near infrared" in text
        assert "--bands" in text
    with opened(path, bands=("1", "2", "3", "4")) as raster:
        found = in_windows(raster, 30, 30)
        assert found.valid.all()
        assert np.array_equal(found.values, (planes(4) * HOLE).transpose(1, 2, 0))
        assert raster.warnings == ()
    assert whole(path, nodata=None).valid.all()


def test_transparency_of_a_few_values_is_no_data_without_a_warning(tmp_path: Path) -> None:
    with opened(alpha_file(tmp_path / "a.tif"), ranges=((0, 255),)) as raster:
        assert np.array_equal(in_windows(raster, 30, 30).valid, HOLE)
        assert raster.warnings == ()


def test_a_palette_is_its_colours_and_its_numbers_where_they_are_asked_for(tmp_path: Path) -> None:
    index = planes(1) % 5
    colours = {i: (40 * i, 250 - 30 * i, i, 255) for i in range(5)}
    path = tmp_path / "a.tif"
    profile: dict[str, Any] = {"driver": "GTiff", "count": 1, "height": 61, "width": 83, "dtype": "uint8", **UTM}
    with rasterio.open(path, "w", photometric="palette", nodata=3, **profile) as file:
        file.write(index)
        file.write_colormap(1, colours)
    found = whole(path)
    valid = index[0] != 3
    assert np.array_equal(found.valid, valid)
    expected = np.array([colours[i][:3] for i in index.ravel().tolist()], np.uint8).reshape(61, 83, 3)
    assert np.array_equal(found.values, expected * valid[..., None])
    assert np.array_equal(whole(path, bands=("1",), nodata=None).values[..., 0], index[0])


def test_units_of_the_file_come_first(tmp_path: Path) -> None:
    stored = np.random.default_rng(0).integers(7273, 43636, (2, 61, 83)).astype(np.uint16)
    path = write_raster(tmp_path / "a.tif", stored, scales=(0.0000275, 0.00002), offsets=(-0.2, -0.1))
    units = np.stack([stored[0] * 0.0000275 - 0.2, stored[1] * 0.00002 - 0.1], axis=-1)
    found = whole(path, apply_scale=True, ranges=((-0.2, 1),)).values
    np.testing.assert_allclose(found, (units + 0.2) / 1.2 * 255, rtol=1e-5, atol=1e-4)
    assert np.array_equal(whole(path, apply_scale=True, raw=True).values, units.astype(np.float32))
    assert np.array_equal(whole(path, raw=True).values, stored.transpose(1, 2, 0))
    with pytest.raises(ImageError, match=r"BAD_VALUE_RANGE: .*band 1 are float64.*--input_range"):
        opened(path, apply_scale=True)


def test_overviews_are_not_read(tmp_path: Path) -> None:
    path = plain_file(tmp_path / "a.tif")
    with rasterio.open(path, "r+") as file:
        file.build_overviews([2, 4], Resampling.nearest)
    with rasterio.open(path, "r+", overview_level=0) as file:
        file.write(np.zeros((3, *file.shape), np.uint8))
    assert np.array_equal(whole(path).values, planes().transpose(1, 2, 0))


def two_files(folder: Path, coarse: Array, fine: Array, **said: Any) -> tuple[Path, Path]:
    transform = rasterio.Affine(20, 0, 500000, 0, -20, 5600000)
    return (
        write_raster(folder / "B04.tif", fine, **TILED),
        write_raster(folder / "B11.tif", coarse, transform=transform, **said),
    )


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(3, 60), st.integers(3, 84))
def test_a_coarser_band_is_repeated_whatever_the_window(tmp_path: Path, height: int, width: int) -> None:
    fine, coarse = planes(1, 60, 84, "uint16"), planes(1, 30, 42, "uint16", 1)
    paths = two_files(tmp_path, coarse, fine)
    with opened(*paths, names=("B04", "B11"), raw=True) as raster:
        found = in_windows(raster, height, width)
        assert raster.bands == ("B04", "B11")
    repeated = coarse[0].repeat(2, 0).repeat(2, 1)
    assert np.array_equal(found.values, np.stack([fine[0], repeated], axis=-1))


def test_no_data_of_a_coarser_band_is_repeated(tmp_path: Path) -> None:
    fine, coarse = planes(1, 60, 84), planes(1, 30, 42, seed=1)
    there = np.ones((30, 42), bool)
    there[5:9, 7:30] = False
    paths = two_files(tmp_path, coarse, fine, mask=there)
    found = whole(*paths, names=("B04", "B11"))
    assert np.array_equal(found.valid, there.repeat(2, 0).repeat(2, 1))
    paths = two_files(tmp_path, coarse * there, fine, nodata=0)
    assert whole(*paths, names=("B04", "B11")).valid.all()
    assert np.array_equal(whole(*paths, names=("B04", "B11"), bands=("B04", "B11"), nodata=0).valid.sum(), 60 * 84)
    fine[:, 10:30, 14:40] = 0
    paths = two_files(tmp_path, coarse * there, fine)
    expected = (fine[0] != 0) | there.repeat(2, 0).repeat(2, 1)
    assert np.array_equal(whole(*paths, names=("B04", "B11"), nodata=0).valid, expected)


def test_a_band_that_marks_clouds_is_not_fed(tmp_path: Path) -> None:
    fine, scene = planes(1, 60, 84), planes(1, 30, 42, seed=1) % 12
    paths = two_files(tmp_path, scene, fine)
    rule = InvalidPixels("SCL", (3, 8, 9, 10))
    names = ("R10m/*_B04_10m", "R20m/*_SCL_20m")
    with opened(*paths, names=names, invalid=rule, window=20) as raster:
        found = in_windows(raster, 17, 23)
        assert raster.bands == (names[0],)
    expected = ~np.isin(scene[0], (3, 8, 9, 10)).repeat(2, 0).repeat(2, 1)
    assert np.array_equal(found.valid, expected)
    assert np.array_equal(found.values[..., 0], fine[0] * expected)
    with pytest.raises(ImageError, match=r"BAD_CHANNELS: band QA is asked for.*: R10m/\*_B04_10m, R20m/\*_SCL_20m"):
        opened(*paths, names=names, invalid=InvalidPixels("QA", (1,)))


def test_a_band_of_the_same_file_may_mark_by_bits(tmp_path: Path) -> None:
    data = planes(3, dtype="uint16")
    path = write_raster(tmp_path / "a.tif", data, descriptions=("red", "QA_PIXEL", "nir"))
    found = whole(path, invalid=InvalidPixels("QA_PIXEL", bits=0x18), raw=True)
    assert np.array_equal(found.valid, data[1] & 0x18 == 0)
    assert np.array_equal(found.values, (data[[0, 2]] * found.valid).transpose(1, 2, 0))
    floats = write_raster(tmp_path / "b.tif", data.astype("float32"), descriptions=("red", "QA_PIXEL", "nir"))
    with pytest.raises(ImageError, match="BAD_CHANNELS: the values of band QA_PIXEL are float32, which have no bits"):
        opened(floats, invalid=InvalidPixels("QA_PIXEL", bits=8), raw=True)


def test_files_that_nobody_named_are_called_as_they_are(tmp_path: Path) -> None:
    paths = [write_raster(tmp_path / f"LC08_{name}.TIF", planes(1, seed=i)) for i, name in enumerate(("B4", "B3"))]
    found = whole(*paths, bands=("B3", "B4", "1"))
    assert np.array_equal(found.values, np.stack([planes(1, seed=i)[0] for i in (1, 0, 0)], axis=-1))


def test_types_may_differ_from_file_to_file(tmp_path: Path) -> None:
    first = write_raster(tmp_path / "a.tif", planes(1))
    second = write_raster(tmp_path / "b.tif", planes(1, dtype="uint16", seed=1))
    found = whole(first, second)
    assert found.values.dtype == np.float32
    assert np.array_equal(found.values[..., 0], planes(1)[0])
    np.testing.assert_allclose(found.values[..., 1], planes(1, seed=1)[0] / 257, rtol=1e-6)


def test_threads_read_what_one_alone_reads(tmp_path: Path) -> None:
    path = nodata_file(tmp_path / "a.tif")
    regions = [Region(top, left, 20, 20) for top in range(0, 41, 3) for left in range(0, 63, 3)]
    with opened(path, ranges=((0, 200),)) as raster:
        alone = [raster.read(region) for region in regions]
        with ThreadPoolExecutor(8) as pool:
            together = list(pool.map(raster.read, regions))
    for one, other in zip(alone, together, strict=True):
        assert np.array_equal(one.values, other.values)
        assert np.array_equal(one.valid, other.valid)


def test_of_several_damaged_files_the_first_is_named(tmp_path: Path) -> None:
    paths = [write_raster(tmp_path / f"{name}.tif", planes(1), **TILED) for name in ("B04", "B03", "B02")]
    for path in paths[1:]:
        path.write_bytes(path.read_bytes()[:-500])
    with opened(*paths, names=("B04", "B03", "B02")) as raster:
        for _ in range(5):
            with pytest.raises(ImageError, match=r"UNREADABLE: .* on \(band B03\)"):
                raster.read(Region.whole(raster.size))


def test_the_cache_holds_two_rows_of_tiles_while_a_raster_is_open(tmp_path: Path) -> None:
    path = write_raster(
        tmp_path / "a.tif", np.zeros((3, 200, 40000), np.float64), tiled=True, blockxsize=64, blockysize=64
    )
    before = cache.bytes
    with opened(path, ranges=((0, 1),), window=64) as raster:
        assert 2 * 64 * 40000 * 3 * 8 < raster.cache_bytes < 2.1 * 64 * 40000 * 3 * 8
        assert cache.bytes == max(before, raster.cache_bytes)
    assert cache.bytes == before


def test_reading_leaves_the_cache_that_others_need(tmp_path: Path) -> None:
    with gdal(300 << 20), gdal_settings(str(tmp_path / "a.tif")):
        assert get_gdal_config("GDAL_CACHEMAX") == 300 << 20


def test_nothing_is_written_beside(tmp_path: Path) -> None:
    path = masked_file(tmp_path / "a.tif")
    before = path.stat()
    whole(path)
    assert [each.name for each in tmp_path.iterdir()] == ["a.tif"]
    assert path.stat().st_mtime_ns == before.st_mtime_ns
