"""Options of decoding: bytes become pixels on a scale of 0..255."""

from dataclasses import dataclass

from maskbeam.pipeline.options.flag import Decides, option
from maskbeam.pipeline.options.raster_values import InputRange, input_range
from maskbeam.pipeline.options.values import color, count


@dataclass(frozen=True)
class DecodeOptions:
    """Options of decoding: bytes become pixels on a scale of 0..255."""

    input_range: InputRange | None = option(
        None,
        "values that mean 0 and 255 in images that are not 8-bit, as in 0,4095 [16-bit: 0,65535; float: none]",
        metavar="LO,HI",
        parse=input_range,
        also=("inspect",),
        decides=Decides.SOME_MASKS,
    )
    background: tuple[int, int, int] | None = option(
        None,
        "lay transparent pixels over this colour [transparency is dropped]",
        metavar="R,G,B",
        parse=color,
        also=("inspect",),
        decides=Decides.SOME_MASKS,
    )
    orientation: str = option(
        "stored",
        "pixels as they are stored, or turned upright as their EXIF orientation says",
        choices=("stored", "upright"),
        also=("inspect",),
        decides=Decides.SOME_MASKS,
    )
    max_pixels: int = option(
        150_000_000,
        "images of more pixels fail, before they fill the memory",
        metavar="N",
        parse=count,
        also=("inspect",),
        decides=Decides.PRODUCTS,
    )
    fast_decode: bool = option(False, "decode large JPEGs at a reduced scale; the model sees other pixels")
    isolate: bool = option(
        False,
        "decode in child processes: a decoder that crashes costs one image",
        name="isolate_decoding",
        decides=Decides.NOTHING,
    )

    @property
    def one_range(self) -> tuple[float, float] | None:
        """The range that holds for all bands, which is all that a picture can have; None where there is none."""
        return self.input_range if isinstance(self.input_range, tuple) else None
