"""Folders of images, and output trees to compare."""

import hashlib
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from maskbeam.transforms.elements import Array


def pixels(seed: object, size: tuple[int, int] = (16, 16)) -> Array:
    digest = hashlib.blake2b(repr(seed).encode(), digest_size=8).digest()
    return np.random.default_rng(int.from_bytes(digest)).integers(9, 256, (*size, 3), np.uint8)


def draw(path: Path, seed: object, size: tuple[int, int] = (16, 16)) -> Path:
    """An image that depends on the seed alone."""
    return save(path, pixels(seed, size))


def save(path: Path, image: Array) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Pillow.fromarray(image).save(path)
    return path


def draw_folder(folder: Path, count: int, size: tuple[int, int] = (16, 16)) -> Path:
    for number in range(count):
        draw(folder / f"img{number:04}.png", number, size)
    return folder


def tree_of(folder: Path) -> dict[str, bytes]:
    """All files by path, without what belongs to single runs."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    named = {str(path.relative_to(folder)): path.read_bytes() for path in files}
    return {name: data for name, data in named.items() if not name.startswith("runs/")}


def differing(one: dict[str, bytes], other: dict[str, bytes]) -> list[str]:
    """Paths that are not the same in both: what a failed comparison should show, and not a megabyte of bytes."""
    return sorted(name for name in one | other if one.get(name) != other.get(name))
