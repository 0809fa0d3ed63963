import numpy as np
import pytest

from maskbeam.transforms.products.colorize import colorize
from maskbeam.transforms.products.palette import VOID_COLOR, make_palette

COLORS = {0: (0, 0, 0), 2: (10, 20, 30), 254: (255, 0, 1)}


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_each_id_has_its_colour_and_all_others_are_void(dtype: type) -> None:
    values = [0, 2, 254, 1, 255] + ([256, 65535] if dtype == np.uint16 else [])
    found = colorize(np.array([values], dtype), make_palette(COLORS))
    assert found.dtype == np.uint8
    assert [tuple(pixel) for pixel in found[0]] == [COLORS.get(i, VOID_COLOR) for i in values]


def test_ids_above_255_have_colours_too() -> None:
    palette = make_palette({**COLORS, 300: (7, 8, 9)})
    assert colorize(np.array([[300, 44]], np.uint16), palette).tolist() == [[[7, 8, 9], list(VOID_COLOR)]]
