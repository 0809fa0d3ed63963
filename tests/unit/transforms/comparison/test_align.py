"""One truth in many encodings, at other sizes and turned: plain loops say what must come out."""

from collections import Counter
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from maskbeam.transforms.classes.class_table import ClassInfo, ClassTable
from maskbeam.transforms.comparison.align import Alignment, align, index_type, is_scaled, nearest, reference_indexes
from maskbeam.transforms.comparison.pairing import pair_classes
from maskbeam.transforms.comparison.reference import ReferencePixels, decode_reference
from maskbeam.transforms.comparison.values import Meaning, Values, look_at, tell_values, values_in_words
from maskbeam.transforms.elements import Array
from maskbeam.transforms.errors import Code, ImageError, RunError

COLORS = {0: (0, 0, 0), 1: (235, 232, 226), 2: (40, 110, 190), 3: (250, 200, 20)}
TABLE = ClassTable(tuple(ClassInfo(i, i, f"c{i}", color) for i, color in COLORS.items()), "classes.csv")
PAIRING = pair_classes(TABLE, None, flag="--truth_classes")
NONE = 4


def truth() -> Array:
    ids: Array = (np.add.outer(np.arange(30) // 6, np.arange(45) // 5) % 4).astype(np.uint8)
    ids[2:5, 3:9] = 255
    return ids


def labels() -> Array:
    rng, ids = np.random.default_rng(3), truth()
    ids[rng.random(ids.shape) < 0.1] = 1
    ids[ids == 255] = 2
    return ids


def palette(order: dict[int, int]) -> list[int]:
    """Colours of 256 places, of which `order` says which class's each is; 255: white."""
    shown = {place: COLORS.get(i, (255, 255, 255)) for place, i in order.items()}
    return [part for place in range(256) for part in shown.get(place, (0, 0, 0))]


def with_palette(pixels: Array, order: dict[int, int]) -> Image.Image:
    image = Image.fromarray(pixels)
    image.putpalette(palette(order))
    return image


def rgb(ids: Array) -> Array:
    table = np.full((256, 3), 255, np.uint8)
    table[list(COLORS)] = list(COLORS.values())
    return table[ids]


def saved(image: Image.Image, form: str = "PNG", **options: Any) -> ReferencePixels:
    file = BytesIO()
    image.save(file, form, **options)
    return decode_reference(file.getvalue())


def told(reference: ReferencePixels, wish: Meaning | None = None) -> Alignment:
    values = tell_values([look_at(reference)], PAIRING, flag="--truth_values", wish=wish)
    return Alignment.of(PAIRING, values, TABLE)


IDENTITY = {0: 0, 1: 1, 2: 2, 3: 3, 255: 255}
SHUFFLED = {1: 2, 0: 1, 2: 0, 7: 3, 9: 255}
AT = np.zeros(256, np.uint8)
AT[[2, 1, 0, 3, 255]] = [1, 0, 2, 7, 9]
ENCODED: dict[str, ReferencePixels] = {
    "grey": saved(Image.fromarray(truth())),
    "16 bits": saved(Image.fromarray(truth().astype(np.uint16))),
    "TIFF": saved(Image.fromarray(truth()), "TIFF", compression="tiff_deflate"),
    "palette": saved(with_palette(truth(), IDENTITY)),
    "transparent": saved(with_palette(truth(), IDENTITY), transparency=0),
    "shuffled": saved(with_palette(AT[truth()], SHUFFLED)),
    "RGB": saved(Image.fromarray(rgb(truth()))),
    "32 bits": ReferencePixels(truth().astype(np.int32)),
}


def confusion(reference: Array, ours: Array, ignored: int) -> Counter[tuple[int, int]]:
    pairs = zip(reference.reshape(-1).tolist(), ours.reshape(-1).tolist(), strict=True)
    return Counter(pair for pair in pairs if pair[0] != ignored)


@pytest.mark.parametrize("encoding", ENCODED)
def test_every_encoding_gives_the_same_confusion(encoding: str) -> None:
    reference = ENCODED[encoding]
    found, ours = align(reference, told(reference), labels())
    assert found.dtype == ours.dtype == np.uint8
    assert confusion(found, ours, NONE) == confusion(truth(), labels(), 255)


def test_a_colour_between_two_is_refused_with_its_pixels() -> None:
    colors = rgb(truth())
    colors[20, 20] = (137, 171, 208)
    reference = saved(Image.fromarray(colors))
    with pytest.raises(ImageError) as caught:
        align(reference, told(reference), labels())
    assert caught.value.code is Code.REFERENCE_VALUE
    assert "#89abd0 (137, 171, 208) in 1 pixel," in caught.value.reason


def test_a_value_of_no_class_is_refused_with_its_pixels() -> None:
    for dtype, strange in ((np.uint8, 77), (np.uint16, 300), (np.int32, -1), (np.uint32, 2**31)):
        ids = truth().astype(dtype)
        ids[0, :3], ids[0, 4] = strange, 9
        with pytest.raises(ImageError, match=f"value {strange} in 3 pixels, and 1 more") as caught:
            align(ReferencePixels(ids), Alignment.of(PAIRING, Values(), TABLE), labels())
        assert caught.value.code is Code.REFERENCE_VALUE


def test_zero_and_255_alone_are_not_guessed() -> None:
    reference = ReferencePixels(np.where(truth() == 1, 255, 0).astype(np.uint8))
    with pytest.raises(RunError, match=r"--truth_values binary .* --truth_values ids"):
        told(reference)
    as_ids = reference_indexes(reference, told(reference, Meaning.IDS))
    assert set(as_ids.reshape(-1).tolist()) == {0, NONE}
    with pytest.raises(RunError, match="has 4 classes; give one of two"):
        told(reference, Meaning.BINARY)


def test_binary_is_the_first_and_the_second_class_of_the_references_table() -> None:
    theirs = ClassTable((ClassInfo(0, 0, "C2", (1, 1, 1)), ClassInfo(1, 1, "c0", (2, 2, 2))), "t.csv")
    pairing = pair_classes(TABLE, theirs, flag="--truth_classes")
    reference = ReferencePixels(np.array([[0, 255]], np.uint8))
    values = tell_values([look_at(reference)], pairing, flag="--truth_values", wish=Meaning.BINARY)
    assert reference_indexes(reference, Alignment.of(pairing, values, TABLE)).tolist() == [[2, 0]]


def test_a_palette_that_says_two_things_is_not_guessed() -> None:
    swapped = saved(with_palette(truth(), {0: 1, 1: 0, 2: 2, 3: 3, 255: 255}))
    with pytest.raises(RunError, match=r"--truth_values ids or --truth_values colors"):
        told(swapped)
    by_index = reference_indexes(swapped, told(swapped, Meaning.IDS))
    by_color = reference_indexes(swapped, told(swapped, Meaning.COLORS))
    np.testing.assert_array_equal(by_index == 0, by_color == 1)
    np.testing.assert_array_equal(by_index, np.where(truth() == 255, NONE, truth()))


def test_what_is_told_is_said() -> None:
    looks = [look_at(ENCODED[name]) for name in ("grey", "16 bits", "shuffled", "RGB")]
    looks.append(look_at(ReferencePixels(np.array([[0, 8]], np.uint8))))
    values = tell_values(looks, PAIRING, flag="--truth_values")
    assert values_in_words(looks, values, PAIRING) == (
        "16-bit grey: values are ids; 8-bit grey: values are ids; palette: its colours are the table's, its indices "
        "are no ids; RGB: the table's colours; 1 of 5 hold what is neither a class nor ignored: value 8"
    )


@pytest.mark.parametrize("size", [(30, 45), (15, 22), (15, 23), (90, 135), (61, 91)])
def test_labels_come_to_the_size_of_the_reference_by_nearest(size: tuple[int, int]) -> None:
    reference = ReferencePixels(np.zeros(size, np.uint8))
    _, ours = align(reference, told(reference), labels())
    # The pixel whose area holds the centre, in exact fractions.
    by_hand = [
        [labels()[(2 * y + 1) * 30 // (2 * size[0]), (2 * x + 1) * 45 // (2 * size[1])] for x in range(size[1])]
        for y in range(size[0])
    ]
    np.testing.assert_array_equal(ours, by_hand)
    if size == (90, 135):
        np.testing.assert_array_equal(ours, np.kron(labels(), np.ones((3, 3), np.uint8)))


@pytest.mark.parametrize("size", [(30, 46), (31, 45), (45, 30), (30, 90), (1, 1), (600, 900)])
def test_another_shape_is_refused_and_nothing_is_resized(size: tuple[int, int]) -> None:
    reference = ReferencePixels(np.zeros(size, np.uint8))
    with pytest.raises(ImageError, match=rf"{size[1]} x {size[0]} pixels, the mask 45 x 30") as caught:
        align(reference, told(reference), labels())
    assert caught.value.code is Code.REFERENCE_SIZE


def test_scales_of_one_image_are_told_whichever_is_larger() -> None:
    for scale in (0.25, 0.3, 0.5, 0.75, 1, 1.5, 3):
        size = round(375 * scale), round(1242 * scale)
        assert is_scaled(size, (375, 1242))
        assert is_scaled((375, 1242), size)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("shape", [(30, 45), (30, 30)])
def test_truth_that_was_drawn_upright_is_turned_back(orientation: int, shape: tuple[int, int]) -> None:
    stored = np.random.default_rng(orientation).integers(0, 4, shape, np.uint8)
    photo = Image.fromarray(stored)
    photo.getexif()[274] = orientation
    file = BytesIO()
    photo.save(file, "PNG", exif=photo.getexif())
    upright = np.asarray(ImageOps.exif_transpose(Image.open(file)))
    told_by_size = orientation >= 5 and shape[0] != shape[1]
    how = Alignment.of(PAIRING, Values(), TABLE, upright=not told_by_size)
    found, ours = align(ReferencePixels(upright), how, stored, orientation)
    np.testing.assert_array_equal(found, ours)
    # As it is stored it stays, unless somebody says that it is upright.
    found, ours = align(ReferencePixels(stored), Alignment.of(PAIRING, Values(), TABLE), stored, orientation)
    np.testing.assert_array_equal(found, ours)


def test_indexes_of_many_classes_fit_their_type() -> None:
    assert [index_type(n) for n in (1, 255, 256, 65535, 65536)] == [
        np.uint8,
        np.uint8,
        np.uint16,
        np.uint16,
        np.int32,
    ]
    for count in (255, 256, 65534):
        rows = tuple(ClassInfo(i, i, f"c{i}", (i >> 16, i >> 8 & 255, i & 255)) for i in range(count))
        table = ClassTable(rows, "t")
        pairing = pair_classes(table, None, flag="--truth_classes")
        how = Alignment.of(pairing, Values(), table)
        ids = np.array([[0, count - 1, 65535]], np.uint16)
        found, ours = align(ReferencePixels(ids), how, ids)
        assert found.tolist() == ours.tolist() == [[0, count - 1, count]]
        assert found.dtype == ours.dtype == index_type(count)


def test_nearest_of_the_same_size_is_the_same() -> None:
    pixels = labels()
    assert nearest(pixels, (30, 45)) is pixels
