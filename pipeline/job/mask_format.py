"""The format of a job's masks, decided once for an output: GeoTIFF where images have a place on the earth."""

from dataclasses import replace
from itertools import islice
from typing import Any

from maskbeam.pipeline.inputs.containers.kinds import Kind
from maskbeam.pipeline.inputs.find_inputs import Listing
from maskbeam.pipeline.inputs.readers.gdal import check_geo
from maskbeam.pipeline.job.record import stored_record
from maskbeam.pipeline.options import RasterOptions, RunOptions
from maskbeam.pipeline.options.output import GEOTIFF
from maskbeam.pipeline.options.raster_values import Ranges
from maskbeam.pipeline.storage import LOST, open_input
from maskbeam.transforms.codecs import geotiff_tags, jp2_boxes
from maskbeam.transforms.codecs.registry import is_raster_name
from maskbeam.transforms.elements import Entry
from maskbeam.transforms.errors import RunError

# Of the listing, by name: what is looked at.
_FIRST = 16
_PNG = "png"


def with_mask_format(options: RunOptions) -> RunOptions:
    """The options with the format of masks decided, and with what follows from it.

    Raises:
        RunError: Flags do not go with the format, or the packages are missing that GeoTIFFs need.
    """
    return _decided(options, options.output.mask_format or _stored(options) or _found(options))


def with_found_format(options: RunOptions) -> RunOptions:
    """The same for an output that is not begun, wherever that will be."""
    return _decided(options, options.output.mask_format or _found(options))


def _decided(options: RunOptions, decided: str) -> RunOptions:
    if decided != GEOTIFF:
        _check_pictures(options)
        read = replace(options.read, rasters=False)
        return replace(options, output=replace(options.output, mask_format=None), read=read)
    try:
        check_geo()
    except RunError as error:
        raise RunError(f"{error}; or say --mask_format png, and masks have no place on the earth") from None
    _check_rasters(options)
    resize = options.model.resize or "tile"
    return replace(
        options,
        output=replace(options.output, mask_format=GEOTIFF),
        model=replace(options.model, resize=resize),
        read=replace(options.read, rasters=True),
    )


def _stored(options: RunOptions) -> str | None:
    """The format of an output that was begun; records of older ones do not say it."""
    stored: dict[str, Any] | None = None if options.output.overwrite else stored_record(options.output.path)
    settings = (stored or {}).get("settings")
    return str(settings.get("--mask_format", _PNG)) if isinstance(settings, dict) else None


def _found(options: RunOptions) -> str:
    read = replace(options.read, rasters=True)
    listing = (found for found in Listing(read.patterns, read) if found.kind is Kind.IMAGE)
    return GEOTIFF if any(_has_place(found.entry) for found in islice(listing, _FIRST)) else _PNG


def _has_place(entry: Entry) -> bool:
    where = entry.first_file
    if not is_raster_name(where):
        return False
    storage = open_input(where)

    def fetch(start: int, end: int) -> bytes:
        with storage.open(where, start=start, end=end) as stream:
            return stream.read()

    try:
        # Looked at twice, for a byte of the first look may have been altered on its way from remote storage.
        return any(geotiff_tags.has_place(fetch) or jp2_boxes.has_place(fetch) for _ in range(2))
    except LOST:
        return False


def _check_pictures(options: RunOptions) -> None:
    raster, usual = options.raster, RasterOptions()
    for flag, said in (
        ("--bands", raster.bands != usual.bands),
        ("--nodata", raster.nodata != usual.nodata),
        ("--out_of_range", raster.out_of_range != usual.out_of_range),
        ("--invalid", raster.invalid != usual.invalid),
        ("--apply_scale", raster.apply_scale),
        ("--aoi", raster.aoi is not None),
        ("--input_range of each band, or raw,", isinstance(options.decode.input_range, Ranges | str)),
    ):
        if said:
            raise RunError(
                f"{flag} is for rasters, whose masks are GeoTIFFs: say --mask_format geotiff, or leave it out"
            )


def _check_rasters(options: RunOptions) -> None:
    for flag, said in (
        ("--fast_decode", options.decode.fast_decode),
        (f"--resize {options.model.resize}", options.model.resize not in (None, "tile")),
        (f"--upsample {options.label.upsample}", options.label.upsample != "logits"),
    ):
        if said:
            raise RunError(
                f"{flag} gives masks another grid than their images have, so GeoTIFFs cannot be made with it: leave "
                "it out, or say --mask_format png"
            )
