"""A few images to try ways on, read as a run reads them: of pictures all, or a window; of rasters some windows."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial

import numpy as np

from maskbeam.pipeline.commands.inspect.scene_look import SceneLook, lines_of, look_at
from maskbeam.pipeline.commands.inspect.told import Told
from maskbeam.pipeline.inputs.anonymous import PLAIN
from maskbeam.pipeline.inputs.check_manifests import check_manifests
from maskbeam.pipeline.inputs.fetch import fetch
from maskbeam.pipeline.inputs.read import read_chunk
from maskbeam.pipeline.inputs.sampling import sample
from maskbeam.pipeline.inputs.scenes import Scenes, is_raster, rules_of
from maskbeam.pipeline.inputs.small_images import grey
from maskbeam.pipeline.models.loading.tf_jpeg import decode_jpeg, decode_jpeg_as_pillow
from maskbeam.pipeline.models.probing.probe import Probe
from maskbeam.pipeline.options import DecodeOptions, RunOptions
from maskbeam.pipeline.text.wording import plural
from maskbeam.transforms.codecs.decode import decode
from maskbeam.transforms.elements import Array, EncodedImage, Failure, Image
from maskbeam.transforms.errors import Code, ImageError, RunError
from maskbeam.transforms.resampling.prepare import InputSpec, drawable, middle_window, prepare
from maskbeam.transforms.resampling.resize import is_of_tensorflow
from maskbeam.transforms.tiling.layout import Tiling

IMAGES = 4

# What to do about images that cannot be used, where a flag helps.
_HELPS: dict[str, str] = {
    Code.BAD_SHAPE: "add --resize stretch or --resize letterbox",
    Code.BAD_VALUE_RANGE: "add --input_range",
    Code.BAD_CHANNELS: "name images of the model's channels, of rasters with --bands",
    Code.TOO_LARGE: "raise --max_pixels",
    Code.MISSING_KEY: "name the key with --image_key",
}


@dataclass(frozen=True, eq=False)
class Sample:
    """An image, or a window of it.

    Attributes:
        image: Gives it, as a training that resized with the filter of this name read it.
        is_raw: True where its values are in units of its own, which no screen can show.
    """

    image: Callable[[str], Image]
    is_raw: bool = False

    def picture(self, image: Image) -> Array:
        """The picture that `image` gave for a person, uint8 `[H, W, C]`."""
        if not self.is_raw:
            return drawable(image)
        return grey(np.ones(image.region.size, bool) if image.valid is None else image.valid)


def samples(options: RunOptions, probe: Probe, say: Told) -> list[Sample]:
    """A few images that can be used; says what rasters are, and why others cannot be used.

    Args:
        options: With the format of masks decided, which says how rasters are read.
        probe: What the model takes.
        say: Takes what there is to tell.

    Raises:
        RunError: None can be used; says what helps where a flag does. A manifest lists what are no files.
    """
    check_manifests(options.read.patterns)
    scenes = _scenes(options, probe)
    usable, codes, tried = [], Counter[str](), 0
    for tried, found in enumerate(_drawn(options), 1):  # noqa: B007 - the number is used below
        try:
            usable += _usable(found, options, probe, scenes, say)
        except ImageError as error:
            codes[error.code] += 1
            say(f"  left out: {error}")
            say.facts.setdefault("left_out", []).append(str(error))
    if not usable:
        helps = ", ".join(_HELPS[code] for code in codes if code in _HELPS) or "name other images with --input"
        raise RunError(
            f"none of the {plural(tried, 'image')} that were tried can be used, for the reasons above; "
            f"{helps}, and inspect again"
        )
    return usable


def _drawn(options: RunOptions) -> Iterator[EncodedImage | Failure]:
    limited = replace(options.read, limit=options.read.limit or IMAGES)
    return (found for chunk in sample(limited) for found in read_chunk(chunk, limited))


def _scenes(options: RunOptions, probe: Probe) -> Scenes | None:
    """The reader of rasters; None where they are pictures like others."""
    spec = probe.spec
    if not options.read.rasters or spec.height is None or spec.width is None:
        return None
    return Scenes(rules_of(options), spec.channels, Tiling((spec.height, spec.width), options.tile.overlap), PLAIN)


def _usable(
    found: EncodedImage | Failure, options: RunOptions, probe: Probe, scenes: Scenes | None, say: Told
) -> list[Sample]:
    """The sample of an image; none of a raster that has no data where it was looked at."""
    if isinstance(found, Failure):
        raise ImageError(Code[found.code], found.reason)
    if scenes is not None and is_raster(found):
        return _of_raster(scenes, found, say)
    picture = partial(_picture, fetch(found), options.decode, probe.spec)
    prepare(picture(probe.spec.resize_filter), probe.spec)
    return [Sample(picture)]


def _of_raster(scenes: Scenes, found: EncodedImage, say: Told) -> list[Sample]:
    look, window = look_at(scenes, found.origin)
    _tell(look, say)
    if look.no_data == 1:
        return []
    return [Sample(lambda _: window, scenes.rules.raw)]


def _tell(look: SceneLook, say: Told) -> None:
    for line in lines_of(look):
        say(f"  {line}")
    say.facts.setdefault("scenes", []).append(asdict(look))


def _picture(image: EncodedImage, options: DecodeOptions, spec: InputSpec, resize_filter: str) -> Image:
    return middle_window(decode_as_trained(image, options, resize_filter), spec)


def decode_as_trained(image: EncodedImage, options: DecodeOptions, resize_filter: str) -> Image:
    """Decodes an image as a training that resized with this filter read it."""
    return decode(
        image,
        input_range=options.one_range,
        background=options.background,
        upright=options.orientation == "upright",
        max_pixels=options.max_pixels,
        jpeg_decoder=decode_jpeg if is_of_tensorflow(resize_filter) else decode_jpeg_as_pillow,
    )
