"""GDAL's cache is one for the process: as large as all works at the time need together, within bounds."""

import threading
import warnings
from pathlib import Path

import numpy as np
import rasterio
from rasterio._env import get_gdal_config

from maskbeam.transforms.codecs.gdal import gdal

MB = 1 << 20


def size() -> int:
    return int(get_gdal_config("GDAL_CACHEMAX"))


def test_works_at_the_same_time_add_up_and_go_within_bounds() -> None:
    with gdal(80 * MB):
        assert size() == 80 * MB
        with gdal(100 * MB):
            assert size() == 180 * MB
            with gdal(900 * MB):
                assert size() == 512 * MB
        assert size() == 80 * MB
    assert size() == 64 * MB
    with gdal(1):
        assert size() == 64 * MB


def test_another_thread_s_work_counts_for_as_long_as_it_lasts() -> None:
    begun, go_on, seen = threading.Event(), threading.Event(), []

    def work() -> None:
        with gdal(200 * MB):
            begun.set()
            go_on.wait(60)
        seen.append(size())

    other = threading.Thread(target=work)
    with gdal(80 * MB):
        with gdal(100 * MB):
            other.start()
            assert begun.wait(60)
            assert size() == 380 * MB
        assert size() == 280 * MB
        go_on.set()
        other.join()
        assert seen == [80 * MB]
        assert size() == 80 * MB


def test_options_hold_inside_and_end_with_it() -> None:
    with gdal(MB, GDAL_TIFF_INTERNAL_MASK="YES"):
        assert get_gdal_config("GDAL_TIFF_INTERNAL_MASK")
        with gdal(MB, GDAL_NUM_THREADS="2"):
            assert get_gdal_config("GDAL_TIFF_INTERNAL_MASK")
        assert get_gdal_config("GDAL_TIFF_INTERNAL_MASK")
    with rasterio.Env():
        assert not get_gdal_config("GDAL_TIFF_INTERNAL_MASK")


def test_no_file_is_made_beside_and_a_picture_without_a_place_is_nothing_to_warn_of(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with gdal(MB), rasterio.open(
            tmp_path / "a.png", "w", driver="PNG", height=9, width=9, count=1, dtype="uint8", nodata=3
        ) as file:  # fmt: skip
            file.write(np.zeros((1, 9, 9), np.uint8))
            file.update_tags(said="this")
        assert [each.name for each in tmp_path.iterdir()] == ["a.png"]
