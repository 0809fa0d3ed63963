"""Finds out where in a model's map the pixels of its input are: shapes do not tell a map that is cut out or turned.

A blob is laid over a plane at a few places; where the map changes, that place is. Only clear evidence counts: what a
model looks at all of its input for, or a model that sees nothing, says nothing here.
"""

from collections.abc import Callable
from math import log2

import numpy as np

from maskbeam.transforms.elements import Array
from maskbeam.transforms.errors import RunError
from maskbeam.transforms.head import Head

# Where blobs lie about the middle, in sixteenths of a side: far within the middle half, and each axis moves on its
# own. More than two for each axis, as a map that is computed coarsely moves in steps.
_PLACES = np.array([(-2, -1), (-1, 2), (0, 0), (1, -2), (2, 1)])
_PARTS = 16
# A map of fewer pixels moves by less than can be told from rounding.
_LEAST_SIDE = 16
# Shares of the expected movement. What a model sees far away draws all movements towards nothing, never beyond.
_MOST_MOVED, _LEAST_TURNED, _NOTHING = 1.6, 0.6, 0.25


def check_geometry(plane: Array, mapped: Array, head: Head, values: Callable[[Array], Array]) -> None:
    """Refuses a model whose map is a cut-out of its input, or has rows for columns.

    Args:
        plane: `[H, W, C]` on a scale of 0..255.
        mapped: What the model gives for it, `[h, w, K]`, or ids `[h, w]`.
        head: How the output is read.
        values: What the model gives for planes `[N, H, W, C]`, of which the first axis is the batch.

    Raises:
        RunError: Says what helps.
    """
    h, w = mapped.shape[:2]
    is_smaller = h < plane.shape[0]
    if min(h, w) < _LEAST_SIDE or not (is_smaller or h == w):
        return
    moved = movement(values(poked(plane)) - mapped.astype(np.float64), plane.shape[:2])
    if moved is None:
        return
    if is_turned(moved):
        raise RunError(_turned((h, w), head))
    if is_smaller and is_cut(moved):
        raise RunError(_cut(plane, (h, w), moved))


def poked(plane: Array) -> Array:
    """The plane `[H, W, C]` once for each of the places, with a blob there: `[P, H, W, C]`."""
    planes = plane[None].repeat(len(_PLACES), axis=0)
    for one, (y, x) in zip(planes, _places(plane.shape[:2]), strict=True):
        side = max(2, min(plane.shape[:2]) // _PARTS)
        part = one[y - side // 2 : y - side // 2 + side, x - side // 2 : x - side // 2 + side]
        part[...] = np.where(part.mean(axis=(0, 1)) > 127, 0, 255)  # whatever differs most
    return planes


def _places(size: tuple[int, ...]) -> Array:
    places: Array = np.array(size) // 2 + _PLACES * np.array(size) // _PARTS
    return places


def movement(changes: Array, size: tuple[int, ...]) -> Array | None:
    """How the map moves with its input, `[2, 2]`: row i column j is the share of what is expected along axis i.

    Args:
        changes: What each of the blobs changed in the map, `[P, h, w, K]` or `[P, h, w]`.
        size: (H, W) of the planes.

    Returns:
        The identity where the map covers its input; None where places and changes do not go together.
    """
    centres = _centres(np.abs(changes).reshape(*changes.shape[:3], -1).sum(axis=-1))
    if centres is None:
        return None
    places = _places(size) - np.array(size) / 2
    design = np.column_stack([places, np.ones(len(places))])
    slopes, *_ = np.linalg.lstsq(design, centres, rcond=None)
    left = np.square(centres - design @ slopes).sum(axis=0)
    if (left > 0.1 * np.square(centres - centres.mean(axis=0)).sum(axis=0)).any():
        return None
    expected = np.array(changes.shape[1:3]) / np.array(size)
    return np.asarray(slopes[:2].T / expected[:, None])


def _centres(changes: Array) -> Array | None:
    """The centres `[P, 2]` of changes `[P, h, w]`; None where one of them changed nothing."""
    flat = changes.reshape(len(changes), -1)
    local = np.maximum(flat - np.median(flat, axis=1, keepdims=True), 0)
    largest = local.max(axis=1, keepdims=True)
    if not np.isfinite(largest).all() or (largest == 0).any():
        return None
    weights = np.square(local / largest)
    weights /= weights.sum(axis=1, keepdims=True)
    _, h, w = changes.shape
    rows, columns = np.divmod(np.arange(h * w), w)
    return np.column_stack([weights @ rows, weights @ columns])


def is_turned(moved: Array) -> bool:
    """True if a map's rows are its input's columns."""
    across = moved[[0, 1], [1, 0]]
    return bool(np.abs(moved.diagonal()).max() < _NOTHING and across.min() > _LEAST_TURNED)


def is_cut(moved: Array) -> bool:
    """True if a map shows a part of its input, larger than a map of all of it would."""
    along, across = moved.diagonal(), moved[[0, 1], [1, 0]]
    alike = np.ptp(along) < _NOTHING * along.max()
    return bool(along.min() > _MOST_MOVED and alike and np.abs(across).max() < _NOTHING * along.min())


def _turned(size: tuple[int, int], head: Head) -> str:
    return (
        "The model's map has its rows and columns exchanged: what moves down in the input moves to the right in the "
        f"map. {_turned_back(size, head)}."
    )


def _turned_back(size: tuple[int, int], head: Head) -> str:
    first = head.layout in ("channels_first", "flat_first")
    sides = (head.channels, *size) if first else (*size, head.channels)
    reshaped = f"Reshape({sides}) and " if head.is_flat else ""
    without = ", or Permute((2, 1)) if it has no axis of classes" if head.channels == 1 and not head.is_flat else ""
    return f"End the model in {reshaped}Permute({(1, 3, 2) if first else (2, 1, 3)}){without}"


def _cut(plane: Array, size: tuple[int, int], moved: Array) -> str:
    (height, width, channels), (h, w) = plane.shape, size
    stride = 2 ** round(log2(height / h / moved.diagonal().mean()))
    shown, border = (h * stride, w * stride), (height - h * stride) // 2
    return (
        f"The model's map of {h} x {w} shows only the middle {shown[0]} x {shown[1]} pixels of its input's {height} "
        f"x {width}, as convolutions without padding or a cropping leave it, and a map must cover its input. Pad "
        f"inside the model: keras.Sequential([keras.Input(({shown[0]}, {shown[1]}, {channels})), "
        f"keras.layers.ZeroPadding2D({border}), model])"
    )
