"""Which JPEG 2000 files say where they lie: held against files that GDAL has written."""

import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskbeam.transforms.codecs.jp2_boxes import has_place
from tests.support.rasters import planes, write_raster

LOSSLESS: dict[str, Any] = {"driver": "JP2OpenJPEG", "QUALITY": 100, "REVERSIBLE": "YES"}
SIGNATURE = b"\x00\x00\x00\x0cjP  \r\n\x87\n"


def placed(data: bytes) -> bool:
    return has_place(lambda start, end: data[start:end])


@pytest.mark.filterwarnings("ignore:Dataset has no geotransform")
@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"GeoJP2": "YES", "GMLJP2": "NO"}, True),
        ({"GeoJP2": "NO", "GMLJP2": "YES"}, True),
        ({"crs": None, "transform": None, "GeoJP2": "NO", "GMLJP2": "NO"}, False),
    ],
)
def test_a_file_of_gdal_says_its_place(tmp_path: Path, said: dict[str, Any], *, expected: bool) -> None:
    data = write_raster(tmp_path / "a.jp2", planes(1), **LOSSLESS, **said).read_bytes()
    assert placed(data) == expected
    # Its boxes with sizes of 64 bits.
    assert placed(wide(data)) == expected


def wide(data: bytes) -> bytes:
    parts, at = [data[:12]], 12
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        end = at + size if size else len(data)
        parts.append(struct.pack(">I4sQ", 1, kind, end - at + 8) + data[at + 8 : end])
        at = end
    return b"".join(parts)


@given(st.binary(max_size=200))
def test_whatever_it_holds_there_is_an_end(data: bytes) -> None:
    assert not placed(data)
    assert not placed(SIGNATURE + data)


def test_boxes_without_a_size_end_the_search() -> None:
    for size in (0, 1, 7):
        assert not placed(SIGNATURE + struct.pack(">I4s", size, b"free") * 99)
