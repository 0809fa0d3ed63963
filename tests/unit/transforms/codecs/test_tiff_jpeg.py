"""TIFFs of JPEGs that are too short or too small; whole ones are read as OpenCV reads them."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image as PilImage
from PIL.TiffImagePlugin import TiffImageFile

from maskbeam.transforms.elements import Array
from maskbeam.transforms.errors import ImageError
from tests.support.pictures import as_file, scene
from tests.unit.transforms.codecs.test_pillow_samples import samples_of, tiff

BYTES = {False: 279, True: 325}  # the tag with the sizes of strips, of tiles


pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def jpegs(picture: Array, *, tiled: bool) -> bytes:
    """As GDAL writes it: several parts, and tables that they share."""
    size = {"blockxsize": 32, "blockysize": 16} if tiled else {"blockysize": 16}
    return tiff(picture, compress="jpeg", interleave="pixel", tiled=tiled, **size)


def with_half_a_part(data: bytes) -> bytes:
    """The same file with half of its last part, and an end behind that."""
    tags = TiffImageFile(io.BytesIO(data)).tag_v2
    tiled = 324 in tags
    start, size = tags[324 if tiled else 273][-1], tags[BYTES[tiled]][-1]
    stream = io.BytesIO(data)
    stream.seek(start + size // 2)
    stream.write(b"\xff\xd9")
    return stream.getvalue()


@pytest.mark.parametrize("tiled", [False, True])
@pytest.mark.parametrize("bands", [1, 3])
def test_parts_that_end_early_are_not_made_up(bands: int, tiled: bool) -> None:
    for flat in (False, True):
        picture = np.full((70, 50, bands), 77, np.uint8) if flat else scene(70, 50, bands)
        data = jpegs(picture, tiled=tiled)
        opencv = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR if bands == 3 else cv2.IMREAD_GRAYSCALE)
        assert opencv is not None
        found = samples_of(data).values
        assert np.array_equal(found, opencv[..., ::-1] if bands == 3 else opencv[..., np.newaxis])
    with pytest.raises(ImageError, match="more pixels than its data holds"):
        samples_of(with_half_a_part(jpegs(scene(64, 64, bands), tiled=tiled)))


def test_parts_of_two_bands_are_not_looked_into() -> None:
    data = as_file(PilImage.new("LA", (40, 40), (9, 255)), "TIFF", compression="jpeg")
    assert (samples_of(data).values == 9).all()


def test_parts_that_are_too_small_are_not_filled_up() -> None:
    data = jpegs(scene(64, 64), tiled=True)
    small = data.replace(b"\x08\0\x10\0\x20\3", b"\x08\0\x08\0\x20\3")
    assert small != data
    with pytest.raises(ImageError, match=r"should have 32 x 16 pixels, and has fewer"):
        samples_of(small)
