"""Options of windows: images that are larger than the model sees at once."""

from dataclasses import dataclass

from maskbeam.pipeline.options.flag import option
from maskbeam.pipeline.options.values import overlap


@dataclass(frozen=True)
class TileOptions:
    """Options of windows: images that are larger than the model sees at once."""

    overlap: float = option(
        0.25,
        "share of a window that the next one sees, too, 0 to 0.75",
        name="tile_overlap",
        metavar="P",
        parse=overlap,
    )
    blend: str = option(
        "hann",
        "weight of a pixel by its place in its window; nearest takes each from the window whose centre is nearest",
        name="tile_blend",
        choices=("hann", "gaussian", "constant", "nearest"),
    )
    tta: str = option(
        "none",
        "average scores over 4 flips, or over 8 flips and turns (d4): 4 or 8 times the work",
        choices=("none", "flips", "d4"),
    )
