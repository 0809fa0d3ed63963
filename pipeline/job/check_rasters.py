"""A look at the first raster of the input: what does not fit it is said before the model is loaded."""

from itertools import islice

from maskbeam.pipeline.inputs.containers.kinds import Kind
from maskbeam.pipeline.inputs.find_inputs import Listing
from maskbeam.pipeline.inputs.readers.open_raster import open_raster
from maskbeam.pipeline.inputs.scenes import check_channels_of, files_of, rules_of
from maskbeam.pipeline.options import RunOptions
from maskbeam.transforms.codecs.registry import is_raster_name
from maskbeam.transforms.elements import Entry, Origin, Source
from maskbeam.transforms.errors import Code, ImageError, RunError
from maskbeam.transforms.normalize import NAMED

# Of the listing, by name: pictures may come first.
_LOOKED_AT = 16
# What would be wrong with all of them; what is wrong with one file costs that image.
_OF_ALL = (Code.BAD_CHANNELS, Code.BAD_VALUE_RANGE)


def check_rasters(options: RunOptions, channels: int | None) -> None:
    """Compares the options of rasters with the first one.

    Args:
        options: Of a run with GeoTIFF masks, with absolute paths.
        channels: What the model takes, as far as its file tells.

    Raises:
        RunError: Its bands, their number or their type do not go with the options or the model; or values that stay
            in the file's units are to be scaled as those of 0..255 are.
    """
    check_scaling(options)
    entry = _first_raster(options)
    if entry is None:
        return
    try:
        files = files_of(Origin("", Source(entry.uri, entry.version), companions=entry.bands))
    except ImageError:
        # A file that is missing or there twice: of this image alone.
        return
    try:
        with open_raster(files, rules_of(options)) as raster:
            if channels is not None:
                check_channels_of(raster, channels)
    except ImageError as error:
        if error.code in _OF_ALL:
            raise RunError(f"the first raster of --input does not go with the options: {error.reason}") from None


def _first_raster(options: RunOptions) -> Entry | None:
    listing = Listing(options.read.patterns, options.read)
    entries = (found.entry for found in islice(listing, _LOOKED_AT) if found.kind is Kind.IMAGE)
    return next((entry for entry in entries if is_raster_name(entry.first_file)), None)


def check_scaling(options: RunOptions) -> None:
    """Raises RunError where values stay in the file's units and are to be scaled as those of 0..255 are."""
    scaling = options.model.normalize
    if options.decode.input_range == "raw" and scaling in NAMED and scaling != "none":
        raise RunError(
            f"--normalize {scaling} scales values of 0..255, and --input_range raw leaves them in the file's units: "
            "give the means and deviations of training in these units, one a band, as in 1350,1120/820,640, or give "
            "--input_range LO,HI"
        )
