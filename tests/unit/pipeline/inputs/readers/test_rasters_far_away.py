"""Rasters in a bucket: the same pixels, few requests, our client's endpoint and credentials, and what fails there."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskbeam.pipeline.inputs.readers import gdal_gcs
from maskbeam.pipeline.inputs.readers.handles import Handles, RasterFile
from maskbeam.pipeline.inputs.readers.open_raster import open_raster
from maskbeam.pipeline.inputs.readers.raster import Raster
from maskbeam.pipeline.inputs.readers.rules import RasterRules
from maskbeam.pipeline.storage import Denied, find_file
from maskbeam.pipeline.storage.gcs_client import forget_client
from maskbeam.transforms.elements import Region
from maskbeam.transforms.errors import ImageError
from tests.support.fake_faults import Faults
from tests.support.fake_gcs import FakeGcs
from tests.support.rasters import in_windows, planes, whole, write_raster

TILED: dict[str, Any] = {"tiled": True, "blockxsize": 128, "blockysize": 128, "compress": "deflate"}
SIZE = (700, 600)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGcs]:
    with FakeGcs() as server:
        server.service.buckets["b"] = {}
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        yield server
    forget_client()


def stored(fake: FakeGcs, path: Path, name: str = "scene.tif") -> RasterFile:
    """Puts a file there, and gives it as a listing does."""
    fake.service.store("b", name, path.read_bytes())
    found = find_file(f"gs://b/{name}")
    assert found is not None
    fake.calls.clear()
    return RasterFile(found.uri, version=found.version)


def opened(*files: RasterFile) -> Raster:
    return open_raster(files, RasterRules(raw=True))


def scene(folder: Path) -> Path:
    return write_raster(folder / "a.tif", planes(2, *SIZE, dtype="uint16"), **TILED)


def test_the_same_pixels_as_at_hand(tmp_path: Path, fake: FakeGcs) -> None:
    path = scene(tmp_path)
    with opened(stored(fake, path, "a b/ä#1.tif")) as raster:
        found = in_windows(raster, 300, 250)
        raster.check_unchanged()
    expected = whole(path, raw=True)
    assert np.array_equal(found.values, expected.values)
    assert np.array_equal(found.valid, expected.valid)


def test_one_request_opens_it_and_nothing_is_listed(tmp_path: Path, fake: FakeGcs) -> None:
    file = stored(fake, scene(tmp_path))
    with opened(file):
        # That there is no mask beside is asked for once; whatever else lies there is none of a reader's business.
        assert dict(fake.calls) == {"download by XML": 1, "download": 1}


def test_threads_read_at_once(tmp_path: Path, fake: FakeGcs) -> None:
    path = scene(tmp_path)
    regions = [Region(top, left, 100, 100) for top in range(0, 600, 60) for left in range(0, 500, 60)]
    expected = whole(path, raw=True)
    with opened(stored(fake, path)) as raster, ThreadPoolExecutor(6) as pool:
        for region, found in zip(regions, pool.map(raster.read, regions), strict=True):
            part = slice(region.top, region.top + 100), slice(region.left, region.left + 100)
            assert np.array_equal(found.values, expected.values[part])


def test_a_mask_beside_counts_there_too(tmp_path: Path, fake: FakeGcs) -> None:
    there = np.ones(SIZE, bool)
    there[100:300, 50:] = False
    path = write_raster(tmp_path / "a.tif", planes(2, *SIZE), mask=there, inside=False, **TILED)
    stored(fake, Path(f"{path}.msk"), "scene.tif.msk")
    with opened(stored(fake, path)) as raster:
        assert np.array_equal(in_windows(raster, 300, 250).valid, there)


def test_an_object_that_is_replaced_is_not_mixed_with_the_new_one(tmp_path: Path, fake: FakeGcs) -> None:
    path = scene(tmp_path)
    with opened(stored(fake, path)) as raster:
        raster.read(Region(0, 0, 10, 10))
        other = write_raster(tmp_path / "b.tif", planes(2, *SIZE, dtype="uint16", seed=5), **TILED)
        renewed = stored(fake, other)
        with pytest.raises(ImageError, match="SOURCE_CHANGED"):
            raster.check_unchanged()
    with opened(renewed) as raster:
        assert np.array_equal(in_windows(raster, 300, 250).values, whole(other, raw=True).values)


def test_an_object_that_is_not_there(fake: FakeGcs) -> None:
    for file in (RasterFile("gs://b/x.tif"), RasterFile("gs://b/x.tif", version="1")):
        with pytest.raises(ImageError, match="SOURCE_MISSING"):
            opened(file)


def test_an_object_of_another_format(tmp_path: Path, fake: FakeGcs) -> None:
    path = tmp_path / "a.vrt"
    path.write_text("<VRTDataset/>")
    with pytest.raises(ImageError, match="UNSUPPORTED_FORMAT: it is VRT"):
        opened(stored(fake, path))


def test_failures_that_pass_are_tried_again(tmp_path: Path, fake: FakeGcs, monkeypatch: pytest.MonkeyPatch) -> None:
    path = scene(tmp_path)
    file = stored(fake, path)
    settings = gdal_gcs.gcs_settings
    monkeypatch.setattr(gdal_gcs, "gcs_settings", lambda: settings() | {"GDAL_HTTP_RETRY_DELAY": "0.01"})
    fake.faults = Faults(rate=0.3, kinds=("503", "429", "reset", "truncated"), seed=1)
    with opened(file) as raster:
        found = in_windows(raster, 150, 150)
    assert sum(fake.happened.values()) > 3
    assert np.array_equal(found.values, whole(path, raw=True).values)


def test_a_tile_whose_place_is_cut_off_on_its_way_is_not_taken_for_one_that_was_never_written(
    tmp_path: Path, fake: FakeGcs
) -> None:
    file = stored(fake, scene(tmp_path))
    handles = Handles(file)
    # With this all that was fetched of the object is forgotten.
    Handles(file).close()
    fake.faults = Faults(rate=1.0, kinds=("truncated",))
    with handles.taken() as handle:
        assert handle.get_tag_item("BLOCK_OFFSET_4_5", "TIFF", bidx=1) is not None
    handles.close()


def test_access_that_is_denied_ends_the_run(tmp_path: Path, fake: FakeGcs) -> None:
    file = stored(fake, scene(tmp_path))
    fake.faults = Faults(rate=1.0, kinds=("403",))
    with pytest.raises(Denied):
        opened(file)


class Credentials:
    """Credentials with a token that has to be renewed first."""

    token = "old"
    valid = False

    def refresh(self, request: object) -> None:
        self.token, self.valid = "new", True


def test_requests_carry_the_token_of_our_client(fake: FakeGcs, monkeypatch: pytest.MonkeyPatch) -> None:
    class Client:
        _credentials = Credentials()

    monkeypatch.setattr(gdal_gcs, "client", lambda: Client)
    monkeypatch.setattr(gdal_gcs, "is_anonymous", lambda: False)
    assert gdal_gcs.gcs_settings()["GDAL_HTTP_HEADERS"] == "Authorization: Bearer new"
    assert gdal_gcs.gcs_settings()["CPL_GS_ENDPOINT"] == fake.url + "/"
    monkeypatch.delenv("STORAGE_EMULATOR_HOST")
    assert "CPL_GS_ENDPOINT" not in gdal_gcs.gcs_settings()


def test_the_head_of_a_file_may_be_all_there_is(tmp_path: Path, fake: FakeGcs) -> None:
    path = write_raster(tmp_path / "a.tif", planes(1, 3, 4))
    with opened(stored(fake, path)) as raster:
        assert np.array_equal(raster.read(Region(0, 0, 3, 4)).values[..., 0], planes(1, 3, 4)[0])
