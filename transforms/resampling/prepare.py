"""Images become what the model takes: its channels, its size, values still on the 0..255 scale."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import PIL.Image

from maskbeam.transforms.elements import Array, Image, ModelInput, Placement, Region
from maskbeam.transforms.errors import Code, ImageError
from maskbeam.transforms.lookahead import LookAhead
from maskbeam.transforms.resampling.resize import FILTERS, resize_pillow

# Beyond these a squeezed image holds little of what training saw, and the user has to say that it is meant.
MAX_REDUCTION = 16
MAX_ASPECT_CHANGE = 1.5


@dataclass(frozen=True)
class InputSpec:
    """The model's input: its size, its channels and how images are brought to it.

    Attributes:
        height: Rows of the model's input; None = free, which only `native` can fill. Of `tile` those of a window.
        width: Columns of the model's input; None = free.
        channels: 1, 3, or any other number for raw tensors.
        resize: `stretch` to the model's size, whatever the aspect; `letterbox`, as `tf.image.resize_with_pad` does:
            aspect kept, centred, zeros around; `native`: the image's own size, reflected at the bottom and the
            right up to a multiple of `stride`; or `tile`: a window of the model's size at the image's own resolution,
            likewise reflected where the image is smaller.
        resize_filter: A name in `maskbeam.transforms.resampling.resize.FILTERS`; `native` and `tile` need none.
        stride: What the sides of a free input must be multiples of.
        resize_named: The user asked for `stretch` by name, so that no image is refused for its size or aspect.
    """

    height: int | None
    width: int | None
    channels: int = 3
    resize: str = "stretch"
    resize_filter: str = "tf"
    stride: int = 1
    resize_named: bool = False

    @property
    def pixels(self) -> int | None:
        """Of a plane; None where its size is free."""
        return self.height * self.width if self.height and self.width else None


def prepare(image: Image, spec: InputSpec, *, keep_image: bool = False) -> ModelInput:
    """Fits an image to the model.

    Grey is repeated for a model of three channels; colour becomes grey by ITU-R 601 luma, as Pillow does it, for a
    model of one. The plane is float32 after TensorFlow's filter and letterboxing by it; uint8 pixels that need no
    resizing, or another filter, stay uint8.

    Args:
        image: Pixels `[H, W, C]`, uint8 or float32.
        spec: How the model is fed.
        keep_image: Whether a product draws on the image: `ModelInput.image` is then `[H, W, C]` uint8 in full size.

    Raises:
        ImageError: BAD_CHANNELS, or BAD_SHAPE for an image that `stretch` would distort beyond use.
    """
    pixels = _in_channels(image.pixels, spec.channels)
    plane, placement = _RESIZES[spec.resize](pixels, image.region.size, spec)
    if plane.shape[2] != spec.channels:
        plane = np.repeat(plane, spec.channels, axis=2)
    drawn_on = drawable(image) if keep_image else None
    return ModelInput(image.origin, image.region, placement, plane, drawn_on)


def middle_window(image: Image, spec: InputSpec) -> Image:
    """The window in the middle of an image that is to be cut into windows: an example of them; else all of it."""
    if spec.resize != "tile":
        return image
    height, width = (min(side, own) for side, own in zip(_model_size(spec), image.region.size, strict=True))
    top, left = (image.region.height - height) // 2, (image.region.width - width) // 2
    return part_of(image, Region(top, left, height, width))


def part_of(image: Image, region: Region) -> Image:
    """A region of an image that was decoded as a whole, at its full scale; a view."""
    rows = slice(region.top, region.top + region.height)
    columns = slice(region.left, region.left + region.width)
    valid = None if image.valid is None else image.valid[rows, columns]
    return Image(image.origin, region, image.pixels[rows, columns], valid)


def _in_channels(pixels: Array, channels: int) -> Array:
    """Pixels with the model's channels, or with one where it wants three: that is repeated after resizing."""
    held = pixels.shape[2]
    if held == channels or (held, channels) == (1, 3):
        return pixels
    if (held, channels) != (3, 1):
        raise ImageError(Code.BAD_CHANNELS, _other_channels(held, channels))
    if pixels.dtype == np.uint8:
        return np.asarray(PIL.Image.fromarray(pixels).convert("L"))[..., np.newaxis]
    return pixels @ np.array([[0.299], [0.587], [0.114]], np.float32)


def _other_channels(held: int, channels: int) -> str:
    if held > 1:
        return f"it has {held} channels and the model takes {channels}"
    # Braces that a shell has taken for its own become an input for each band.
    return f"it has 1 band and the model takes {channels}; if bands are files of their own, put the pattern in quotes"


def drawable(image: Image) -> Array:
    """The pixels `[H, W, C]` that overlays draw on: uint8, in the full size of the region."""
    pixels = as_uint8(image.pixels)
    return resize_pillow(pixels, *image.region.size) if image.is_reduced else pixels


def as_uint8(pixels: Array) -> Array:
    """Pixels `[H, W, C]` of 0..255 as the nearest of 8 bits."""
    return pixels if pixels.dtype == np.uint8 else np.rint(pixels).astype(np.uint8)


def _stretch(pixels: Array, size: tuple[int, int], spec: InputSpec) -> tuple[Array, Placement]:
    height, width = _model_size(spec)
    if not spec.resize_named:
        _check_distortion(size, (height, width))
    return _filtered(pixels, height, width, spec), Placement(*size, height, width, 0, 0, height, width)


def _check_distortion(size: tuple[int, int], model: tuple[int, int]) -> None:
    reduction = size[0] * size[1] / (model[0] * model[1])
    aspect = (size[1] * model[0]) / (size[0] * model[1])
    if reduction > MAX_REDUCTION or max(aspect, 1 / aspect) > MAX_ASPECT_CHANGE:
        raise ImageError(
            Code.BAD_SHAPE,
            f"{size[0]} x {size[1]} pixels do not fit the model's {model[0]} x {model[1]} without losing detail or "
            "shape: --resize letterbox keeps the shape, --resize stretch says that this is meant",
        )


def _letterbox(pixels: Array, size: tuple[int, int], spec: InputSpec) -> tuple[Array, Placement]:
    height, width = _model_size(spec)
    # In float32, as TensorFlow computes it.
    ratio = max(np.float32(size[0]) / np.float32(height), np.float32(size[1]) / np.float32(width))
    tall, wide = np.float32(size[0]) / ratio, np.float32(size[1]) / ratio
    box_height, box_width = max(1, int(tall)), max(1, int(wide))
    top, left = max(0, int((np.float32(height) - tall) / 2)), max(0, int((np.float32(width) - wide) / 2))
    box = _filtered(pixels, box_height, box_width, spec)
    plane = np.zeros((height, width, box.shape[2]), box.dtype)
    plane[top : top + box_height, left : left + box_width] = box
    return plane, Placement(*size, height, width, top, left, box_height, box_width)


def _native(pixels: Array, size: tuple[int, int], spec: InputSpec) -> tuple[Array, Placement]:
    height, width = (-(-side // spec.stride) * spec.stride for side in size)
    return _reflected(pixels, size, height, width)


def _tile(pixels: Array, size: tuple[int, int], spec: InputSpec) -> tuple[Array, Placement]:
    height, width = _model_size(spec)
    if size[0] > height or size[1] > width:
        raise ValueError(f"a window of {height} x {width} does not hold {size[0]} x {size[1]} pixels")
    return _reflected(pixels, size, height, width)


def _reflected(pixels: Array, size: tuple[int, int], height: int, width: int) -> tuple[Array, Placement]:
    """The pixels in the upper left of a plane, which their own reflection fills up."""
    if pixels.shape[:2] != size:
        raise ValueError("pixels are needed at their full scale")
    if (height, width) != size:
        pixels = np.pad(pixels, ((0, height - size[0]), (0, width - size[1]), (0, 0)), mode="reflect")
    return pixels, Placement(*size, height, width, 0, 0, *size)


def _model_size(spec: InputSpec) -> tuple[int, int]:
    if spec.height is None or spec.width is None:
        raise ValueError(f"{spec.resize} needs a model size, and {spec.height} x {spec.width} is free")
    return spec.height, spec.width


def _filtered(pixels: Array, height: int, width: int, spec: InputSpec) -> Array:
    if pixels.shape[:2] == (height, width):
        return pixels
    return FILTERS[spec.resize_filter](pixels, height, width)


_RESIZES: dict[str, Callable[[Array, tuple[int, int], InputSpec], tuple[Array, Placement]]] = {
    "stretch": _stretch,
    "letterbox": _letterbox,
    "native": _native,
    "tile": _tile,
}


class Prepare(LookAhead):
    """`Image` to `ModelInput` by `prepare`; failures go to the tag `failed`."""

    def __init__(self, spec: InputSpec, *, keep_image: bool = False) -> None:
        super().__init__(partial(prepare, spec=spec, keep_image=keep_image), output_type=ModelInput)
