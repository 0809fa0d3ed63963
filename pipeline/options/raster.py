"""Options of rasters: which bands are fed, how their values are taken, and what is no data."""

from dataclasses import dataclass
from typing import Literal

from maskbeam.pipeline.options.flag import Decides, option
from maskbeam.pipeline.options.raster_values import InvalidPixels, bands, invalid, nodata


@dataclass(frozen=True)
class RasterOptions:
    """Options of rasters: which bands are fed, how their values are taken, and what is no data."""

    bands: tuple[str, ...] = option(
        (),
        "bands that the model takes, in its order, as in 4,3,2 or B04,B03,B02 [all, alpha apart]",
        metavar="LIST",
        parse=bands,
        also=("inspect",),
    )
    nodata: float | Literal["file"] | None = option(
        "file",
        "value without data, or none, where the file says nothing or the wrong thing [what the file says]",
        metavar="VALUE",
        parse=nodata,
        also=("inspect",),
    )
    out_of_range: str = option(
        "fail",
        "values beyond --input_range fail the image, become the range's ends, or are no data",
        choices=("fail", "clip", "ignore"),
        also=("inspect",),
        decides=Decides.SOME_MASKS,
    )
    invalid: InvalidPixels | None = option(
        None,
        "a band that is not fed, and its values or bits that mean no data, as in SCL=3,8,9,10 or 'QA_PIXEL&0x18'",
        metavar="RULE",
        parse=invalid,
        also=("inspect",),
    )
    apply_scale: bool = option(
        False, "apply the file's own scale and offset first; ranges are in these units then", also=("inspect",)
    )
    aoi: str | None = option(
        None,
        "polygons, as GeoJSON: pixels whose centre is outside are no data and cost nothing",
        metavar="FILE",
        decides=Decides.FOUND,
        place=True,
    )
