"""Damaged images and shards by the thousand: each is accounted for, no process dies, every intact record is kept."""

import csv
import io
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

from PIL import Image as Pillow

from maskbeam.pipeline.inputs.containers.example import make_example
from maskbeam.pipeline.verify.verify import verify
from soak.children import run_child
from soak.inputs import mutate
from tests.support.numpy_engine import command
from tests.support.shard_files import write_shard
from tests.support.trees import draw, pixels

ROUND = 500
RECORDS = 8
FLAGS = ("--products", "color", "--max_failures", "100%", "--stop_after_failures", "99999999")
_KINDS: dict[str, Callable[[Path], None]] = {
    "png": lambda path: Pillow.fromarray(pixels(1, (40, 40))).save(path),
    "jpg": lambda path: Pillow.fromarray(pixels(2, (40, 40))).save(path, quality=85),
    "tif": lambda path: Pillow.fromarray(pixels(3, (40, 40))).save(path, compression="tiff_lzw"),
    "webp": lambda path: Pillow.fromarray(pixels(4, (40, 40))).save(path, lossless=True),
    "bmp": lambda path: Pillow.fromarray(pixels(5, (40, 40))).save(path),
    "gif": lambda path: Pillow.fromarray(pixels(6, (40, 40))).quantize(32).save(path),
}


def mutate_images(count: int, seed: int, folder: Path) -> int:
    """Runs over `count` mutated images, some hundreds at a time; returns how many of them still decoded."""
    folder.mkdir(parents=True)
    originals = {kind: folder / f"original.{kind}" for kind in _KINDS}
    for kind, path in originals.items():
        _KINDS[kind](path)
    still = 0
    for first in range(0, count, ROUND):
        inputs = folder / f"in{first}"
        inputs.mkdir()
        size = min(ROUND, count - first)
        for number in range(first, first + size):
            chance = random.Random(f"{seed} image {number}")
            kind = chance.choice(sorted(originals))
            data = mutate(originals[kind].read_bytes(), chance)[0]
            (inputs / f"m{number:06}.{kind}").write_bytes(data)
        draw(inputs / "good.png", "good")
        still += _run(inputs, folder / f"out{first}", folder, size + 1)["done"] - 1
    return still


def mutate_shards(count: int, seed: int, folder: Path) -> int:
    """Runs over `count` mutated shards; returns how many records they gave, after making sure that none is lost."""
    folder.mkdir(parents=True)
    given = 0
    for first in range(0, count, ROUND):
        inputs = folder / f"in{first}"
        expected: set[str] = set()
        for number in range(first, min(first + ROUND, count)):
            expected |= _mutated_shard(
                inputs / f"s{number:06}.tfrecord", number, random.Random(f"{seed} shard {number}")
            )
        ended = _run(inputs, folder / f"out{first}", folder, None, expected=expected)
        given += ended["done"]
    return given


def _mutated_shard(path: Path, number: int, chance: random.Random) -> set[str]:
    """Writes a shard, damages one range of it, and returns the ids of the records that it does not touch."""
    names = [f"{number}/{record}" for record in range(RECORDS)]
    image = _small_png(number)
    examples = [make_example({"image/encoded": image, "image/filename": name}) for name in names]
    write_shard(path, examples)
    data, (start, end) = mutate(path.read_bytes(), chance)
    path.write_bytes(data)
    at, intact = 0, set()
    for name, payload in zip(names, examples, strict=True):
        after = at + len(payload) + 16
        if after <= start or at >= end:
            intact.add(name)
        at = after
    return intact


def _small_png(number: int) -> bytes:
    stream = io.BytesIO()
    Pillow.fromarray(pixels(number % 7, (4, 4))).save(stream, "PNG")
    return stream.getvalue()


def _run(
    inputs: Path, out: Path, folder: Path, count: int | None, *, expected: set[str] | None = None
) -> dict[str, int]:
    log, before = folder / "log", {path.name for path in folder.iterdir()}
    code = run_child(command(str(inputs), str(out), *FLAGS), log=log)
    assert code == 0, f"exit code {code} over {inputs}; see {log}"
    ended: dict[str, int] = json.loads((out / "_SUCCESS").read_text())
    assert ended["inputs"] == ended["done"] + ended["failed"] + ended["duplicate"]
    assert count is None or ended["inputs"] == count, f"{ended['inputs']} of {count} inputs accounted for in {inputs}"
    if expected is not None:
        with (out / "reports/images.csv").open(newline="") as text:
            lost = expected - {row[0] for row in csv.reader(text)}
        assert not lost, f"intact records were lost from {inputs}: {sorted(lost)[:5]}"
    assert verify(str(out)) == 0, f"{out} does not verify"
    new = {path.name for path in folder.iterdir()} - before - {"log", out.name}
    assert not new, f"files appeared outside the output: {new}"
    shutil.rmtree(inputs)
    shutil.rmtree(out)
    return ended
