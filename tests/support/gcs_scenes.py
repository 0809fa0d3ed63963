"""Whole runs over scenes on a storage service: a scene of several blocks, whose bands are objects of their own."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from rasterio.io import MemoryFile

from maskbeam.pipeline.inputs.readers import gdal_gcs
from maskbeam.pipeline.job import job as job_module
from maskbeam.pipeline.output.blocks import Blocks, SavedBlock
from maskbeam.pipeline.storage import gcs_storage
from maskbeam.pipeline.storage.gcs_storage import GcsStorage
from maskbeam.pipeline.verify.verify import verify
from maskbeam.transforms.elements import Array, FailedImage, Labels, Region
from maskbeam.transforms.errors import RunError
from maskbeam.transforms.tiling.layout import Tiling
from tests.support.fake_faults import Faults
from tests.support.faulty_proxy import FaultyProxy
from tests.support.gcs_runs import IMPATIENT, objects, served_by
from tests.support.numpy_engine import command, run_numpy
from tests.support.rasters import planes, write_raster
from tests.support.trees import differing, tree_of

SIZE, BANDS = (70, 97), ("B04", "B03", "B02")
FLAGS = ("--input_range", "0,200", "--nodata", "0", "--products", "confidence,overlay")
TILED: dict[str, Any] = {"tiled": True, "blockxsize": 32, "blockysize": 32, "compress": "deflate"}
# What a network does; it alters no byte of a scene, whose parts no checksum is kept of.
KINDS = ("429", "500", "503", "reset", "stall", "truncated", "lost", "lost")


@contextmanager
def hasty() -> Iterator[pytest.MonkeyPatch]:
    """Within this context blocks have about 700 pixels, and neither our client nor GDAL waits long."""
    settings = gdal_gcs.gcs_settings
    soon = {"GDAL_HTTP_RETRY_DELAY": "0.01", "GDAL_HTTP_LOW_SPEED_TIME": "1", "GDAL_HTTP_CONNECTTIMEOUT": "1"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job_module, "Tiling", partial(Tiling, block_pixels=700, sums_bytes=4000))
        patch.setattr(gdal_gcs, "gcs_settings", lambda: settings() | soon)
        patch.setattr(gcs_storage, "GcsStorage", partial(GcsStorage, IMPATIENT))
        yield patch


def bands(seed: int = 0) -> Array:
    """A scene `[3, h, w]` without data in a corner."""
    data = planes(3, *SIZE, "uint16", seed)
    data[:, :40, :30] = 0
    return data


def draw_bands(folder: Path, seed: int = 0) -> Path:
    """A file for each band of a scene."""
    data = bands(seed)
    for number, name in enumerate(BANDS):
        write_raster(folder / f"T1_{name}.tif", data[number : number + 1], **TILED)
    return folder


def store(storage: GcsStorage, folder: Path, root: str, names: str = "*") -> None:
    """Puts files of a folder there, in the place of what is there."""
    for path in sorted(folder.glob(names)):
        found = storage.stat(f"{root}/{path.name}")
        storage.write(f"{root}/{path.name}", path.read_bytes(), expected=found.version if found else None)


def run(folder: str, output: str, *flags: str) -> int:
    """A run over the bands in a folder."""
    return run_numpy(command(f"{folder}/*_{{{','.join(BANDS)}}}.tif", output, *FLAGS, *flags))


def check_the_same_as_at_hand(url: str, folder: Path) -> None:
    """Runs over the same files at hand and far away give the same pixels, on the same grid, and the same areas."""
    draw_bands(folder / "in")
    with hasty(), served_by(url) as storage:
        store(storage, folder / "in", "gs://data/same/in")
        assert run(str(folder / "in"), str(folder / "out")) == 0
        assert run("gs://data/same/in", "gs://data/same/out") == 0
        assert verify("gs://data/same/out") == 0
        with FaultyProxy(url) as proxy, served_by(proxy.url):
            # A part of an object that came altered is no difference.
            proxy.faults.plan("altered", only="out/confidence/T1.tif")
            assert verify("gs://data/same/out") == 0
        assert proxy.happened["altered down"] == 1
        near, far = tree_of(folder / "out"), objects(storage, "same/out")
    assert set(near) == set(far)
    assert [name for name in near if content(name, near[name]) != content(name, far[name])] == []


def content(name: str, data: bytes) -> Any:
    """All that a file of an output says but for where its image lies, which is in its record."""
    if name.endswith(".tif"):
        return _raster(data)
    if name.endswith(".jpg"):
        with MemoryFile(data) as file, file.open() as opened:
            return opened.read().tobytes()
    kept = "masks/", "reports/classes.csv", "reports/scenes.geojson"
    return data if name.startswith(kept) and not name.endswith(".aux.xml") else None


def _raster(data: bytes) -> Mapping[str, Any]:
    with MemoryFile(data) as file, file.open() as opened:
        smaller = [opened.overviews(index) for index in opened.indexes]
        pixels = [opened.read().tobytes(), opened.dataset_mask().tobytes()]
        for level in range(len(smaller[0])):
            with file.open(overview_level=level) as copy:
                pixels.append(copy.read().tobytes())
        return {"profile": dict(opened.profile), "smaller": smaller, "pixels": pixels}


class Saving:
    """Notes blocks as they are saved, and does something before one is; of the class, for workers get copies."""

    lock = threading.Lock()
    saved: ClassVar[list[Region]] = []
    before: Callable[[], None] = staticmethod(lambda: None)
    real = staticmethod(Blocks.save)


def noted_save(blocks: Blocks, block: Labels | FailedImage) -> SavedBlock | FailedImage:
    with Saving.lock:
        Saving.before()
        found = Saving.real(blocks, block)
        if isinstance(block, Labels):
            Saving.saved.append(block.region)
        return found


@contextmanager
def saving(before: Callable[[], None] = lambda: None) -> Iterator[list[Region]]:
    """Within this context `before` is called before a block is saved; yields those that are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Saving, "saved", [])
        patch.setattr(Saving, "before", staticmethod(before))
        patch.setattr(Blocks, "save", noted_save)
        yield Saving.saved


def die() -> None:
    """Ends a run after some of its blocks."""
    if len(Saving.saved) >= 4:
        raise RunError("the machine goes down")


def check_a_killed_run_goes_on(url: str, folder: Path) -> None:
    """A run that dies after some blocks is run again: it computes the others alone, and leaves the same objects."""
    draw_bands(folder / "in")
    with hasty(), served_by(url) as storage:
        store(storage, folder / "in", "gs://data/killed/in")
        with saving() as all_blocks:
            assert run("gs://data/killed/in", "gs://data/killed/whole") == 0
        with saving(die) as first:
            assert run("gs://data/killed/in", "gs://data/killed/out") == 1
        with saving() as rest:
            assert run("gs://data/killed/in", "gs://data/killed/out") == 0
        assert len(first) == 4
        assert sorted([*first, *rest], key=repr) == sorted(all_blocks, key=repr), "each block once"
        assert differing(objects(storage, "killed/whole"), objects(storage, "killed/out")) == []


def check_an_object_that_changes(url: str, folder: Path) -> None:
    """A band that is replaced while its scene is read costs the scene; the next run makes it of the new one."""
    draw_bands(folder / "in")
    other = draw_bands(folder / "other", seed=7)
    with hasty(), served_by(url) as storage:
        store(storage, folder / "in", "gs://data/changed/in")
        with saving(cache(partial(store, storage, other, "gs://data/changed/in", "T1_B03.tif"))):
            assert run("gs://data/changed/in", "gs://data/changed/out") == 3
        failures = storage.read("gs://data/changed/out/reports/failures.jsonl")
        assert b'"SOURCE_CHANGED"' in failures
        assert b"the file of band B03 was altered while it was read" in failures
        assert run("gs://data/changed/in", "gs://data/changed/out") == 0
        found = objects(storage, "changed/out")
    assert not [name for name in found if name.startswith(".blocks/")]
    data = bands()
    data[1] = bands(seed=7)[1]
    with MemoryFile(found["masks/T1.tif"]) as file, file.open() as opened:
        assert np.array_equal(opened.read(1), np.where(data.any(axis=0), data.argmax(axis=0), 255))


def check_scenes_through_faults(url: str, folder: Path) -> None:
    """One request in five fails: the objects are the same."""
    draw_bands(folder / "in")
    with hasty():
        with served_by(url) as storage:
            store(storage, folder / "in", "gs://data/faults/in")
            assert run("gs://data/faults/in", "gs://data/faults/plain") == 0
        with FaultyProxy(url, faults=Faults(rate=0.2, kinds=KINDS, seed=3)) as proxy, served_by(proxy.url):
            assert run("gs://data/faults/in", "gs://data/faults/faulty") == 0
            assert verify("gs://data/faults/faulty") == 0
        with served_by(url) as storage:
            plain, faulty = objects(storage, "faults/plain"), objects(storage, "faults/faulty")
    assert differing(plain, faulty) == []
    assert [kind for kind in set(KINDS) if not proxy.happened[kind]] == []
