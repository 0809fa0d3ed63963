"""Scenes in a bucket are verified there, and have samples, as those at hand."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from maskbeam.pipeline.storage.gcs_client import forget_client
from maskbeam.pipeline.verify.verify import verify
from tests.support.fake_gcs import FakeGcs
from tests.support.numpy_engine import command, run_numpy
from tests.support.scene_runs import draw_scenes

FLAGS = ("--mask_format", "geotiff", "--products", "color,confidence,binary")


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGcs]:
    with FakeGcs() as server:
        server.service.buckets["b"] = {}
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        yield server
    forget_client()


def test_scenes_in_a_bucket(tmp_path: Path, fake: FakeGcs, capsys: pytest.CaptureFixture[str]) -> None:
    draw_scenes(tmp_path, 1)
    fake.service.store("b", "in/scene-0.tif", (tmp_path / "scene-0.tif").read_bytes())
    assert run_numpy(command("gs://b/in", "gs://b/out", *FLAGS)) == 0
    assert verify("gs://b/out") == 0
    held = fake.service.buckets["b"]
    assert {"out/reports/samples/scene-0.jpg", "out/reports/scenes.geojson"} <= held.keys()
    tiff = np.frombuffer(held["out/color/scene-0.tif"].data, np.uint8).copy()
    tiff[-20] ^= 1
    fake.service.store("b", "out/color/scene-0.tif", tiff.tobytes())
    capsys.readouterr()
    assert verify("gs://b/out") == 1
    assert "DIFFERENT out" not in (told := capsys.readouterr().out)
    assert "DIFFERENT color/scene-0.tif is damaged" in told
