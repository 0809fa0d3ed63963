"""Options of the input: finding and naming images."""

from dataclasses import dataclass

from maskbeam.pipeline.options.flag import Decides, option
from maskbeam.pipeline.options.part import Part
from maskbeam.pipeline.options.values import count, part, whole

# Types of raw tensors, with the bytes of a value.
RAW_TYPES = {
    "uint8": 1, "int8": 1, "uint16": 2, "int16": 2, "float16": 2, "uint32": 4, "int32": 4, "float32": 4, "float64": 8,
}  # fmt: skip


@dataclass(frozen=True)
class ReadOptions:
    """Options of the input: finding and naming images; `rasters`: those that may be rasters are read as such."""

    patterns: tuple[str, ...] = option(
        (),
        "folders, globs, TFRecord shards or manifests; local or gs://",
        name="input",
        short="i",
        metavar="PATTERN",
        many=True,
        group="needed",
        first=True,
        also=("inspect", "compare"),
        decides=Decides.NOTHING,
        place=True,
    )
    id_root: str | None = option(
        None,
        "folder below which image ids start [what all matches share]",
        metavar="DIR",
        also=("inspect",),
        decides=Decides.NOTHING,
        place=True,
    )
    keep_extension: bool = option(False, "a.jpg gives a.jpg.png instead of a.png", also=("inspect",))
    image_key: str = option(
        "image/encoded",
        "key of the image, encoded or raw, in a tf.train.Example",
        metavar="KEY",
        also=("inspect",),
    )
    name_key: str = option(
        "image/filename",
        "key of the image's name",
        metavar="KEY",
        also=("inspect",),
        decides=Decides.NOTHING,
    )
    height_key: str = option("image/height", "key of a raw tensor's height", metavar="KEY", also=("inspect",))
    width_key: str = option("image/width", "key of a raw tensor's width", metavar="KEY", also=("inspect",))
    channels_key: str = option("image/channels", "key of a raw tensor's channels", metavar="KEY", also=("inspect",))
    raw_type: str | None = option(
        None,
        "type of a raw tensor's values, little-endian [uint8 where they have one byte]",
        metavar="TYPE",
        choices=tuple(RAW_TYPES),
        also=("inspect",),
        decides=Decides.NOTHING,
    )
    allow_empty: bool = option(False, "no input at all is a success of 0 images", decides=Decides.NOTHING)
    limit: int | None = option(
        None,
        "do only a sample of N images",
        metavar="N",
        parse=count,
        group="try",
        first=True,
        also=("inspect", "compare"),
        decides=Decides.NOTHING,
    )
    seed: int = option(
        0,
        "which sample",
        metavar="N",
        parse=whole,
        group="try",
        first=True,
        also=("inspect", "compare"),
        decides=Decides.NOTHING,
    )
    # Follows from the format of masks.
    rasters: bool = option(False, decides=Decides.NOTHING, kept=False)
    part: Part | None = option(
        None,
        "do part I of N; after the last: maskbeam merge OUT",
        metavar="I/N",
        parse=part,
        group="cluster",
        first=True,
        decides=Decides.NOTHING,
        kept=False,
    )
