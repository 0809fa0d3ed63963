"""GDAL, through rasterio, as far as it is let in: its settings, its drivers, its messages.

GDAL has over a hundred drivers, of which many name other files or fetch from the network; two are used here.
"""

import importlib.util
import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from maskbeam.pipeline.storage import is_gcs
from maskbeam.transforms.codecs.gdal import cache
from maskbeam.transforms.errors import RunError

GEOTIFF, JPEG2000 = "GTiff", "JP2OpenJPEG"  # a COG is a GeoTIFF
_JPEG2000_ENDINGS = (".jp2", ".j2k", ".jpx", ".jpf", ".j2c", ".jpc")

_SETTINGS = {
    # The other cores have windows of their own to compute.
    "GDAL_NUM_THREADS": "1",
    # Else what cannot be read is 0.
    "GTIFF_IGNORE_READ_ERRORS": "NO",
    # The places of all tiles are read with the head. Read tile by tile, one that came cut off is taken for that of a
    # tile which was never written, whose pixels are 0 as well.
    "GTIFF_USE_DEFER_STRILE_LOADING": "NO",
    # Files beside are looked at by their names, and no folder is listed.
    "GDAL_DISABLE_READDIR_ON_OPEN": "TRUE",
}


def check_geo() -> None:
    """Raises RunError where the packages are missing that read georeferenced rasters."""
    if any(importlib.util.find_spec(name) is None for name in ("rasterio", "pyproj")):
        raise RunError("reading GeoTIFF scenes needs rasterio and pyproj: pip install 'maskbeam[geo]'")


@contextmanager
def gdal_settings(uri: str) -> Iterator[None]:
    """Within this context GDAL, in this thread, works with our settings, whatever the environment says.

    Args:
        uri: What is read: for `gs://` the endpoint and credentials of our own client are among the settings.
    """
    from rasterio import Env
    from rasterio.session import DummySession

    settings: dict[str, Any] = dict(_SETTINGS)
    if is_gcs(uri):
        from maskbeam.pipeline.inputs.readers.gdal_gcs import gcs_settings

        settings.update(gcs_settings())
    # Open rasters hold what they need of the cache; without one it is bounded all the same.
    with Env(DummySession(), **settings), cache.held(0):
        yield


def drivers_for(uri: str) -> tuple[str, str]:
    """The drivers to try, the likelier one first: trying costs a request where the file is far away."""
    likely = uri.lower().endswith(_JPEG2000_ENDINGS)
    return (JPEG2000, GEOTIFF) if likely else (GEOTIFF, JPEG2000)


def open_with(uri: str, driver: str) -> Any:
    """A `rasterio.DatasetReader`; within `gdal_settings`.

    Raises:
        Exception: One of `gdal_failures`: it is of another format, or damaged, or not there.
    """
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning

    _listen()
    # A path that is no URI to rasterio; GDAL is left no other meaning of it than that of a file.
    place: Any = f"/vsigs/{uri.removeprefix('gs://')}" if is_gcs(uri) else Path(uri)
    if not is_gcs(uri) and (not uri.startswith("/") or uri.startswith("/vsi")):
        raise ValueError("a raster is named by its absolute path")
    # For good: a context would take back what other threads ignore meanwhile.
    warnings.simplefilter("ignore", NotGeoreferencedWarning)
    return rasterio.open(place, driver=driver)


def gdal_failures() -> tuple[type[Exception], ...]:
    """The errors that rasterio raises of a file that is damaged: of GDAL's it turns into its own not all."""
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import RasterioError

    return RasterioError, CPLE_BaseError, OSError, ValueError, LookupError, ArithmeticError


class _Complaints(threading.local):
    """Of libraries below GDAL, about what is read in this thread."""

    count = 0


_complaints = _Complaints()


class _Listener(logging.Handler):
    """Hears GDAL's messages, which would name files, and keeps those to itself."""

    def emit(self, record: logging.LogRecord) -> None:
        # Damaged JPEG data is decoded to grey, and no error.
        _complaints.count += record.levelno >= logging.WARNING and "JPEGLib" in record.getMessage()


_listener = _Listener(logging.WARNING)


def _listen() -> None:
    logger = logging.getLogger("rasterio")
    if _listener not in logger.handlers:
        logger.addHandler(_listener)
        logger.setLevel(logging.WARNING)
        logger.propagate = False


@contextmanager
def without_complaints() -> Iterator[None]:
    """Raises OSError for pixels that were read in this context of data that is damaged."""
    _complaints.count = 0
    yield
    if _complaints.count:
        raise OSError("the data is damaged")
