"""The demo's input: drawn scenes in TFRecord shards, and their true masks beside."""

import io
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image as Pillow

from maskbeam.pipeline.commands.demo.scene_plan import Array
from maskbeam.pipeline.commands.demo.scenes import draw_scene
from maskbeam.pipeline.inputs.containers.example import make_example
from maskbeam.pipeline.inputs.containers.tfrecord import write_records

SAMPLE_MODEL = Path(__file__).parent / "sample_model" / "unet.keras"
SAMPLE_CLASSES = SAMPLE_MODEL.with_name("classes.csv")
SHARDS = 4
SIZES = ((256, 256), (240, 320), (256, 384), (384, 512))  # height, width


def scene_id(number: int) -> str:
    """The image id, and the name of the mask, of the demo's scene of this number."""
    return f"scene-{number:03}"


def draw_sample(number: int) -> tuple[Array, Array]:
    """The demo's scene of this number: picture uint8 `[H, W, 3]` and true mask uint8 `[H, W]`."""
    return draw_scene(number, *SIZES[number // SHARDS % len(SIZES)])


def write_sample(shards: Path, truth: Path, *, scenes: int = 60) -> None:
    """Writes what is missing of the sample; the same bytes each time, every file whole or not at all.

    Args:
        shards: Folder for `scenes-00000-of-00004.tfrecord` and so on, of `image/encoded` and `image/filename`.
        truth: Folder for the true masks, `scene-000.png` and so on: 8-bit grey, the pixel is the class id.
        scenes: How many scenes. Every other one is a JPEG, the rest are PNGs, in several sizes.
    """
    for folder in (shards, truth):
        folder.mkdir(parents=True, exist_ok=True)
    for index in range(SHARDS):
        shard = shards / f"scenes-{index:05}-of-{SHARDS:05}.tfrecord"
        if not shard.exists():
            with ThreadPoolExecutor() as pool:
                examples = list(pool.map(lambda number: _write_scene(number, truth), range(index, scenes, SHARDS)))
            stream = io.BytesIO()
            write_records(stream, examples)
            _write_whole(shard, stream.getvalue())


def _write_scene(number: int, truth: Path) -> bytes:
    """Draws one scene; returns its record. The truth is written first, so that no shard is without it."""
    rgb, labels = draw_sample(number)
    name, kind = scene_id(number), ("png", "jpg")[number % 2]
    _write_whole(truth / f"{name}.png", _encoded(labels, "png"))
    return make_example({"image/encoded": _encoded(rgb, kind), "image/filename": f"{name}.{kind}"})


def _encoded(pixels: Array, kind: str) -> bytes:
    stream = io.BytesIO()
    Pillow.fromarray(pixels).save(stream, {"png": "PNG", "jpg": "JPEG"}[kind], quality=95, compress_level=4)
    return stream.getvalue()


def _write_whole(path: Path, data: bytes) -> None:
    part = path.with_suffix(".part")
    part.write_bytes(data)
    os.replace(part, path)
