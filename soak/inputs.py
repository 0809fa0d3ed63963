"""What the soak tests segment: images of several kinds and shards, some of them broken."""

import io
import random
import struct
from collections.abc import Iterable
from pathlib import Path

from maskbeam.pipeline.inputs.containers.example import make_example
from maskbeam.pipeline.inputs.containers.tfrecord import write_records
from tests.support.trees import draw


def draw_inputs(folder: Path, *, images: int = 24, records: int = 12) -> list[str]:
    """Draws images and a shard, one of each broken, and returns the patterns that mean them."""
    for number in range(images):
        draw(folder / "images" / f"part{number % 3}" / f"img{number:04}.png", number, (16, 16 + number % 2))
    (folder / "images/broken.png").write_bytes(b"<html>not found</html>")
    drawn = [draw(folder / "spare.png", -number - 1).read_bytes() for number in range(records)]
    (folder / "spare.png").unlink()
    data = shard((f"rec/{number}.png", image) for number, image in enumerate(drawn))
    place = len(data) // 2
    (folder / "shards").mkdir()
    (folder / "shards/one.tfrecord").write_bytes(data[:place] + b"\xff" + data[place + 1 :])
    return [f"{folder}/images/", f"{folder}/shards/*"]


def shard(images: Iterable[tuple[str, bytes]]) -> bytes:
    """A TFRecord shard of examples with a name and an image."""
    file = io.BytesIO()
    examples = (make_example({"image/encoded": image, "image/filename": name}) for name, image in images)
    write_records(file, examples)
    return file.getvalue()


def mutate(data: bytes, chance: random.Random) -> tuple[bytes, tuple[int, int]]:
    """Damages some bytes, by one of the ways in which files get damaged; and says which range of the old ones."""
    start = chance.randrange(len(data))
    end = min(len(data), start + chance.choice((1, 1, 2, 8, 100, 1000)))
    kind = chance.choice(("flip", "flip", "flip", "random", "zero", "ones", "cut", "drop", "repeat", "number"))
    piece = data[start:end]
    if kind == "cut":
        return data[:start], (start, len(data))
    new = {
        "flip": bytes([piece[0] ^ 1 << chance.randrange(8)]) + piece[1:],
        "random": chance.randbytes(len(piece)),
        "zero": bytes(len(piece)),
        "ones": b"\xff" * len(piece),
        "drop": b"",
        "repeat": piece + piece,
        "number": struct.pack(">I", chance.choice((0, 1, 2**16, 2**31 - 1, 2**31, 2**32 - 1)))[: len(piece)],
    }[kind]
    return data[:start] + new + data[max(end if kind != "number" else start + len(new), start) :], (start, end)
