"""A reference and labels brought together: the same pixels, and the same numbers for the same classes."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from maskbeam.transforms.classes.class_table import LARGEST_ID, ClassTable
from maskbeam.transforms.codecs.pillow_samples import turned_upright
from maskbeam.transforms.comparison.pairing import Pairing
from maskbeam.transforms.comparison.reference import ReferencePixels
from maskbeam.transforms.comparison.values import Meaning, Values
from maskbeam.transforms.elements import Array
from maskbeam.transforms.errors import Code, ImageError

Size = tuple[int, int]
# Of EXIF orientations all but the two quarter turns are undone by themselves.
_BACK = {6: 8, 8: 6}
# One side of a mask that was made at another scale is at most so many times the other's.
_MOST = 16


def index_type(count: int) -> np.dtype[Any]:
    """The type that indexes of `count` classes, 0 to `count - 1`, and `count` itself for none are held in."""
    return np.dtype(np.uint8 if count <= 255 else np.uint16 if count <= 65535 else np.int32)


@dataclass(frozen=True)
class Alignment:
    """The meaning of pixels in references and in labels; made once for a comparison.

    Attributes:
        pairing: What values and colours of references stand for.
        values: Whether numbers are ids, colours or binary.
        ours: Ids of the model's classes, in the table's order.
        upright: Whether references are drawn as EXIF says that photos are to be seen, whatever their size says.
    """

    pairing: Pairing
    values: Values
    ours: tuple[int, ...]
    upright: bool = False

    @classmethod
    def of(cls, pairing: Pairing, values: Values, table: ClassTable, *, upright: bool = False) -> "Alignment":
        """The alignment of references with labels of this table."""
        return cls(pairing, values, table.ids, upright)

    @property
    def unknown(self) -> int:
        """The index of what is neither a class nor ignored."""
        return self.pairing.count + 1

    @cached_property
    def of_ids(self) -> Array:
        """Index of each value 0..65535 of a reference."""
        return self._table(self.pairing.ids)

    @cached_property
    def of_binary(self) -> Array:
        """The same where 0 and 255 stand for two classes."""
        return self._table(dict(zip((0, 255), self.pairing.in_order, strict=True)))

    @cached_property
    def of_colors(self) -> tuple[Array, Array]:
        """Colours as numbers, sorted, and the index of each."""
        known = sorted((_number(color), at) for color, at in self.pairing.colors.items())
        return np.array([color for color, _ in known]), self._indexes([at for _, at in known])

    @cached_property
    def of_labels(self) -> Array:
        """Index of each id 0..65535 of a label map; C for what is no class."""
        table = np.full(LARGEST_ID + 1, self.pairing.count, index_type(self.pairing.count))
        table[list(self.ours)] = np.arange(len(self.ours))
        return table

    def _table(self, indexes: dict[int, int]) -> Array:
        table = np.full(LARGEST_ID + 1, self.unknown, index_type(self.unknown))
        table[list(indexes)] = list(indexes.values())
        return table

    def _indexes(self, values: list[int]) -> Array:
        return np.array(values, index_type(self.unknown))


def align(reference: ReferencePixels, how: Alignment, labels: Array, orientation: int = 1) -> tuple[Array, Array]:
    """Brings a reference and labels together. The reference is never resized: labels are, by nearest neighbour.

    Args:
        reference: The reference, of any size that is the labels' own at some scale.
        how: What pixels mean.
        labels: Class ids `[H, W]`, uint8 or uint16, as the image is stored.
        orientation: That of EXIF, 1 to 8. A reference that was drawn on the upright photo is turned back: where its
            sides tell, or `how` says so.

    Returns:
        Class indexes of the reference and of the labels, `[h, w]` of the reference's size and `index_type`; C, the
        number of classes, where the reference is ignored, or the labels are of no class.

    Raises:
        ImageError: REFERENCE_SIZE or REFERENCE_VALUE.
    """
    height, width = labels.shape
    reference = _turned_back(reference, (height, width), orientation, how.upright)
    if not is_scaled(reference.size, (height, width)):
        raise ImageError(
            Code.REFERENCE_SIZE,
            f"the reference has {_said(reference.size)} pixels, the mask {_said((height, width))}: that is no other "
            "scale of it",
        )
    return reference_indexes(reference, how), how.of_labels.take(nearest(labels, reference.size))


def reference_indexes(reference: ReferencePixels, how: Alignment) -> Array:
    """Class indexes `[h, w]` of a reference; C where it is ignored.

    Raises:
        ImageError: REFERENCE_VALUE: a value or colour is neither a class nor ignored; says which, and in how many
            pixels.
    """
    pixels, palette = reference.pixels, reference.palette
    told: Callable[[int], str] = "value {}".format
    if reference.is_color:
        indexes, told = _of_colors(_numbers(pixels), how), _hex
    elif palette is not None and how.values.palette is Meaning.COLORS:
        table = np.full(256, how.unknown, index_type(how.unknown))
        table[: len(palette)] = _of_colors(_numbers(palette), how)
        indexes, told = table.take(pixels), _place_in(palette)
    else:
        meaning = how.values.grey if palette is None else how.values.palette
        indexes = _of_numbers(pixels, how.of_binary if meaning is Meaning.BINARY else how.of_ids, how)
    strange = indexes == how.unknown
    if strange.any():
        raise _unknown(_numbers(pixels)[strange] if reference.is_color else pixels[strange], told)
    return indexes.astype(index_type(how.pairing.count), copy=False)


def is_scaled(size: Size, other: Size) -> bool:
    """True if two images, of these heights and widths, may show the same at two scales.

    Sides that differ alone are no scale: that is what cutting and padding leave.
    """
    if size == other:
        return True
    small, large = sorted((size, other))
    if not all(a < b <= _MOST * a for a, b in zip(small, large, strict=True)):
        return False
    # Some scale rounds both large sides to the small ones, up or down.
    (h, w), (H, W) = small, large
    return (h - 1) * W < (w + 1) * H and (w - 1) * H < (h + 1) * W


def nearest(pixels: Array, size: Size) -> Array:
    """Pixels `[H, W]` at another height and width: each is the one whose area holds its centre."""
    if pixels.shape == size:
        return pixels
    rows, columns = ((2 * np.arange(to) + 1) * of // (2 * to) for of, to in zip(pixels.shape, size, strict=True))
    found: Array = pixels[rows[:, np.newaxis], columns]
    return found


def _turned_back(reference: ReferencePixels, stored: Size, orientation: int, upright: bool) -> ReferencePixels:
    lies_across = orientation >= 5 and not is_scaled(reference.size, stored)
    if orientation == 1 or not (upright or (lies_across and is_scaled(reference.size[::-1], stored))):
        return reference
    pixels = turned_upright(reference.pixels, _BACK.get(orientation, orientation))
    return ReferencePixels(np.ascontiguousarray(pixels), reference.palette)


def _of_numbers(pixels: Array, table: Array, how: Alignment) -> Array:
    indexes: Array = table.take(pixels, mode="clip")
    if pixels.dtype.itemsize > 2 or pixels.dtype.kind == "i":
        indexes[(pixels < 0) | (pixels > LARGEST_ID)] = how.unknown
    return indexes


def _of_colors(numbers: Array, how: Alignment) -> Array:
    """Indexes of colours; neighbours are mostly of one colour, and each run of them is looked up once."""
    flat, (known, indexes) = numbers.reshape(-1), how.of_colors
    starts = np.flatnonzero(np.concatenate(([True], flat[1:] != flat[:-1])))
    colors = flat[starts]
    at = np.minimum(np.searchsorted(known, colors), len(known) - 1)
    found: Array = np.where(known[at] == colors, indexes[at], indexes.dtype.type(how.unknown))
    return np.repeat(found, np.diff(starts, append=len(flat))).reshape(numbers.shape)


def _numbers(colors: Array) -> Array:
    """Colours `[..., 3]` as numbers: `0xrrggbb`."""
    red, green, blue = (colors[..., i].astype(np.int32) for i in range(3))
    return red << 16 | green << 8 | blue


def _number(color: tuple[int, int, int]) -> int:
    red, green, blue = color
    return red << 16 | green << 8 | blue


def _unknown(values: Array, told: Callable[[int], str]) -> ImageError:
    distinct, counts = np.unique(values, return_counts=True)
    most = int(counts.argmax())
    more = f", and {len(distinct) - 1} more such values" if len(distinct) > 1 else ""
    pixels = "1 pixel" if counts[most] == 1 else f"{counts[most]} pixels"
    return ImageError(
        Code.REFERENCE_VALUE,
        f"the reference holds {told(int(distinct[most]))} in {pixels}{more}, which is neither a class nor ignored",
    )


def _hex(color: int) -> str:
    return f"colour #{color:06x} {(color >> 16, color >> 8 & 255, color & 255)}"


def _place_in(palette: Array) -> Callable[[int], str]:
    def told(place: int) -> str:
        held = f", {_hex(int(_numbers(palette[place])))}" if place < len(palette) else ", which its palette lacks"
        return f"palette index {place}{held}"

    return told


def _said(size: Size) -> str:
    return f"{size[1]} x {size[0]}"
