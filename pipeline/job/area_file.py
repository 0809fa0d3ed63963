"""The area of interest of a job, from the file that the user names."""

import json

from maskbeam.pipeline.classes.class_files import read_file
from maskbeam.pipeline.digests import digest
from maskbeam.pipeline.options import RasterOptions
from maskbeam.pipeline.storage import LOST
from maskbeam.transforms.errors import RunError
from maskbeam.transforms.geo.geojson import Aoi, parse_aoi


def read_area(options: RasterOptions) -> Aoi | None:
    """The polygons of `--aoi`; None without it.

    Raises:
        RunError: The file is not there, cannot be read, or has no polygons.
    """
    if options.aoi is None:
        return None
    named = f"--aoi {options.aoi}"
    try:
        text = read_file(options.aoi).decode("utf-8-sig")
    except (*LOST, OSError):
        raise RunError(f"{named}: there is no such file, or it cannot be read") from None
    except UnicodeDecodeError:
        raise RunError(f"{named} is no UTF-8 text; give a GeoJSON file") from None
    return parse_aoi(text, named)


def area_digest(aoi: Aoi) -> str:
    """A digest of polygons, however the file that holds them is written."""
    return digest(json.dumps([aoi.crs, aoi.polygons]))
