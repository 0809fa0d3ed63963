"""Options of the output: its place, its products, and success."""

from dataclasses import dataclass

from maskbeam.pipeline.options.flag import Decides, option
from maskbeam.pipeline.options.values import allowance, count, fraction, names, some_of
from maskbeam.transforms.products.registry import MODULES

#: The word of `--mask_format` for masks that keep their image's place on the earth.
GEOTIFF = "geotiff"


@dataclass(frozen=True)
class OutputOptions:
    """Options of the output: its place, its products, and success."""

    path: str = option(
        "",
        "folder for masks and reports; local or gs://",
        name="output",
        short="o",
        metavar="DIR",
        group="needed",
        first=True,
        also=("inspect",),
        decides=Decides.NOTHING,
        place=True,
        kept=False,
    )
    products: frozenset[str] = option(
        frozenset(),
        "beside masks: {} or all [none]",
        metavar="LIST",
        parse=some_of(MODULES, "product"),
        known=MODULES,
        first=True,
        decides=Decides.PRODUCTS,
    )
    mask_format: str | None = option(
        None,
        "format of masks and products [geotiff if any of the first 16 files has a place on the earth, else png]",
        choices=("png", GEOTIFF),
        group="geo",
        also=("inspect",),
    )
    binary_classes: tuple[str, ...] = option(
        (),
        "classes that get binary masks [all]",
        metavar="LIST",
        parse=names,
        decides=Decides.PRODUCTS,
    )
    overlay_opacity: float = option(
        0.5,
        "how much of the image the colours hide",
        metavar="P",
        parse=fraction,
        decides=Decides.PRODUCTS,
    )
    anonymous_ids: bool = option(False, "files and reports carry hashes instead of ids")
    parquet: bool = option(
        False,
        "write images.parquet beside images.csv",
        decides=Decides.NOTHING,
    )
    overwrite: bool = option(
        False,
        "replace what other models, options, inputs left",
        group="rerun",
        first=True,
        decides=Decides.NOTHING,
        kept=False,
    )
    retry_failed: bool = option(
        False, "try images again that failed before", group="rerun", decides=Decides.NOTHING, kept=False
    )
    max_failures: str = option(
        "0.1%",
        "more failed images than that is exit code 3",
        metavar="N|P%",
        parse=allowance,
        group="rerun",
        first=True,
        also=("compare",),
        decides=Decides.NOTHING,
    )
    stop_after_failures: int = option(
        500,
        "stop when so many of a worker's first 1,000 images failed",
        metavar="N",
        parse=count,
        group="rerun",
        decides=Decides.NOTHING,
    )
    fail_on_degenerate: bool = option(
        False,
        "a model that looks dead is exit code 3, not a warning",
        group="rerun",
        decides=Decides.NOTHING,
    )
