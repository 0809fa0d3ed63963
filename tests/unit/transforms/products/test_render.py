import io
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pytest
from apache_beam import Create, Map
from apache_beam.testing.util import assert_that, equal_to
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from maskbeam.transforms.codecs.encode import read_text
from maskbeam.transforms.elements import Array, Labels
from maskbeam.transforms.errors import Code, ImageError
from maskbeam.transforms.products.registry import product, product_names
from maskbeam.transforms.products.render import Render, render
from maskbeam.transforms.products.rendering import Rendering, class_folders
from tests.support.elements import made_labels
from tests.support.graph import local_pipeline
from tests.support.scored import SOURCE, labelled

ALL = frozenset({"color", "binary", "overlay", "confidence"})
COLORS = {0: (0, 0, 0), 5: (255, 0, 0), 9: (0, 0, 255)}
RENDERING = Rendering(ALL, COLORS, ((0, "sky"), (9, "a/b")))
LABELS = np.array([[0, 5], [9, 255]], np.uint8)
SURE = np.full((2, 2), 65535, np.uint16)
PICTURE = np.full((2, 2, 3), 100, np.uint8)


def opened(data: bytes) -> Array:
    return np.asarray(Image.open(io.BytesIO(data)))


def test_every_product_has_its_place_and_carries_the_text() -> None:
    files = render(labelled(LABELS, confidence=SURE, image=PICTURE), RENDERING, text={"maskbeam": "x"})
    assert sorted(files) == [
        "binary/a%2Fb/{}.png",
        "binary/sky/{}.png",
        "color/{}.png",
        "confidence/{}.png",
        "overlay/{}.jpg",
    ]
    assert all(read_text(data) == {"maskbeam": "x"} for data in files.values())
    np.testing.assert_array_equal(opened(files["binary/a%2Fb/{}.png"]), [[0, 0], [255, 0]])
    np.testing.assert_array_equal(opened(files["color/{}.png"]), LABELS)
    np.testing.assert_array_equal(opened(files["confidence/{}.png"]), [[255, 255], [255, 255]])
    assert opened(files["overlay/{}.jpg"]).shape == (2, 2, 3)


@pytest.mark.parametrize("product", sorted(ALL))
def test_only_what_is_asked_for_is_drawn(product: str) -> None:
    files = render(
        labelled(LABELS, confidence=SURE, image=PICTURE), replace(RENDERING, products=frozenset({product}))
    )
    assert {path.split("/")[0] for path in files} == {product}


@pytest.mark.parametrize("product", ["overlay", "confidence"])
def test_a_product_without_what_it_draws_on_is_an_error_and_not_left_out(product: str) -> None:
    with pytest.raises(ValueError, match=f"product {product}"):
        render(labelled(LABELS), replace(RENDERING, products=frozenset({product})))


def test_ids_beyond_a_palette_are_coloured_in_rgb() -> None:
    rendering = Rendering(frozenset({"color"}), {0: (0, 0, 0), 300: (1, 2, 3)}, (), ignore_label=65535)
    files = render(labelled(np.array([[300, 0]], np.uint16)), rendering)
    assert opened(files["color/{}.png"]).tolist() == [[[1, 2, 3], [0, 0, 0]]]


def test_planes_have_binary_masks_and_confidence_for_each_class() -> None:
    planes = np.array([[[True, False]], [[True, True]], [[False, True]]])
    sure = np.array([[[0, 0]], [[0, 0]], [[65535, 0]]], np.uint16)
    rendering = replace(RENDERING, products=frozenset({"binary", "confidence"}))
    files = render(made_labels("a", SOURCE, planes, sure), rendering)
    assert sorted(files) == [
        "binary/a%2Fb/{}.png",
        "binary/sky/{}.png",
        "confidence/a%2Fb/{}.png",
        "confidence/sky/{}.png",
    ]
    np.testing.assert_array_equal(opened(files["binary/a%2Fb/{}.png"]), [[0, 255]])
    np.testing.assert_array_equal(opened(files["confidence/a%2Fb/{}.png"]), [[255, 0]])


@given(st.lists(st.text(max_size=80), max_size=8))
def test_class_folders_are_safe_distinct_and_one_component(names: list[str]) -> None:
    folders = class_folders(list(enumerate(names)))
    assert len({folder.casefold() for folder in folders}) == len(names)
    for folder in folders:
        assert PurePosixPath(folder).parts == (folder,)
        assert folder not in (".", "..")
        assert not set(folder) & set('/\\:*?"<>|{}\0\n')
        assert len(folder.encode()) < 256
        assert f"{folder}/{{}}".format("x") == f"{folder}/x"


def test_plain_names_stay_as_they_are() -> None:
    names = ["road", "traffic light", "Gebäude", "Car", "car", "../x", "", "a.b", "日本", "50%"]
    assert class_folders(list(enumerate(names))) == [
        "road", "traffic light", "Gebäude", "Car~3", "car~4", "%2E.%2Fx", "~6", "a.b", "日本", "50%25",
    ]  # fmt: skip


def test_in_a_graph_a_product_that_cannot_be_drawn_costs_its_image(monkeypatch: pytest.MonkeyPatch) -> None:
    def draw(labels: Labels, *_: Any, **__: Any) -> dict[str, bytes]:
        if labels.image_id == "large":
            raise ImageError(Code.TOO_LARGE, "it is large")
        return {"overlay/{}.jpg": b"drawn"}

    monkeypatch.setattr(type(product("overlay")), "draw", lambda self, *args, **text: draw(*args, **text))
    both = [made_labels(name, SOURCE, LABELS, SURE, image=PICTURE) for name in ("large", "small")]
    with local_pipeline() as root:
        result = root | Create(both) | Render(replace(RENDERING, products=frozenset({"color", "overlay"})))
        made = result.main | Map(lambda drawn: (drawn.image_id, sorted(drawn.files)))
        assert_that(made, equal_to([("small", ["color/{}.png", "overlay/{}.jpg"])]))
        assert_that(result.failed | Map(lambda failure: failure.code), equal_to(["TOO_LARGE"]), label="failed")


@pytest.mark.parametrize("name", product_names())
def test_a_product_draws_the_files_that_it_says(name: str) -> None:
    found = product(name)
    assert found.name == name
    shapes = [
        (LABELS, SURE),
        *([(np.zeros((3, 2, 2), bool), np.zeros((3, 2, 2), np.uint16))] if found.of_planes else []),
    ]
    for pixels, sure in shapes:
        labels = labelled(pixels, confidence=sure, image=PICTURE)
        files = found.draw(labels, RENDERING, text={"maskbeam": "x"})
        assert sorted(files) == sorted(found.paths(RENDERING, planes=labels.are_planes))
        assert all(path.startswith(f"{name}/") and path.endswith("{}." + found.extension) for path in files)
