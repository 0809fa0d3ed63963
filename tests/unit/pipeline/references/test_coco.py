"""A COCO file as truth: polygons of several parts, holes, a crowd, overlaps, gaps in ids, and a wrong size."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from maskbeam.pipeline.references.reader import Wanted
from maskbeam.pipeline.references.references import References, find_references
from maskbeam.pipeline.references.where import open_reader
from maskbeam.transforms.comparison.align import align
from maskbeam.transforms.elements import Array
from maskbeam.transforms.errors import Code, ImageError, RunError
from tests.support.references import bare_output, rows

H, W = 36, 50
CATEGORIES = {3: "Car", 17: "person", 90: "sky"}
OURS = {"background": 0, "person": 1, "car": 2, "sky": 3}
NONE = 4


def box(left: int, top: int, right: int, bottom: int) -> list[int]:
    return [left, top, right, top, right, bottom, left, bottom]


def runs(mask: Array) -> dict[str, Any]:
    """Runs of zeros and ones in turns, column after column, by a plain loop."""
    counts, value, run = [], 0, 0
    for pixel in mask.T.reshape(-1).astype(int).tolist():
        if pixel != value:
            counts.append(run)
            value, run = pixel, 0
        run += 1
    return {"counts": [*counts, run], "size": list(mask.shape)}


def region(*boxes: tuple[int, int, int, int]) -> Array:
    mask = np.zeros((H, W), bool)
    for left, top, right, bottom in boxes:
        mask[top:bottom, left:right] = True
    return mask


RING = region((10, 8, 30, 28)) & ~region((16, 14, 24, 20))
CROWD = region((0, 30, W, 36))
# Image, category, segmentation, crowd or not, and the pixels by hand.
NOTES: list[tuple[int, int, Any, int, Array]] = [
    (100, 90, [box(0, 0, W, 8)], 0, region((0, 0, W, 8))),
    (100, 3, [box(5, 10, 20, 22), box(30, 10, 44, 22)], 0, region((5, 10, 20, 22), (30, 10, 44, 22))),
    (100, 17, [box(15, 12, 34, 30)], 0, region((15, 12, 34, 30))),
    (107, 3, runs(RING), 0, RING),
    (107, 17, runs(CROWD), 1, CROWD),
    (114, 17, [box(0, 0, 1, 1)], 0, region((0, 0, 1, 1))),
    (128, 3, [box(2, 2, 9, 9)], 0, region((2, 2, 9, 9))),
]
NAMES = {100: "street/a.jpg", 107: "street/b.jpg", 114: "c.v2.jpg", 121: "nothing.jpg", 128: "wrong.jpg"}
IDS = {name.rpartition(".")[0]: image for image, name in NAMES.items()}


def truth(image: int, *, none: int = 0) -> Array:
    """Indexes in the model's table, later annotations over earlier ones."""
    pixels = np.full((H, W), none, np.uint8)
    for of, category, _, crowd, mask in NOTES:
        if of == image:
            pixels[mask] = NONE if crowd else OURS[CATEGORIES[category].lower()]
    return pixels


def content(**changed: Any) -> dict[str, Any]:
    images = [{"id": i, "file_name": name, "height": H, "width": W + (i == 128)} for i, name in NAMES.items()]
    notes = [
        {"id": n, "image_id": i, "category_id": c, "segmentation": s, "iscrowd": crowd}
        for n, (i, c, s, crowd, _) in enumerate(NOTES, 1)
    ]
    categories = [{"id": i, "name": name} for i, name in CATEGORIES.items()]
    return {"images": images, "annotations": notes, "categories": categories, **changed}


def found(tmp_path: Path, told: Any, classes: dict[str, int] = OURS, table: str | None = None) -> References:
    (tmp_path / "coco.json").write_text(told if isinstance(told, str) else json.dumps(told))
    output = bare_output(tmp_path / "out", classes)
    return find_references(Wanted(str(tmp_path / "coco.json"), classes=table), output)


def read(references: References, image_id: str) -> Array:
    pixels = references.read(references.versions(rows(image_id))[image_id])
    return align(pixels, references.how, np.zeros((H, W), np.uint8))[0]


def test_annotations_are_drawn_as_by_hand(tmp_path: Path) -> None:
    references = found(tmp_path, content())
    assert references.total == 5
    for image_id, image in IDS.items():
        if image != 128:
            np.testing.assert_array_equal(read(references, image_id), truth(image), image_id)
    with pytest.raises(ImageError, match="51 x 36 pixels, the mask 50 x 36") as caught:
        read(references, "wrong")
    assert caught.value.code is Code.REFERENCE_SIZE
    assert references.versions(rows("other")) == {}


def test_ids_with_their_extension_are_found_too(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read(found(tmp_path, content()), "street/a.jpg"), truth(100))


def test_without_a_background_what_is_not_annotated_is_left_out(tmp_path: Path) -> None:
    ours = {"person": 1, "car": 2, "sky": 3}
    pixels = read(found(tmp_path, content(), ours), "street/a")
    # Indexes are one less without the first class; 3 says that nothing is known.
    np.testing.assert_array_equal(pixels, np.where(truth(100) == 0, 3, truth(100) - np.uint8(1)))


def test_compressed_runs_are_those_of_pycocotools(tmp_path: Path) -> None:
    from pycocotools import mask as tools

    encoded = tools.encode(np.asfortranarray(RING.astype(np.uint8)))
    told = content()
    told["annotations"][3]["segmentation"] = {"size": [H, W], "counts": encoded["counts"].decode()}
    np.testing.assert_array_equal(read(found(tmp_path, told), "street/b"), truth(107))


def test_a_table_of_categories_merges_them(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,name,as\n3,Car,person\n17,person,person\n90,sky,\n")
    pixels = read(found(tmp_path, content(), table=str(tmp_path / "t.csv")), "street/a")
    assert sorted(set(pixels.reshape(-1).tolist())) == [0, 1, NONE]
    np.testing.assert_array_equal(pixels == NONE, truth(100) == 3)


@pytest.mark.parametrize(
    "segmentation",
    [
        [[0, 0, 5, 5]],
        [[0, 0, 1e30, 5, 5, 5]],
        [[0, 0, float("nan"), 5, 5, 5]],
        [["a"] * 6],
        {"size": [H, W], "counts": [5, -5, H * W]},
        {"size": [H, W], "counts": [H * W + 1]},
        {"size": [W, H], "counts": [H * W]},
        {"size": [H, W], "counts": "PPPPPPPPPPPPo0oooooo"},
        {"size": [H, W], "counts": "\u6728"},
        {"counts": [1]},
        7,
    ],
)
def test_a_region_that_is_none_costs_its_image(tmp_path: Path, segmentation: Any) -> None:
    told = content()
    told["annotations"][0]["segmentation"] = segmentation
    references = found(tmp_path, told)
    with pytest.raises(ImageError) as caught:
        read(references, "street/a")
    assert caught.value.code is Code.REFERENCE_UNREADABLE
    np.testing.assert_array_equal(read(references, "street/b"), truth(107))


@pytest.mark.parametrize(
    "told",
    [
        "[1, 2",
        "[]",
        {"images": []},
        content(categories=[{"id": 70000, "name": "far"}]),
        content(categories=[{"id": 3, "name": "car"}]),
        content(images=[]),
    ],
)
def test_a_file_that_is_none_of_coco_is_refused(tmp_path: Path, told: Any) -> None:
    with pytest.raises(RunError, match="is no COCO file"):
        found(tmp_path, told)


def test_missing_pycocotools_is_said_with_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    monkeypatch.setitem(sys.modules, "pycocotools.mask", None)
    with pytest.raises(RunError, match=r"need pycocotools; pip install 'maskbeam\[export\]'"):
        found(tmp_path, content())


def panoptic(tmp_path: Path, png: str = "a.png") -> dict[str, Any]:
    segments = np.where(region((0, 0, 20, 20)), 7, np.where(CROWD, 70000, 0))
    colors = np.dstack([segments & 255, segments >> 8 & 255, segments >> 16]).astype(np.uint8)
    (tmp_path / "coco").mkdir(exist_ok=True)
    Image.fromarray(colors).save(tmp_path / "coco" / "a.png")
    info = [{"id": 7, "category_id": 17}, {"id": 70000, "category_id": 3, "iscrowd": 1}]
    images = [{"id": 1, "file_name": "a.jpg", "height": H, "width": W}]
    return content(images=images, annotations=[{"image_id": 1, "file_name": png, "segments_info": info}])


def test_panoptic_segments_get_their_categories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    pixels = read(found(tmp_path, panoptic(tmp_path)), "a")
    np.testing.assert_array_equal(pixels, np.where(region((0, 0, 20, 20)), 1, np.where(CROWD, NONE, 0)))


def test_a_segment_that_is_not_told_is_the_images_failure(tmp_path: Path) -> None:
    told = panoptic(tmp_path)
    del told["annotations"][0]["segments_info"][0]
    # The only one there is: then none can be read, which is said before work starts.
    with pytest.raises(RunError, match="segment 7, which the file does not tell"):
        found(tmp_path, told)


def test_a_png_outside_of_the_folder_is_not_read(tmp_path: Path) -> None:
    told = panoptic(tmp_path, "../secret.png")
    (tmp_path / "secret.png").write_bytes((tmp_path / "coco/a.png").read_bytes())
    with pytest.raises(RunError, match="the file is gone"):
        found(tmp_path, told)


def test_a_version_is_that_of_the_images_own_annotations(tmp_path: Path) -> None:
    def versions() -> dict[str, str]:
        reader = open_reader(Wanted(str(tmp_path / "coco.json")))
        return {i: located.version for i, located in reader.versions(rows(*IDS)).items()}

    found(tmp_path, content())
    before = versions()
    told = content()
    told["annotations"][0]["segmentation"] = [box(0, 0, W, 9)]
    told["info"] = "changed"
    found(tmp_path, told)
    assert {i for i, version in versions().items() if version != before[i]} == {"street/a"}
