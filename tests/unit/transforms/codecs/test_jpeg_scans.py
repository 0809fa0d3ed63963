from io import BytesIO

import numpy as np
import pytest
from PIL import Image as Pillow

from maskbeam.transforms.codecs.decode import decode
from maskbeam.transforms.codecs.jpeg_scans import MOST_SCANS, count_scans
from maskbeam.transforms.elements import Array, Source
from maskbeam.transforms.errors import ImageError
from tests.support.elements import encoded_image
from tests.support.trees import pixels

SIDE = 16
END = b"\xff\xd9"
SCAN = b"\xff\xda"


def jpeg(image: Array, **options: object) -> bytes:
    file = BytesIO()
    Pillow.fromarray(image).save(file, "JPEG", **options)
    return file.getvalue()


def decoded(data: bytes) -> Array:
    return decode(encoded_image("a", Source("/in/a.jpg", "1"), data)).pixels


def with_scans(data: bytes, scans: int) -> bytes:
    """The file with its last scan repeated until there are so many."""
    last = data[data.rindex(SCAN) : -len(END)]
    return data[: -len(END)] + last * (scans - data.count(SCAN)) + END


COLOR = np.asarray(pixels("jpeg"))[:SIDE, :SIDE]
PROGRESSIVE = jpeg(COLOR, progressive=True)


def in_three_scans() -> bytes:
    """Three grey files as the components of one that is not progressive, each with a scan of its own."""
    planes = [jpeg(np.ascontiguousarray(COLOR[..., i]), quality=90) for i in range(3)]
    frame, scan = planes[0].index(b"\xff\xc0"), planes[0].index(SCAN)
    length = 2 + int.from_bytes(planes[0][frame + 2 : frame + 4])
    head = planes[0][frame : frame + 9].replace(b"\x00\x0b", b"\x00\x11", 1)
    components = bytes([3, *(part for i in (1, 2, 3) for part in (i, 0x11, 0))])
    scans = b"".join(
        SCAN + b"\x00\x08\x01" + bytes([i, 0]) + plane[plane.index(SCAN) + 7 : -len(END)]
        for i, plane in enumerate(planes, 1)
    )
    return planes[0][:frame] + head + components + planes[0][frame + length : scan] + scans + END


@pytest.mark.parametrize("data", [PROGRESSIVE, in_three_scans()], ids=["progressive", "three scans"])
def test_scans_are_bounded(data: bytes) -> None:
    few = with_scans(data, MOST_SCANS)
    assert count_scans(few) == MOST_SCANS
    assert decoded(few).shape == (SIDE, SIDE, 3)
    with pytest.raises(ImageError) as raised:
        decoded(with_scans(data, MOST_SCANS + 1))
    assert raised.value.code == "UNREADABLE"
    assert f"has {MOST_SCANS + 1} scans" in raised.value.reason


def test_what_only_looks_like_a_scan_costs_no_image() -> None:
    behind = PROGRESSIVE + SCAN * 1000
    assert (decoded(behind) == decoded(PROGRESSIVE)).all()
    comment = b"\xff\xfe" + (2 + 2000).to_bytes(2) + SCAN * 1000
    assert (decoded(PROGRESSIVE[:2] + comment + PROGRESSIVE[2:]) == decoded(PROGRESSIVE)).all()


def test_a_plain_file_s_scans_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maskbeam.transforms.codecs.jpeg_scans.MOST_SCANS", -1)
    for plain in (jpeg(COLOR), jpeg(COLOR[..., 0]), jpeg(COLOR, restart_marker_rows=1)):
        assert decoded(plain).shape[:2] == (SIDE, SIDE)
        assert count_scans(plain) == 1
    with pytest.raises(ImageError):
        decoded(PROGRESSIVE)
