"""A format is one object in the registry: with it alone its files are listed, decoded, segmented and verified."""

import csv
import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from maskbeam.pipeline.guards.child_decoder import IsolatedDecoder
from maskbeam.pipeline.guards.decoder import safe_decoder
from maskbeam.pipeline.inputs.containers.example import make_example
from maskbeam.pipeline.inputs.find_inputs import Listing
from maskbeam.pipeline.job.check_channels import check_channels
from maskbeam.pipeline.options import ReadOptions
from maskbeam.pipeline.verify.verify import verify
from maskbeam.transforms.codecs import registry
from maskbeam.transforms.codecs.codec import Codec, Reader, Request, Samples, too_large
from maskbeam.transforms.codecs.decode import decode
from maskbeam.transforms.codecs.encode import decode_mask
from maskbeam.transforms.elements import Array, Grid, Region
from maskbeam.transforms.errors import Code, ImageError, RunError
from tests.support.numpy_engine import command, run_numpy
from tests.support.pictures import encoded
from tests.support.shard_files import write_shard
from tests.support.small_runs import planned
from tests.support.trees import differing, draw, pixels, tree_of

BEGIN = b"TOY of two bands and one more\n"
SIZE = (14, 19)
GRID = Grid("EPSG:32633", (10.0, 0.0, 500_000.0, 0.0, -10.0, 5_500_000.0))


def toy(picture: Array) -> bytes:
    """A file of our toy format: the size, and the colours one after another."""
    height, width, _ = picture.shape
    return BEGIN + struct.pack(">II", height, width) + picture.transpose(2, 0, 1).tobytes()


class ToyReader(Reader):
    grid = GRID

    bands = 3

    def __init__(self, data: bytes) -> None:
        height, width = struct.unpack_from(">II", data, len(BEGIN))
        self._data, self.size = data, (height, width)

    def read(self, region: Region | None = None) -> Samples:
        height, width = self.size
        values = np.frombuffer(self._data, np.uint8, offset=len(BEGIN) + 8)
        if values.size != 3 * height * width:
            raise ImageError(Code.UNREADABLE, "the toy is cut short")
        whole = Samples(values.reshape(3, height, width).transpose(1, 2, 0))
        return whole if region is None else whole.within(region)


class Toy(Codec):
    def recognises(self, head: bytes) -> bool:
        return head.startswith(BEGIN)

    def open(self, data: bytes, request: Request) -> Reader:
        reader = ToyReader(data)
        if np.prod(reader.size) > request.max_pixels:
            raise too_large(int(np.prod(reader.size)), request.max_pixels)
        return reader


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The toy is registered."""
    monkeypatch.setattr(registry, "CODECS", (*registry.CODECS, Toy("Toy", (".toy.gz", ".toy"))))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Toys by each extension and by content alone, one in a shard, one cut short, an image of another format."""
    folder = tmp_path / "in"
    draw(folder / "plain.png", "plain", SIZE)
    for name in ("one.toy", "two.2024.toy.gz", "THREE.Toy", "without", "unknown.bin"):
        (folder / name).write_bytes(toy(pixels(name, SIZE)))
    (folder / "cut.toy").write_bytes(toy(pixels("cut", SIZE))[:-1])
    (folder / "left.out").write_bytes(gzip.compress(b"no toy"))
    record = make_example({"image/encoded": toy(pixels("record", SIZE)), "image/filename": b"record.toy.gz"})
    write_shard(folder / "z.tfrecord", [record])
    return folder


def rows(out: Path, name: str) -> list[dict[str, str]]:
    with open(out / "reports" / name, newline="") as file:
        return list(csv.DictReader(file))


IDS = {
    "plain": "plain",
    "one": "one.toy",
    "two.2024": "two.2024.toy.gz",
    "THREE": "THREE.Toy",
    "without": "without",
    "unknown": "unknown.bin",
    "record": "record",
}


@pytest.mark.usefixtures("toys")
def test_files_are_found_by_extension_and_by_content(images: Path) -> None:
    listing = Listing((str(images),), ReadOptions(patterns=(str(images),)))
    assert {found.entry.image_id for found in listing} == {*IDS, "cut", "z"} - {"record"}


@pytest.mark.usefixtures("toys")
def test_the_decoder_asks_the_format_for_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = pixels("asked", SIZE)
    found = decode(encoded(toy(picture)), upright=True)
    assert np.array_equal(found.pixels, picture)
    assert (found.origin.size, found.origin.grid) == (SIZE, GRID)
    monkeypatch.setattr(ToyReader, "orientation", 3)
    assert decode(encoded(toy(picture))).origin.grid == GRID
    turned = decode(encoded(toy(picture)), upright=True)
    assert np.array_equal(turned.pixels, picture[::-1, ::-1])
    assert turned.origin.grid is None
    with pytest.raises(ImageError, match="TOO_LARGE: it has 266 pixels and --max_pixels is 265"):
        decode(encoded(toy(picture)), max_pixels=265)
    with pytest.raises(ImageError, match="UNREADABLE: the toy is cut short"):
        decode(encoded(toy(picture)[:-3]))
    with pytest.raises(ImageError, match="not those of a JPEG, PNG, TIFF, WebP, BMP, GIF or Toy file"):
        decode(encoded(toy(picture)[1:]))


def test_channels_that_a_format_may_have_are_no_reason_to_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(tmp_path / "plain/a.png", "a")
    (tmp_path / "toys").mkdir()
    (tmp_path / "toys/a.toy").write_bytes(toy(pixels("a", SIZE)))
    monkeypatch.setattr(registry, "CODECS", (*registry.CODECS, Toy("Toy", (".toy",), channels=frozenset({3, 7}))))
    check_channels(7, ReadOptions(patterns=(f"{tmp_path}/toys",)))
    with pytest.raises(RunError, match="image files only, and those give 1 or 3: "):
        check_channels(7, ReadOptions(patterns=(f"{tmp_path}/plain",)))
    with pytest.raises(RunError, match="and those give 1 or 3 or 7: "):
        check_channels(5, ReadOptions(patterns=(str(tmp_path),)))


@pytest.mark.usefixtures("toys")
def test_a_run_a_rerun_reports_and_verify_know_it_by_its_object_alone(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    argv = command(str(images), str(out), "--products", "all", "--max_failures", "2")
    assert run_numpy(argv) == 0
    for image_id, seed in IDS.items():
        mask = decode_mask((out / f"masks/{image_id}.png").read_bytes())
        assert np.array_equal(mask, pixels(seed, SIZE).argmax(-1)), image_id
    assert {row["id"]: (row["height"], row["width"]) for row in rows(out, "images.csv")} == dict.fromkeys(
        IDS, ("14", "19")
    )
    [failure] = (out / "reports/failures.jsonl").read_text().splitlines()
    assert '"UNREADABLE"' in failure
    assert "the toy is cut short" in failure

    before = tree_of(out)
    assert run_numpy(argv) == 0
    assert differing(before, tree_of(out)) == []
    capsys.readouterr()
    assert verify(str(out)) == 0
    assert "DIFFERENT" not in capsys.readouterr().out


def test_libraries_that_formats_need_are_imported_before_children_are_forked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = planned(draw(tmp_path / "in/a.png", "a").parent, tmp_path / "out", "--isolate_decoding").job
    toys = [Toy(name, (f".{name}",), modules=modules) for name, modules in (("a", ("x", "y")), ("b", ("y",)))]
    monkeypatch.setattr(registry, "CODECS", (*registry.CODECS, *toys))
    decoder = safe_decoder(job)
    assert isinstance(decoder, IsolatedDecoder)
    assert decoder.modules == ("x", "y")


def test_without_its_object_nothing_knows_it(images: Path, tmp_path: Path) -> None:
    listing = Listing((str(images),), ReadOptions(patterns=(str(images),)))
    assert {found.entry.image_id for found in listing} == {"plain", "z"}
    with pytest.raises(ImageError, match="UNREADABLE: its bytes are not those of a JPEG, PNG, TIFF"):
        decode(encoded(toy(pixels("one", SIZE))))
