"""From samples of any type to pixels on a scale of 0..255, by stated rules and never by an image's own extremes."""

import numpy as np

from maskbeam.transforms.elements import Array
from maskbeam.transforms.errors import Code, ImageError

_UINT16_RANGE = (0.0, 65535.0)


def to_byte_scale(values: Array, input_range: tuple[float, float] | None = None) -> Array:
    """Puts samples on the 0..255 scale: `(v - low) / (high - low) * 255`, float32; uint8 is returned as it is.

    Args:
        values: `[H, W, C]`, integers or floats.
        input_range: The samples' range (low, high). Without it uint16 spans 0..65535. Has no effect on uint8.

    Raises:
        ImageError: BAD_VALUE_RANGE for samples outside the range, for NaN, and for types that have no range of their
            own (float, signed, 32-bit) when none is given. Nothing is clipped.
    """
    if values.dtype == np.uint8:
        return values
    if input_range is None and (values.dtype.kind, values.dtype.itemsize) != ("u", 2):
        raise ImageError(
            Code.BAD_VALUE_RANGE,
            f"its samples are {values.dtype.name}, which has no natural range: give --input_range",
        )
    low, high = input_range or _UINT16_RANGE
    least, most = values.min(), values.max()
    if np.isnan(least):
        raise ImageError(Code.BAD_VALUE_RANGE, "among its samples there are NaN")
    if not (low <= least and most <= high):
        raise ImageError(
            Code.BAD_VALUE_RANGE,
            f"its samples span {least:g} to {most:g}, and the declared range is {low:g} to {high:g}",
        )
    # Computed in double and rounded once for each step, without an array of doubles.
    pixels = np.empty(values.shape, np.float32)
    np.subtract(values, low, out=pixels, dtype=np.float64, casting="unsafe")
    return np.divide(pixels, (high - low) / 255, out=pixels, dtype=np.float64, casting="unsafe")


def is_opaque(alpha: Array | None) -> bool:
    """True if no pixel shows what is behind it; alpha `[H, W, 1]` as in `on_background`."""
    return alpha is None or bool((alpha == (255 if alpha.dtype == np.uint8 else 1)).all())


def on_background(pixels: Array, alpha: Array | None, background: tuple[int, int, int]) -> Array:
    """Composites pixels over a background colour: `(pixel * alpha + background * (1 - alpha))`, rounded for uint8.

    Args:
        pixels: `[H, W, C]` on the 0..255 scale, C = 1 or 3, uint8 or float32.
        alpha: `[H, W, 1]`, uint8 with 255 = opaque beside uint8 pixels, else float32 with 1 = opaque; None = opaque.
        background: Red, green, blue. A grey image stays grey on a grey background and becomes colour on another.

    Returns:
        `[H, W, C]` of the pixels' type.
    """
    if alpha is None or is_opaque(alpha):
        return np.ascontiguousarray(pixels)
    if len(set(background)) == 1:
        background = background[: pixels.shape[2]]  # type: ignore[assignment]
    if pixels.dtype == np.uint8:
        behind = np.asarray(background, np.uint16) * (255 - alpha) + np.uint16(127)
        mixed: Array = ((pixels * alpha.astype(np.uint16) + behind) // 255).astype(np.uint8)
    else:
        mixed = pixels * alpha + np.asarray(background, np.float32) * (1 - alpha)
    return mixed
