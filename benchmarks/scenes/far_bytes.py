"""The bytes that a run fetches of a scene in a bucket, counted by the storage, beside those of the file.

    python -m benchmarks.scenes.far_bytes [FOLDER]

alone takes a minute: a cloud-optimized GeoTIFF of 4,096 x 4,096 pixels in four bands of 16 bits, and the command as a
user types it. Of a run on storage far away the scene is fetched once, and little besides: its head, a smaller copy
for `reports/samples/`, both of its ends for its digest.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.rounds import spread
from benchmarks.table import Row
from tests.support import fake_gcs

SIDE, BANDS, WINDOW, TILE = 4096, 4, 512, 512
AT_MOST, AIM = 1.3, 1.1
_FLAGS = ("--input_range", "0,16000", "--normalize", "0..1")


class Fetched(NamedTuple):
    """Bytes of a run: of the file, fetched of it, and what the run itself says that it read, before compression."""

    file: int
    fetched: int
    told: int


class CountingGcs(fake_gcs.FakeGcs):
    """A storage that counts the bytes that it gives of one object."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.RequestHandlerClass = _Counting
        self.name, self.fetched = name, 0


class _Counting(fake_gcs._Handler):
    server: CountingGcs

    def answer(self, status: int, headers: dict[str, str], body: bytes, *, sent: int | None = None) -> None:
        if self.command == "GET" and status in (200, 206) and self.server.name in self.path:
            with self.server.lock:
                self.server.fetched += len(body[:sent])
        super().answer(status, headers, body, sent=sent)


def rows(folder: Path, *, side: int = SIDE) -> Iterator[Row]:
    """The row of the table; inputs and model are made in `folder` when they are first asked for."""
    found = measured(folder, side)
    print(f"a scene far away: {found}", flush=True)
    title = f"bytes fetched of a COG in a bucket / its bytes, {side:,} a side, {BANDS} bands of 16 bits"
    yield Row(12, title, spread([found.fetched / found.file]), AT_MOST, AIM, smaller=True)


def measured(folder: Path, side: int) -> Fetched:
    """Runs the command once.

    Raises:
        RuntimeError: It fails.
    """
    scene, model = _scene(folder, side), _model(folder)
    with CountingGcs("scene.tif") as server:
        server.service.buckets["data"] = {}
        server.service.store("data", "in/scene.tif", scene.read_bytes())
        command = ["run", "--input", "gs://data/in/scene.tif", "--model", str(model), "--output", "gs://data/out"]
        environment = {**os.environ, "STORAGE_EMULATOR_HOST": server.url}
        run = [sys.executable, "-m", "maskbeam.pipeline.main", *command, *_FLAGS]
        done = subprocess.run(run, env=environment, check=False, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr)
        (told,) = (found for name, found in server.service.buckets["data"].items() if name.startswith("out/runs/"))
        return Fetched(scene.stat().st_size, server.fetched, int(json.loads(told.data)["bytes_read"]))


def _scene(folder: Path, side: int) -> Path:
    """Fields of 16 x 16 pixels and noise over them: about as hard to compress as reflectances are."""
    import rasterio
    from rasterio.shutil import copy
    from rasterio.transform import Affine

    path = folder / f"far-{side}.tif"
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    fields = rng.integers(1, 10_000, (BANDS, side // 16, side // 16), np.uint16)
    values = fields.repeat(16, 1).repeat(16, 2) + rng.integers(0, 200, (BANDS, side, side), np.uint16)
    grid = {"crs": "EPSG:32633", "transform": Affine(10, 0, 500_000, 0, -10, 5_600_000)}
    with tempfile.NamedTemporaryFile(suffix=".tif") as plain:
        shape = {"count": BANDS, "height": side, "width": side, "dtype": "uint16"}
        with rasterio.open(plain.name, "w", driver="GTiff", nodata=0, **shape, **grid) as file:
            file.write(values)
        copy(plain.name, path, driver="COG", compress="DEFLATE", predictor="2", blocksize=TILE)
    return path


def _model(folder: Path) -> Path:
    """A network that looks at single pixels: what is measured is not its work."""
    import keras

    path = folder / f"pixels-{BANDS}.keras"
    if not path.exists():
        image = keras.Input((WINDOW, WINDOW, BANDS))
        scores = keras.layers.Conv2D(BANDS, 1, use_bias=False)
        keras.Model(image, keras.layers.Softmax()(scores(image))).save(path)
    return path


def main() -> None:
    for row in rows(Path(*sys.argv[1:2] or [tempfile.mkdtemp()])):
        print(f"{row.what}: {row.value['median']:.3f}, at most {row.at_least}, aim {row.aim}: {row.verdict}")


if __name__ == "__main__":
    main()
