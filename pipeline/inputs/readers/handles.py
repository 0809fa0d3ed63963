"""One raster file, read by several threads at once: a handle of GDAL's for each, and errors that say what to do."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any

from maskbeam.pipeline.inputs.readers.gdal import (
    drivers_for,
    gdal_failures,
    gdal_settings,
    open_with,
    without_complaints,
)
from maskbeam.pipeline.storage import LOST, find_file, is_gcs, open_input
from maskbeam.pipeline.text.wording import printable
from maskbeam.transforms.codecs.codec import HEAD_BYTES
from maskbeam.transforms.codecs.signatures import FETCH_IT, LFS_POINTER, foreign_format
from maskbeam.transforms.elements import Array, Region
from maskbeam.transforms.errors import Code, ImageError

Reading = Callable[[Any, Region], Array]
# A context for one call of GDAL, which may hang.
Watch = Callable[[], AbstractContextManager[None]]
Size = tuple[int, int]

_FAR_HANDLES = 8
_JPEG2000 = (b"\x00\x00\x00\x0cjP", b"\xff\x4f\xff\x51")
TIFF_BEGINNINGS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_READ = "read are GeoTIFF, COG and JPEG 2000"
# What people have besides, by its first bytes.
_NAMED = (
    (b"<VRTDataset", "VRT, which names other files"),
    (b"<GDALTileIndexDataset", "GDAL tile index, which names other files"),
    (b"CDF\1", "netCDF"),
    (b"CDF\2", "netCDF"),
    (b"CDF\5", "netCDF"),
    (b"\x0e\x03\x13\x01", "HDF4"),
    (b"\x89HDF", "HDF5 or netCDF"),
    (b"PK\3\4", "ZIP archive"),
    (b"\x1f\x8b", "gzip archive"),
    (b"7z\xbc\xaf", "7z archive"),
    (b"NITF", "NITF"),
    (b"GRIB", "GRIB"),
    (b"\x89PNG", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"EHFA_HEADER_TAG", "ERDAS Imagine"),
)


@dataclass(frozen=True)
class RasterFile:
    """A file of an image.

    Attributes:
        uri: Its absolute path, or `gs://` URI.
        name: What it is called in messages and by `--bands`: its alternative in the braces; empty where it is alone.
        version: As it was listed; empty: as it is when it is opened.
    """

    uri: str
    name: str = ""
    version: str = ""


class Handles:
    """The handles of one file, each for one thread at a time; threads that find none wait for one.

    GDAL keeps decoded tiles for each handle. A file at hand has one, for windows overlap: two threads with a handle
    each decode nearly every tile twice, which was half as fast as one after the other. Of a file far away it is the
    waiting that takes the time, so it has several; bytes that were fetched are shared. The last one to be given back
    is the next to be taken. `watch` looks after each call of GDAL, and not after the wait for a handle.

    Attributes:
        file: What was asked for.
        version: That of the file, as it was listed or found.
        at_once: How many threads may read at once.

    Raises:
        ImageError: SOURCE_MISSING, SOURCE_CHANGED, UNSUPPORTED_FORMAT or UNREADABLE.
        RunError: Storage refuses or fails.
    """

    def __init__(self, file: RasterFile, watch: Watch = nullcontext) -> None:
        self.file, self.watch = file, watch
        self.version = file.version or _version_of(file)
        self._idle: list[Any] = []
        self._lock = threading.Lock()
        # What came altered or cut short over a network is fetched again, as GDAL does not notice it.
        self._tries = 4 if is_gcs(file.uri) else 1
        self.at_once = _FAR_HANDLES if is_gcs(file.uri) else 1
        self._free = threading.BoundedSemaphore(self.at_once)
        self._closed = False
        self._driver = ""
        with self.taken():
            pass

    @contextmanager
    def taken(self) -> Iterator[Any]:
        """A `rasterio.DatasetReader` that is this thread's within this context."""
        with self._free, self.watch(), gdal_settings(self.file.uri):
            with self._lock:
                handle = self._idle.pop() if self._idle else None
            handle = handle or self._open()
            try:
                yield handle
            except BaseException:
                handle.close()
                raise
            self._give_back(handle)

    def close(self) -> None:
        """Closes the handles; one that is being read with, when it is given back."""
        with self._lock:
            self._closed = True
            handles, self._idle = self._idle, []
        for handle in handles:
            handle.close()

    def read(self, indexes: Sequence[int], region: Region, size: Size | None = None) -> Array:
        """Stored values `[C, h, w]` of bands, from 1, of a region of the file.

        Args:
            indexes: The bands.
            region: Where they lie.
            size: Height and width of what is given, where that is smaller: some of the pixels, or what the smaller
                copies of the file have in their place.

        Raises:
            ImageError: UNREADABLE, with the row and column from which on; SOURCE_MISSING or SOURCE_CHANGED.
        """
        return self._insist(lambda handle, part: _read(handle, indexes, part, size), region)

    def read_mask(self, index: int, region: Region, size: Size | None = None) -> Array:
        """Bool `[h, w]`, True where the mask of a band, from 1, says that there is data; as `read` otherwise."""
        return self._insist(lambda handle, part: _read_mask(handle, index, part, size), region)

    def check_unchanged(self) -> None:
        """Raises ImageError (SOURCE_MISSING, SOURCE_CHANGED) where the file is not the one that was opened."""
        if self.version != _version_of(self.file):
            raise ImageError(Code.SOURCE_CHANGED, f"{_subject(self.file)} was altered while it was read")

    def _insist(self, read: Reading, region: Region) -> Array:
        try:
            with self.taken() as handle:
                return read(handle, region)
        except gdal_failures():
            return self._read_again(read, region)

    def _read_again(self, read: Reading, region: Region) -> Array:
        """Reads with handles that nothing was read with: a tile that has damaged data complains only once."""
        place = region.top, region.left
        with self.watch(), gdal_settings(self.file.uri):
            for _ in range(self._tries):
                with closing(self._open()) as handle:
                    found = _first_damage(handle, read, region)
                    if found is None:
                        with suppress(*gdal_failures()):
                            return read(handle, region)
                    place = found or place
        self.check_unchanged()
        where = f" (band {printable(self.file.name)})" if self.file.name else ""
        raise ImageError(
            Code.UNREADABLE, f"it is damaged or cut off from row {place[0]}, column {place[1]} on{where}"
        )

    def _give_back(self, handle: Any) -> None:
        with self._lock:
            kept = not self._closed
            if kept:
                self._idle.append(handle)
        if not kept:
            handle.close()

    def _open(self) -> Any:
        words = ""
        for driver in ((self._driver,) if self._driver else drivers_for(self.file.uri)) * self._tries:
            try:
                handle = open_with(self.file.uri, driver)
            except gdal_failures() as error:
                words = str(error)
                if not self._driver and _other_format(_head(self.file)):
                    break
            else:
                self._driver = driver
                return handle
        self.check_unchanged()
        raise _refused(_head(self.file), words)


def _read(handle: Any, indexes: Sequence[int], region: Region, size: Size | None) -> Array:
    shape = len(indexes), *(size or region.size)
    with without_complaints():
        values: Array = handle.read(list(indexes), window=_window(region), out_shape=shape)
    if values.shape != shape:
        raise OSError("the data has another shape than the header says")
    return values


def _read_mask(handle: Any, index: int, region: Region, size: Size | None) -> Array:
    with without_complaints():
        values: Array = handle.read_masks(index, window=_window(region), out_shape=size or region.size)
    there: Array = values != 0
    return there


def _window(region: Region) -> Any:
    from rasterio.windows import Window

    return Window(region.left, region.top, region.width, region.height)


def _first_damage(handle: Any, read: Reading, region: Region) -> tuple[int, int] | None:
    """Row and column of the first block of the file, in row-major order, that cannot be read for this region."""
    for block in _blocks(handle.block_shapes[0], region, handle.shape):
        try:
            read(handle, block)
        except gdal_failures():
            return block.top, block.left
    return None


def _blocks(shape: tuple[int, int], region: Region, size: tuple[int, int]) -> Iterator[Region]:
    """The blocks that a region touches, whole ones: so that all regions tell the same place of a block's damage."""
    for top in range(region.top // shape[0] * shape[0], region.top + region.height, shape[0]):
        for left in range(region.left // shape[1] * shape[1], region.left + region.width, shape[1]):
            yield Region(top, left, min(shape[0], size[0] - top), min(shape[1], size[1] - left))


def _version_of(file: RasterFile) -> str:
    listed = find_file(file.uri)
    if listed is None:
        raise _missing(file)
    return listed.version


def _head(file: RasterFile) -> bytes:
    try:
        return open_input(file.uri).read(file.uri, limit=HEAD_BYTES)
    except LOST:
        raise _missing(file) from None


def _missing(file: RasterFile) -> ImageError:
    return ImageError(Code.SOURCE_MISSING, f"{_subject(file)} is not there any more, or cannot be read")


def _subject(file: RasterFile) -> str:
    return f"the file of band {printable(file.name)}" if file.name else "the file"


def _refused(head: bytes, words: str) -> ImageError:
    """The error of a file that no driver opens.

    Args:
        head: Its first bytes.
        words: The drivers', which name it.
    """
    if not head:
        return ImageError(Code.UNREADABLE, "the file is empty")
    other = _other_format(head)
    if other == LFS_POINTER:
        return ImageError(Code.UNREADABLE, FETCH_IT)
    if other:
        return ImageError(Code.UNSUPPORTED_FORMAT, f"it is {other}; {_READ}")
    if "codec" in words:
        return ImageError(Code.UNSUPPORTED_FORMAT, "its compression is one that this GDAL does not know; use deflate")
    if "utf-8" in words:
        return ImageError(Code.UNREADABLE, "GDAL takes no name that is not UTF-8: rename the file")
    return ImageError(Code.UNREADABLE, f"it is damaged, cut off, or no raster; {_READ}")


def _other_format(head: bytes) -> str:
    if head.startswith(TIFF_BEGINNINGS) or head.startswith(_JPEG2000):
        return ""
    named = next((name for begins, name in _NAMED if head.lstrip().startswith(begins)), "")
    return named or foreign_format(head)
