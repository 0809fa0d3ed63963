"""Images far away that a manifest here lists: many are fetched at a time, as if their own names had been given."""

import os
import threading
from pathlib import Path

import pytest

from maskbeam.pipeline.inputs import fetch as fetching
from maskbeam.pipeline.inputs.fetch import fetch
from maskbeam.transforms.elements import EncodedImage
from tests.support.fake_gcs import FakeGcs
from tests.support.fake_gcs_service import Stored
from tests.support.numpy_engine import command, run_numpy
from tests.support.trees import draw

# More than the threads that do not wait; those that wait are that many at least.
AT_ONCE = min(32, max(2, os.cpu_count() or 1) + 1)


def test_more_images_are_fetched_at_once_than_there_are_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    all_here = threading.Barrier(AT_ONCE, timeout=60)

    def fetched_together(image: EncodedImage) -> EncodedImage:
        all_here.wait()
        return fetch(image)

    monkeypatch.setattr(fetching, "fetch", fetched_together)
    manifest, out = tmp_path / "list.txt", tmp_path / "out"
    with FakeGcs() as fake:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", fake.url)
        names = [f"{number}.png" for number in range(AT_ONCE)]
        fake.service.buckets["b"] = {
            name: Stored(draw(tmp_path / name, name).read_bytes(), 1, {}, "image/png") for name in names
        }
        manifest.write_text("".join(f"gs://b/{name}\n" for name in names))
        assert run_numpy(command(str(manifest), str(out))) == 0
    assert len(list((out / "masks").rglob("*.png"))) == AT_ONCE
