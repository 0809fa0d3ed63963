"""The image files of one image, beside its mask."""

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from maskbeam.transforms.classes.palettes import Color
from maskbeam.transforms.codecs.encode import (
    NO_TEXT,
    encode_binary,
    encode_confidence,
    encode_jpeg,
    encode_palette,
    encode_rgb,
)
from maskbeam.transforms.elements import Array, Labels
from maskbeam.transforms.products.binarize import binarize
from maskbeam.transforms.products.colorize import colorize, make_palette
from maskbeam.transforms.products.overlay import overlay

# What storage, shells and format strings trip over, and the two signs that mark an escape here.
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff/\\:*?\"<>|{}%~]|^[. ]|[. ]$")
_LONGEST = 60


@dataclass(frozen=True)
class Rendering:
    """Which files are drawn of an image beside its mask, and how.

    Attributes:
        products: Any of `color`, `binary`, `overlay` and `confidence`; of planes only `binary` and `confidence`.
        colors: Red, green and blue of each class, by id, in the order of channels.
        binary: Id and name of each class that gets binary masks (of planes also its confidence), any text.
        opacity: Of overlays, from 0, the image alone, to 1, the colours alone.
        ignore_label: Id of pixels that no class owns.
    """

    products: frozenset[str]
    colors: Mapping[int, Color]
    binary: tuple[tuple[int, str], ...]
    opacity: float = 0.5
    ignore_label: int = 255

    @cached_property
    def palette(self) -> Array:
        """Uint8 `[256, 3]`, or `[65536, 3]`: colours by id."""
        return make_palette(self.colors)

    @cached_property
    def folders(self) -> tuple[tuple[int, int, str], ...]:
        """Channel, id and folder name of each class of `binary`."""
        channels = {class_id: channel for channel, class_id in enumerate(self.colors)}
        ids, names = [i for i, _ in self.binary], class_folders(self.binary)
        return tuple((channels[i], i, name) for i, name in zip(ids, names, strict=True))


def patterns(rendering: Rendering, *, planes: bool = False) -> list[str]:
    """The paths of the files that `render` draws, `{}` standing for the image's encoded id.

    Args:
        rendering: What is drawn.
        planes: Whether of planes and not of a label map.
    """
    one = {"color": "color/{}.png", "overlay": "overlay/{}.jpg", "confidence": "confidence/{}.png"}
    by_class = {"binary"} | ({"confidence"} if planes else set())
    folders = [folder for _, _, folder in rendering.folders]
    several = [f"{kind}/{folder}/{{}}.png" for kind in sorted(rendering.products & by_class) for folder in folders]
    return [*(one[kind] for kind in sorted(rendering.products - by_class)), *several]


def bytes_to_draw(products: frozenset[str], *, planes: int = 0) -> int:
    """What labels and files of one pixel take at their peak, in bytes, beside the image that overlays are drawn on.

    Measured: 2.2 and, of uint16 labels, 6.0 for the mask alone, 12 with confidence, 21 with an overlay, 24 with all.

    Args:
        products: What is drawn beside the mask.
        planes: How many classes that are independent, each with a plane of its own; 0 of a label map.
    """
    drawn = 24 if "overlay" in products else 12 if "confidence" in products else 6
    return drawn + planes * (3 if "confidence" in products else 1)


def class_folders(names: Sequence[tuple[int, str]]) -> list[str]:
    """Folder names for classes: safe on every storage, and distinct even where letter case is folded.

    Characters that storage, shells or format strings trip over become `%XX`; a name that is empty, long or the same
    as another's gets `~ID` behind it.

    Args:
        names: Id and name of each class.

    Returns:
        A folder name for each.
    """
    safe = [_UNSAFE.sub(_escaped, name) for _, name in names]
    times = Counter(map(_folded, safe))
    clear = [bool(name) and len(name) <= _LONGEST and times[_folded(name)] == 1 for name in safe]
    marked = [f"{name[:_LONGEST]}~{i}" for name, (i, _) in zip(safe, names, strict=True)]
    return [name if is_clear else other for name, is_clear, other in zip(safe, clear, marked, strict=True)]


def _escaped(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8", "surrogatepass"))


def _folded(folder: str) -> str:
    return unicodedata.normalize("NFC", folder).casefold()


def render(labels: Labels, rendering: Rendering, *, text: Mapping[str, str] = NO_TEXT) -> dict[str, bytes]:
    """Draws all products of one image but its mask.

    Args:
        labels: Label map `[H, W]`, or planes `[C, H, W]`.
        rendering: What to draw, and how.
        text: Put into every file.

    Returns:
        Files by their path below the output, `{}` standing for the image's encoded id.

    Raises:
        ValueError: A product is asked for whose image or confidence was not kept.
        ImageError: `TOO_LARGE` for an overlay of more than 65535 pixels a side.
    """
    if labels.are_planes:
        return _render_planes(labels, rendering, text)
    files = {}
    if "color" in rendering.products:
        files["color/{}.png"] = _color(labels.pixels, rendering.palette, text)
    if "binary" in rendering.products:
        for _, class_id, folder in rendering.folders:
            files[f"binary/{folder}/{{}}.png"] = encode_binary(binarize(labels.pixels, class_id), text=text)
    if "overlay" in rendering.products:
        image, opacity, ignore = _held(labels.image, "overlay"), rendering.opacity, rendering.ignore_label
        drawn = overlay(image, labels.pixels, rendering.palette, opacity=opacity, ignore=ignore)
        files["overlay/{}.jpg"] = encode_jpeg(drawn, text=text)
    if "confidence" in rendering.products:
        files["confidence/{}.png"] = encode_confidence(_held(labels.confidence, "confidence"), text=text)
    return files


def _held(array: Array | None, product: str) -> Array:
    if array is None:
        raise ValueError(f"the product {product} was asked for, but what it draws on was not kept")
    return array


def _color(labels: Array, palette: Array, text: Mapping[str, str]) -> bytes:
    if labels.dtype == np.uint8:
        return encode_palette(labels, palette, text=text)
    return encode_rgb(colorize(labels, palette), text=text)


def _render_planes(labels: Labels, rendering: Rendering, text: Mapping[str, str]) -> dict[str, bytes]:
    files = {}
    for channel, _, folder in rendering.folders:
        if "binary" in rendering.products:
            files[f"binary/{folder}/{{}}.png"] = encode_binary(labels.pixels[channel], text=text)
        if "confidence" in rendering.products:
            sure = _held(labels.confidence, "confidence")[channel]
            files[f"confidence/{folder}/{{}}.png"] = encode_confidence(sure, text=text)
    return files
