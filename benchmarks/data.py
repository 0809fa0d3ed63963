"""The benchmark's inputs: seeded, drawn and cut here, so that everybody measures the same work."""

import io
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from maskbeam.pipeline.commands.demo.scenes import draw_scene
from maskbeam.pipeline.inputs.containers.example import make_example
from maskbeam.pipeline.inputs.containers.tfrecord import write_records
from maskbeam.transforms.elements import Array

Size = tuple[int, int]
PER_SHARD = 400
# Photographs of this size from a camera or a data set have about this quality: 50 kB for 480 x 360.
JPEG_QUALITY = 90
_SCENES, _DRAWN = 12, 720


def photographs(sizes: Iterable[Size], *, seed: int = 0) -> Iterator[bytes]:
    """JPEG files of the given sizes (height, width): windows of a few drawn scenes, some mirrored."""
    rng, sizes = np.random.default_rng(seed), list(sizes)
    scenes = _scenes((2 * max(height for height, _ in sizes), 2 * max(width for _, width in sizes)), seed)
    for height, width in sizes:
        scene = scenes[rng.integers(len(scenes))]
        top, left = (rng.integers(side - cut + 1) for side, cut in zip(scene.shape, (height, width), strict=False))
        window = scene[top : top + height, left : left + width]
        yield to_jpeg(window[:, :: int(rng.choice((-1, 1)))])


def _scenes(size: Size, seed: int) -> list[Array]:
    """Scenes to cut windows out of, which costs nothing; drawing costs 0.2 s for each of 720 x 960."""
    if size[0] <= _DRAWN:
        return [draw_scene(seed + i, *size)[0] for i in range(_SCENES)]
    # Minutes and gigabytes otherwise: large ones are drawn small and enlarged.
    small = (_DRAWN, _DRAWN * size[1] // size[0])
    return [np.asarray(Pillow.fromarray(draw_scene(seed + i, *small)[0]).resize(size[::-1])) for i in range(2)]


def to_jpeg(pixels: Array) -> bytes:
    """The file of pixels uint8 `[H, W, 3]`."""
    file = io.BytesIO()
    Pillow.fromarray(np.ascontiguousarray(pixels)).save(file, "JPEG", quality=JPEG_QUALITY)
    return file.getvalue()


def write_shards(folder: Path, files: Iterable[bytes], *, per_shard: int = PER_SHARD) -> Path:
    """Writes images into TFRecord shards of `folder`, unless they are there; the folder."""
    done = folder / "_DONE"
    if done.exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    numbered = enumerate(files)
    shard = 0
    while records := [
        make_example({"image/encoded": data, "image/filename": f"{number:06}.jpg"})
        for number, data in islice(numbered, per_shard)
    ]:
        with (folder / f"images-{shard:05}.tfrecord").open("wb") as stream:
            write_records(stream, records)
        shard += 1
    done.touch()
    return folder


def mixed_sizes(count: int, *, seed: int = 1) -> list[Size]:
    """A hundred sizes between 200 and 800 pixels a side, none of an extreme shape."""
    rng = np.random.default_rng(seed)
    heights = rng.integers(200, 800, 100)
    sizes = [(int(h), int(h * rng.uniform(0.75, 1.4))) for h in heights]
    return [sizes[i % len(sizes)] for i in range(count)]
