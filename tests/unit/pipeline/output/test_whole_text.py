"""The text of a mask or product that is whole, for little of its bytes."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest

from maskbeam.pipeline.output.look_up import whole_text
from maskbeam.pipeline.storage import NotFound
from maskbeam.pipeline.storage.local_storage import LocalStorage
from maskbeam.transforms.codecs.aux_xml import Shown, encode_aux
from maskbeam.transforms.codecs.codec import TEXT_BYTES
from maskbeam.transforms.codecs.encode import encode_jpeg, encode_mask, encode_rgb
from maskbeam.transforms.codecs.geotiff import GEOTIFF
from tests.support.pictures import scene

NOISE = np.random.default_rng(0).integers(0, 250, (1500, 1500), np.uint8)
RECORD = {"maskbeam": '{"height":1500}'}
LONG = {"maskbeam": "x" * 200_000}
FILES = {
    "small PNG": encode_mask(NOISE[:90, :90], text=RECORD),
    "large PNG": encode_mask(NOISE, text=RECORD),
    "large JPEG": encode_jpeg(scene(900, 1200), text=RECORD),
    "GeoTIFF": GEOTIFF.encode(NOISE, text=RECORD),
    "colours and names": encode_aux([Shown(i, f"class {i}", (1, 2, 3)) for i in range(2000)], text=RECORD),
}


@dataclass(frozen=True)
class Counting(LocalStorage):
    """Local files, and how many bytes were asked for."""

    asked: list[int] = field(default_factory=list)

    def read(self, uri: str, *, version: str | None = None, limit: int | None = None) -> bytes:
        data = super().read(uri, version=version, limit=limit)
        self.asked.append(len(data))
        return data

    def open(self, uri: str, *, start: int = 0, end: int | None = None, version: str | None = None) -> BinaryIO:
        assert end is not None
        self.asked.append(end - start)
        return super().open(uri, start=start, end=end, version=version)


@pytest.mark.parametrize("name", FILES)
def test_the_text_of_a_whole_file_costs_a_head_and_little_more(name: str, tmp_path: Path) -> None:
    storage, data = Counting(), FILES[name]
    path = tmp_path / "file"
    path.write_bytes(data)
    assert whole_text(storage, str(path)) == RECORD
    assert sum(storage.asked) <= min(len(data), TEXT_BYTES) + 2000
    for size in (0, 20, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:size])
        assert whole_text(storage, str(path)) == {}


@pytest.mark.parametrize(
    "data",
    [encode_rgb(scene(), text=LONG), encode_mask(NOISE, text=LONG), GEOTIFF.encode(NOISE, text=LONG)],
    ids=["RGB", "PNG", "GeoTIFF"],
)
def test_a_text_that_is_longer_than_the_head_is_found(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    assert whole_text(LocalStorage(), str(path)) == LONG
    path.write_bytes(data[:-1])
    assert whole_text(LocalStorage(), str(path)) == {}


def test_a_file_of_others_has_none(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 300_000)
    assert whole_text(LocalStorage(), str(path)) == {}
    with pytest.raises(NotFound):
        whole_text(LocalStorage(), f"{path}2")
