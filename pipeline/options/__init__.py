"""The options of a run, parsed once: everything after this takes plain values.

Each field says its flag, its help, the values that it may have, and what depends on it. A new flag is a field here.
"""

from dataclasses import dataclass, field

from maskbeam.pipeline.options.compare import CompareOptions
from maskbeam.pipeline.options.decode import DecodeOptions
from maskbeam.pipeline.options.flag import Decides, option
from maskbeam.pipeline.options.label import LabelOptions
from maskbeam.pipeline.options.model import RESIZE_FILTERS, SAME_FILTERS, ModelOptions
from maskbeam.pipeline.options.output import OutputOptions
from maskbeam.pipeline.options.part import Part
from maskbeam.pipeline.options.raster import RasterOptions
from maskbeam.pipeline.options.read import RAW_TYPES, ReadOptions
from maskbeam.pipeline.options.tile import TileOptions

__all__ = [
    "RAW_TYPES",
    "RESIZE_FILTERS",
    "SAME_FILTERS",
    "CompareOptions",
    "DecodeOptions",
    "LabelOptions",
    "ModelOptions",
    "OutputOptions",
    "Part",
    "RasterOptions",
    "ReadOptions",
    "RunOptions",
    "TileOptions",
]


@dataclass(frozen=True)
class RunOptions:
    """All options of `maskbeam run`; `beam` holds the flags that are Beam's own, untouched."""

    read: ReadOptions = field(default_factory=ReadOptions)
    decode: DecodeOptions = field(default_factory=DecodeOptions)
    model: ModelOptions = field(default_factory=ModelOptions)
    raster: RasterOptions = field(default_factory=RasterOptions)
    tile: TileOptions = field(default_factory=TileOptions)
    label: LabelOptions = field(default_factory=LabelOptions)
    output: OutputOptions = field(default_factory=OutputOptions)
    compare: CompareOptions = field(default_factory=CompareOptions)
    beam: tuple[str, ...] = option((), decides=Decides.NOTHING)
    dry_run: bool = option(
        False,
        "say what would be done, and do nothing",
        group="try",
        first=True,
        also=("clean", "compare"),
        decides=Decides.NOTHING,
        kept=False,
    )
