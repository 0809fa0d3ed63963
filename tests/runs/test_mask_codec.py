"""The format of masks is one object: they are written in it, resumed from, drawn on and verified by it alone."""

import json
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from maskbeam.pipeline.commands.clean import clean
from maskbeam.pipeline.verify.verify import verify
from maskbeam.transforms.codecs import registry
from maskbeam.transforms.codecs.codec import Fetch, Reader, Request, WritableCodec
from maskbeam.transforms.elements import Array
from tests.support.numpy_engine import command, run_numpy
from tests.support.trees import differing, draw_folder, pixels, tree_of

BEGIN, END = b"TOYMASK\n", b"\nTHE END"
LAYOUT = ">III"


class ToyMask(WritableCodec):
    """Text, size and ids of 8 bits, uncompressed."""

    def recognises(self, head: bytes) -> bool:
        return head.startswith(BEGIN)

    def open(self, data: bytes, request: Request) -> Reader:
        raise NotImplementedError

    def encode(self, pixels: Array, *, text: Mapping[str, str]) -> bytes:
        said = json.dumps(dict(text)).encode()
        return BEGIN + struct.pack(LAYOUT, len(said), *pixels.shape) + said + pixels.astype(np.uint8).tobytes() + END

    def read_text(self, head: bytes) -> dict[str, str]:
        if not self.recognises(head) or len(head) < self._start:
            return {}
        length, *_ = struct.unpack_from(LAYOUT, head, len(BEGIN))
        found: dict[str, str] = json.loads(head[self._start : self._start + length])
        return found

    def is_whole(self, fetch: Fetch, size: int) -> bool:
        return fetch(size - len(END), size) == END

    def decode(self, data: bytes) -> Array:
        if not (self.recognises(data) and data.endswith(END)):
            raise ValueError("no whole toy")
        length, height, width = struct.unpack_from(LAYOUT, data, len(BEGIN))
        return np.frombuffer(data[self._start + length : -len(END)], np.uint8).reshape(height, width)

    @property
    def _start(self) -> int:
        return len(BEGIN) + struct.calcsize(LAYOUT)


TOY = ToyMask("Toy mask", (".toy.mask",))


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "CODECS", (*registry.CODECS, TOY))
    monkeypatch.setattr(registry, "MASKS", TOY)


def differences(out: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    capsys.readouterr()
    assert verify(str(out)) in (0, 1)
    return [line for line in capsys.readouterr().out.splitlines() if line.startswith("DIFFERENT")]


def test_masks_of_another_format_are_written_resumed_from_and_verified(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, masks = tmp_path / "out", tmp_path / "out/masks"
    argv = command(str(draw_folder(tmp_path / "in", 4)), str(out), "--products", "all")
    assert run_numpy(argv) == 0
    assert sorted(path.name for path in masks.iterdir()) == [f"img{number:04}.toy.mask" for number in range(4)]
    for number in range(4):
        found = TOY.decode((masks / f"img{number:04}.toy.mask").read_bytes())
        assert np.array_equal(found, pixels(number).argmax(-1))
    assert len(list((out / "reports/samples").iterdir())) == 4
    assert differences(out, capsys) == []

    whole, times = tree_of(out), {path: path.stat().st_mtime_ns for path in masks.iterdir()}
    assert run_numpy(argv) == 0
    assert {path: path.stat().st_mtime_ns for path in masks.iterdir()} == times
    assert differing(whole, tree_of(out)) == []

    cut = masks / "img0002.toy.mask"
    cut.write_bytes(cut.read_bytes()[:-1])
    assert any("masks/img0002.toy.mask is damaged: no whole toy" in line for line in differences(out, capsys))
    assert run_numpy(argv) == 0
    assert differing(whole, tree_of(out)) == []


def test_masks_of_inputs_that_are_gone_are_cleaned(tmp_path: Path) -> None:
    inputs, out = draw_folder(tmp_path / "in", 3), tmp_path / "out"
    argv = command(str(inputs), str(out), "--products", "color")
    assert run_numpy(argv) == 0
    (inputs / "img0001.png").unlink()
    assert run_numpy(argv) == 0
    before = {path.relative_to(out) for path in out.rglob("img*")}
    assert clean(str(out), yes=True) == 0
    gone = before - {path.relative_to(out) for path in out.rglob("img*")}
    assert {"masks/img0001.toy.mask", "color/img0001.png"} <= set(map(str, gone))
    assert not any("img0000" in str(path) or "img0002" in str(path) for path in gone)


def test_a_product_is_drawn_of_masks_that_exist(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    argv = command(str(draw_folder(tmp_path / "in", 2)), str(out))
    assert run_numpy(argv) == 0
    assert run_numpy([*argv, "--products", "color"]) == 0
    assert sorted(path.name for path in (out / "color").iterdir()) == ["img0000.png", "img0001.png"]
    assert differences(out, capsys) == []
    altered = out / "masks/img0001.toy.mask"
    data = altered.read_bytes()
    altered.write_bytes(data[: -len(END) - 1] + bytes([(data[-len(END) - 1] + 1) % 3]) + END)
    assert len(differences(out, capsys)) >= 2
