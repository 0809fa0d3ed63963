"""Small shards and folders of inputs for tests."""

import io
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from maskbeam.pipeline.inputs.containers.example import make_example
from maskbeam.pipeline.inputs.containers.tfrecord import write_records


def png(shade: int = 0) -> bytes:
    stream = io.BytesIO()
    Image.new("L", (3, 2), shade).save(stream, "PNG")
    return stream.getvalue()


def write_shard(path: Path, payloads: Iterable[bytes], *, compress: bool = False) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        write_records(file, payloads, compress=compress)
    return path


def examples(count: int, *, first: int = 0) -> list[bytes]:
    numbers = range(first, first + count)
    return [make_example({"image/encoded": png(i % 256), "image/filename": f"im{i}.png"}) for i in numbers]


def write_tree(root: Path, names: Iterable[str], data: bytes = b"") -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data or png())
    return root
