"""Files that are damaged, hostile, of another format, gone or replaced: each fails for itself, and says how."""

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maskbeam.pipeline.inputs.readers.gdal import check_geo
from maskbeam.pipeline.inputs.readers.ground import Transform
from maskbeam.pipeline.inputs.readers.handles import RasterFile
from maskbeam.pipeline.inputs.readers.layout import check_transform
from maskbeam.pipeline.inputs.readers.open_raster import open_raster
from maskbeam.pipeline.inputs.readers.rules import RasterRules
from maskbeam.transforms.elements import Region
from maskbeam.transforms.errors import Code, ImageError, RunError
from tests.support.rasters import in_windows, opened, planes, whole, write_raster
from tests.support.tiffs import tiff

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

TILED: dict[str, Any] = {"tiled": True, "blockxsize": 16, "blockysize": 16}


def refused(*paths: Path, **rules: Any) -> ImageError:
    with pytest.raises(ImageError) as caught:
        whole(*paths, **rules)
    assert not any(path.name in str(caught.value) for path in paths)
    return caught.value


@pytest.mark.parametrize("compress", ["deflate", "lzw", "jpeg", None])
def test_a_file_that_is_cut_off_says_from_where(tmp_path: Path, compress: str | None) -> None:
    path = write_raster(tmp_path / "patient.tif", planes(3, 64, 64), **TILED, compress=compress)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    error = refused(path)
    assert error.code == Code.UNREADABLE
    words = error.reason.split()
    row, column = int(words[words.index("row") + 1].rstrip(",")), int(words[words.index("column") + 1])
    assert (row % 16, column % 16) == (0, 0)
    with rasterio.open(path) as file:
        assert file.read(window=((0, row or 64), (0, 64 if row else column))).any()
        with pytest.raises(rasterio.errors.RasterioIOError):
            file.read(window=((row, row + 16), (column, column + 16)))
    with opened(path) as raster:  # however it is divided
        with pytest.raises(ImageError, match=rf"UNREADABLE: .* from row {row}, column {column} on$"):
            in_windows(raster, row + 3, 64)
        raster.read(Region(0, 0, 16, 16))


def test_damaged_jpeg_tiles_are_no_grey_pixels(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", planes(3, 64, 64), compress="jpeg", **TILED)
    data = bytearray(path.read_bytes())
    with rasterio.open(path) as file:
        offset = int(file.get_tag_item("BLOCK_OFFSET_2_1", "TIFF", bidx=1))
        size = int(file.get_tag_item("BLOCK_SIZE_2_1", "TIFF", bidx=1))
    middle = offset + size // 2
    data[middle : middle + 40] = bytes(40)
    path.write_bytes(data)
    with opened(path) as raster:
        with pytest.raises(ImageError, match=r"UNREADABLE: .* from row 16, column 32 on"):
            raster.read(Region(0, 0, 64, 64))
        with pytest.raises(ImageError, match=r"UNREADABLE: .* from row 16, column 32 on"):
            raster.read(Region(20, 30, 10, 10))


OTHERS = {
    "VRT": b'<VRTDataset rasterXSize="4" rasterYSize="4"><VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
    b"<SourceFilename>/etc/hostname</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>",
    "netCDF": b"CDF\x01" + bytes(100),
    "HDF5": b"\x89HDF\r\n\x1a\n" + bytes(100),
    "ZIP": b"PK\3\4" + bytes(100),
    "gzip": b"\x1f\x8b\x08" + bytes(100),
    "GDAL tile index": b"<GDALTileIndexDataset></GDALTileIndexDataset>",
    "PNG": b"\x89PNG\r\n\x1a\n" + bytes(100),
}


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("name", ["a.tif", "a.jp2", "a.vrt"])
def test_other_formats_are_named_whatever_the_file_is_called(tmp_path: Path, kind: str, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(OTHERS[kind])
    error = refused(path)
    assert error.code == Code.UNSUPPORTED_FORMAT
    assert kind in error.reason
    assert "GeoTIFF, COG and JPEG 2000" in error.reason


@pytest.mark.parametrize(
    "data", [b"", b"II*\0", b"hello", bytes(1000), b"II*\0\x08\0\0\0\xff\xff", b"\0\0\0\x0cjP  \r\n\x87\n"]
)
def test_what_is_no_raster(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(data)
    assert refused(path).code == Code.UNREADABLE


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    here = write_raster(tmp_path / "B04.tif", planes(1))
    error = refused(here, tmp_path / "x.tif", names=("B04", "B03"))
    assert (error.code, error.reason) == (
        Code.SOURCE_MISSING,
        "the file of band B03 is not there any more, or cannot be read",
    )
    assert refused(tmp_path).code == Code.SOURCE_MISSING


def test_a_file_that_is_replaced_while_it_is_read(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", planes(3, 64, 64), **TILED)
    with opened(path) as raster:
        raster.check_unchanged()
        path.write_bytes(path.read_bytes()[:3000])
        with pytest.raises(ImageError, match="SOURCE_CHANGED"):
            in_windows(raster, 16, 16)
        with pytest.raises(ImageError, match="SOURCE_CHANGED"):
            raster.check_unchanged()
        path.unlink()
        with pytest.raises(ImageError, match="SOURCE_MISSING"):
            raster.check_unchanged()
    write_raster(path, planes())
    with (
        open_raster([RasterFile(str(path), version="as it was listed")], RasterRules()) as raster,
        pytest.raises(ImageError, match="SOURCE_CHANGED"),
    ):
        raster.check_unchanged()


def test_a_mask_beside_that_is_no_tiff_is_not_opened(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", planes())
    Path(f"{path}.msk").write_bytes(OTHERS["VRT"])
    assert refused(path).code == Code.UNSUPPORTED_FORMAT


def claiming(**tags: int) -> bytes:
    """A TIFF of 2 x 2 pixels that claims to be another."""
    known = {
        "width": 256,
        "height": 257,
        "bits": 258,
        "rows": 278,
        "tile_width": 322,
        "tile_height": 323,
        "bytes": 279,
    }
    return tiff({known[name]: value for name, value in tags.items()}) + bytes(64)


def test_headers_that_claim_too_much_cost_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(claiming(width=1 << 30, height=1, rows=1))
    with pytest.raises(
        ImageError, match=r"TOO_LARGE: one strip of it, 1 x 1073741824 .* 1024 MiB, over 256: .*gdal_translate"
    ):
        opened(path)
    path.write_bytes(claiming(width=1 << 16, height=1 << 16, rows=1 << 16))
    with opened(path) as raster:  # of one strip without compression GDAL makes many
        assert raster.size == (1 << 16, 1 << 16)
        with pytest.raises(ImageError, match=r"UNREADABLE: .* from row 32768, column 0 on"):
            raster.read(Region(1 << 15, 0, 1, 8))


def test_a_tall_image_in_small_strips_is_opened_and_fails_where_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(claiming(width=2, height=1 << 30, rows=1 << 30))
    with opened(path) as raster:
        assert raster.size == (1 << 30, 2)
        with pytest.raises(ImageError, match="UNREADABLE"):
            raster.read(Region(1 << 29, 0, 2, 2))


def test_huge_tiles_are_refused_with_the_way_out(tmp_path: Path) -> None:
    profile = {"driver": "GTiff", "height": 20, "width": 20, "count": 3, "dtype": "uint16", "sparse_ok": True}
    path = tmp_path / "a.tif"
    with rasterio.open(
        path, "w", tiled=True, blockxsize=8192, blockysize=8192, interleave="pixel", **profile
    ) as file:
        file.update_tags(a="b")
    error = refused(path, raw=True)
    assert error.code == Code.TOO_LARGE
    assert error.reason.startswith("one tile of it, 8192 x 8192 pixels, takes 384 MiB, over 256")


def test_values_beyond_the_range_say_where_in_the_image(tmp_path: Path) -> None:
    data = planes(3, 64, 64, "uint16")
    data[1, 33, 48] = 17000
    path = write_raster(tmp_path / "a.tif", data, descriptions=("B04", "B03", "B02"), **TILED)
    with opened(path, ranges=((0, 11000),)) as raster, pytest.raises(ImageError) as caught:
        raster.read(Region(20, 30, 40, 30))
    assert caught.value.code == Code.BAD_VALUE_RANGE
    assert caught.value.reason.startswith("17000 at row 33, column 48 of band B03 lies beyond the range 0 to 11000: ")
    assert "--out_of_range clip" in caught.value.reason


@pytest.mark.parametrize("dtype", ["float32", "int16", "uint32"])
def test_types_without_a_range_are_refused_before_a_pixel_is_read(tmp_path: Path, dtype: str) -> None:
    path = write_raster(tmp_path / "a.tif", planes(dtype=dtype))
    with pytest.raises(ImageError, match=rf"BAD_VALUE_RANGE: .* {dtype}, .*--input_range"):
        opened(path)


def test_complex_values_are_refused(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", planes(dtype="complex64"))
    with pytest.raises(ImageError, match=r"BAD_VALUE_RANGE: .*complex64"):
        opened(path, raw=True)


def test_another_number_of_ranges_than_of_bands(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", planes())
    with pytest.raises(ImageError, match="BAD_CHANNELS: --input_range has 2 ranges for 3 bands"):
        opened(path, ranges=((0, 1), (0, 2)))


def test_grids_that_differ(tmp_path: Path) -> None:
    first = write_raster(tmp_path / "a.tif", planes(1))
    second = write_raster(tmp_path / "b.tif", planes(1), crs="EPSG:32634")
    with pytest.raises(ImageError, match="GRID_MISMATCH: band B11 lies in EPSG:32634, the first band EPSG:32633"):
        opened(first, second, names=("B04", "B11"))


@pytest.mark.parametrize(
    "name", ["a b#c?d%41.tif", "ä!:x.tif", "zip+file.tif", "s3:.tif", "a\nb.tif", "GTIFF_DIR:1:a.tif"]
)
def test_odd_names_are_names_of_files(tmp_path: Path, name: str) -> None:
    path = write_raster(tmp_path / "plain.tif", planes())
    path = path.rename(tmp_path / name)
    assert np.array_equal(whole(path).values, planes().transpose(1, 2, 0))


def test_paths_that_gdal_has_another_meaning_for(tmp_path: Path) -> None:
    for uri in ("/vsicurl/http://127.0.0.1:1/a.tif", "/vsizip/a.zip/a.tif", "/vsimem/a.tif"):
        with pytest.raises(ImageError, match="SOURCE_MISSING"):
            open_raster([RasterFile(uri)], RasterRules())


def test_without_the_packages_the_command_to_install_them(monkeypatch: pytest.MonkeyPatch) -> None:
    check_geo()
    find: Callable[..., Any] = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pyproj" else find(name))
    with pytest.raises(RunError, match=r"needs rasterio and pyproj: pip install 'maskbeam\[geo\]'"):
        check_geo()


@pytest.mark.parametrize(
    ("transform", "words"), [((0, 0, 5e5, 0, 0, 5e6), "500000.0, 0, 0"), ((np.inf, 0, 0, 0, 1, 0), "inf")]
)
def test_a_transform_that_gives_a_pixel_no_ground(transform: Transform, words: str) -> None:
    with pytest.raises(ImageError, match=rf"UNREADABLE: its transform, .*{words}"):
        check_transform(transform)


def test_a_box_of_no_length_ends(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.jp2", planes(), driver="JP2OpenJPEG", QUALITY=100, REVERSIBLE="YES")
    data = bytearray(path.read_bytes())
    data[data.index(b"ihdr") - 1] = 0
    path.write_bytes(data)
    # In a process of its own: GDAL, where it does not come back, lets nobody interrupt it.
    code = f"from pathlib import Path; from tests.support.rasters import whole; whole(Path({str(path)!r}))"
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=100)
    assert np.array_equal(whole(path).values, planes().transpose(1, 2, 0))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["GTiff", "JP2OpenJPEG"]),
    st.lists(st.tuples(st.integers(0, 699), st.integers(0, 255)), min_size=1),
)
def test_damaged_headers_cost_one_image(tmp_path: Path, driver: str, damage: list[tuple[int, int]]) -> None:
    path = tmp_path / f"{driver}.tif"
    if not path.exists():
        write_raster(path, planes(3, 20, 30), driver=driver)
    data = bytearray(path.read_bytes())
    for at, value in damage:
        data[at % len(data)] = value
    bad = tmp_path / "bad.tif"
    bad.write_bytes(data)
    try:
        with opened(bad, raw=True) as raster:
            raster.read(Region(0, 0, min(20, raster.size[0]), min(20, raster.size[1])))
    except ImageError as error:
        assert error.code in (Code.UNREADABLE, Code.TOO_LARGE, Code.BAD_VALUE_RANGE, Code.UNSUPPORTED_FORMAT)  # noqa: PT017
