"""Colours and names beside a grey GeoTIFF: GDAL reads them, and Python's XML reader agrees with our own."""

from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from rasterio.shutil import copy

from maskbeam.transforms.codecs.aux_xml import AUX_EXTENSION, Shown, aux_text, encode_aux
from maskbeam.transforms.codecs.codec import TEXT_BYTES
from maskbeam.transforms.codecs.encode import is_whole, read_text
from maskbeam.transforms.codecs.geotiff import GEOTIFF
from tests.support.places import blobs

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
CLASSES = (
    Shown(4, 'Café "A" & <B>', (255, 0, 7)),
    Shown(0, "water", (0, 0, 255)),
    Shown(2, "=cmd|'/c calc'!A0", (9, 8, 7)),
)
TEXT = {"maskbeam": '{"place":"<&>","version":"1"}'}


def beside(folder: Path, labels: "np.ndarray[tuple[int, ...], np.dtype[np.unsignedinteger]]") -> Path:
    mask = folder / "a.tif"
    mask.write_bytes(GEOTIFF.encode(labels, text={"maskbeam": "the record"}))
    Path(f"{mask}{AUX_EXTENSION}").write_bytes(encode_aux(CLASSES, text=TEXT))
    return mask


def test_gdal_reads_colours_and_names_beside_a_grey_mask(tmp_path: Path) -> None:
    labels = blobs(90, 120)
    mask = beside(tmp_path, labels)
    with rasterio.open(mask) as file:
        assert np.array_equal(file.read(1), labels)
        assert file.colormap(1) == {
            0: (0, 0, 255, 255),
            1: (0, 0, 0, 255),
            2: (9, 8, 7, 255),
            3: (0, 0, 0, 255),
            4: (255, 0, 7, 255),
        }
        assert file.colorinterp[0].name == "palette"
        # The record inside the mask is not hidden by the claim of the file beside.
        assert file.tags()["maskbeam"] == "the record"
        assert file.tags(ns="maskbeam") == TEXT
    # rasterio has no word for names of categories; a VRT is written with those that GDAL has read.
    copy(mask, tmp_path / "a.vrt", driver="VRT")
    found = ET.parse(tmp_path / "a.vrt").getroot()
    assert [each.text or "" for each in found.iter("Category")] == ["water", "", CLASSES[2].name, "", CLASSES[0].name]


def test_without_it_the_mask_is_grey(tmp_path: Path) -> None:
    mask = beside(tmp_path, blobs(90, 120))
    Path(f"{mask}{AUX_EXTENSION}").unlink()
    with rasterio.open(mask) as file, pytest.raises(ValueError, match="NULL color table"):
        file.colormap(1)


def test_the_table_of_attributes_holds_each_class_once() -> None:
    root = ET.fromstring(encode_aux(CLASSES, text=TEXT))
    table = root.find(".//GDALRasterAttributeTable")
    assert table is not None
    rows = [[cell.text for cell in row] for row in table.iter("Row")]
    assert rows == [
        ["0", "water", "0", "0", "255"],
        ["2", CLASSES[2].name, "9", "8", "7"],
        ["4", CLASSES[0].name, "255", "0", "7"],
    ]
    assert [each.text for each in table.iter("Name")] == ["Value", "Class", "Red", "Green", "Blue"]


def test_of_ids_of_16_bits_only_the_table_tells() -> None:
    data = encode_aux([Shown(65534, "far", (1, 2, 3)), Shown(7, "near", (4, 5, 6))], text=TEXT)
    assert len(data) < 2000
    root = ET.fromstring(data)
    assert root.find(".//ColorTable") is None
    assert [[cell.text for cell in row] for row in root.iter("Row")][1] == ["65534", "far", "1", "2", "3"]


def test_the_order_of_classes_is_nothing_to_its_bytes() -> None:
    assert encode_aux(CLASSES, text=TEXT) == encode_aux(reversed(CLASSES), text=TEXT)


NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)


@given(NAMES, st.dictionaries(st.just("maskbeam"), st.text(st.characters(min_codepoint=32, max_codepoint=126))))
def test_any_name_and_text_is_well_formed_and_read_back(name: str, text: dict[str, str]) -> None:
    data = encode_aux([Shown(3, name, (1, 2, 3))], text=text)
    root = ET.fromstring(data)
    told = {each.get("key"): each.text or "" for each in root.iter("MDI")}
    assert told == text == aux_text(data) == read_text(data[:TEXT_BYTES])
    category = [each.text or "" for each in root.iter("Category")][3]
    assert category == name or not name.isprintable()


def test_the_claim_is_found_in_front_and_a_file_that_is_cut_off_is_not_whole() -> None:
    many = [Shown(i, f"class {i}", (i % 256, 0, 0)) for i in range(4000)]
    data = encode_aux(many, text=TEXT)
    assert len(data) > 4 * TEXT_BYTES
    assert read_text(data[:TEXT_BYTES]) == read_text(data) == TEXT
    assert is_whole(data)
    for size in (0, 1, 200, 70_000, len(data) - 1):
        assert not is_whole(data[:size])


@given(st.binary(max_size=400))
def test_nonsense_is_nothing(data: bytes) -> None:
    assert aux_text(data) == {}
    assert aux_text(b"<PAMDataset>\n" + data) == {}
    assert not is_whole(data)
