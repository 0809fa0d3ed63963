from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from maskbeam.pipeline.references.reader import Located, ReferenceReader, Wanted
from maskbeam.pipeline.references.references import References, find_references
from maskbeam.pipeline.references.template import Template
from maskbeam.pipeline.references.where import open_reader
from maskbeam.transforms.comparison.align import align
from maskbeam.transforms.elements import Array
from maskbeam.transforms.errors import Code, ImageError, RunError
from tests.support.references import bare_output, rows

IDS = np.array([[0, 1, 255], [1, 1, 0]], np.uint8)
CLASSES = {"sky": 0, "road": 1}


def save(path: Path, pixels: Array = IDS) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def found(where: object, tmp_path: Path, **wanted: Any) -> References:
    return find_references(Wanted(str(where), **wanted), bare_output(tmp_path / "out", CLASSES))


def located(reader: ReferenceReader | References, *ids: str) -> list[str]:
    return sorted(reader.versions(rows(*ids)))


def test_a_folder_holds_references_by_id(tmp_path: Path) -> None:
    for name in ("a.png", "street/b.v2.png", "none.png"):
        save(tmp_path / "labels" / name)
    (tmp_path / "labels" / "notes.txt").write_text("no label")
    references = found(tmp_path / "labels", tmp_path)
    assert references.total == 3
    assert located(references, "a", "street/b.v2", "c") == ["a", "street/b.v2"]
    place = references.versions(rows("a"))["a"]
    assert place.where == str(tmp_path / "labels" / "a.png")
    assert references.words == ("3 looked at: 8-bit grey: values are ids",)
    reference, labels = align(references.read(place), references.how, IDS)
    assert reference.tolist() == labels.tolist() == [[0, 1, 2], [1, 1, 0]]


def test_a_folder_is_of_the_extension_that_most_of_it_has(tmp_path: Path) -> None:
    for name in ("a.tif", "b.tif", "c.png"):
        save(tmp_path / "labels" / name)
    references = found(tmp_path / "labels/", tmp_path)
    assert located(references, "a", "b", "c") == ["a", "b"]
    assert references.total == 2


def test_a_version_changes_with_the_file(tmp_path: Path) -> None:
    save(tmp_path / "labels/a.png")
    reader = open_reader(Wanted(str(tmp_path / "labels"), "--truth"))
    before = reader.versions(rows("a"))["a"]
    assert reader.versions(rows("a"))["a"] == before
    save(tmp_path / "labels/a.png", np.zeros((50, 50), np.uint8))
    assert reader.versions(rows("a"))["a"].version != before.version
    with pytest.raises(ImageError, match="altered") as caught:
        reader.read(before)
    assert caught.value.code is Code.REFERENCE_UNREADABLE


@pytest.mark.parametrize(
    ("word", "image_id", "path"),
    [
        ("gt/{id}_labelIds.png", "a/b", "gt/a/b_labelIds.png"),
        ("gt/{id-_leftImg8bit}_gtFine.png", "aachen/x_leftImg8bit", "gt/aachen/x_gtFine.png"),
        ("gt/{id-_leftImg8bit}_gtFine.png", "other", "gt/other_gtFine.png"),
        ("gt/{id}/{id}.tif", "a", "gt/a/a.tif"),
        ("gt/v-{id}.png", "a [1]{}*", "gt/v-a [1]{}*.png"),
        ("{id}.png", "a", "a.png"),
    ],
)
def test_templates_name_references(tmp_path: Path, word: str, image_id: str, path: str) -> None:
    template = Template.parse(f"{tmp_path}/{word}", "--truth")
    assert template.uri_of(image_id) == f"{tmp_path}/{path}"
    # With a dropped ending two ids have one name; the one that has the ending is meant.
    assert template.id_of(f"{tmp_path}/{path}") == ("other_leftImg8bit" if image_id == "other" else image_id)
    assert template.id_of(f"{tmp_path}/gt/{image_id}.webp") is None


@pytest.mark.parametrize(
    "image_id", ["../secret", "a/../../secret", "/etc/passwd", "..", "a\\..\\b", "a//b", "C:/x", ""]
)
@pytest.mark.parametrize("word", ["labels/{id}.png", "labels/{id}/truth.png", "labels/{id-et}.png"])
def test_no_id_leads_out_of_the_folder(tmp_path: Path, image_id: str, word: str) -> None:
    save(tmp_path / "secret.png")
    uri = Template.parse(f"{tmp_path}/{word}", "--truth").uri_of(image_id)
    assert uri.startswith(f"{tmp_path}/labels/")
    assert Path(uri).resolve().is_relative_to(tmp_path / "labels")
    assert located(open_reader(Wanted(f"{tmp_path}/{word}", "--truth")), image_id) == []


@pytest.mark.parametrize("word", ["gt/{name}.png", "gt/{}.png", "gt/{id}{x}.png", "gt/{id.png", "gt/{id}/../x.png"])
def test_a_template_that_is_none_is_refused(word: str) -> None:
    with pytest.raises(RunError, match="--old"):
        open_reader(Wanted(word, "--old"))


@pytest.mark.parametrize("make", ["nothing", "empty", "texts"])
def test_a_folder_without_labels_is_refused(tmp_path: Path, make: str) -> None:
    if make != "nothing":
        (tmp_path / "labels").mkdir()
    if make == "texts":
        (tmp_path / "labels" / "a.txt").write_text("1")
    with pytest.raises(RunError, match=r"--truth .*no folder with images of labels; name the folder of <id>\.png"):
        found(tmp_path / "labels", tmp_path)


def test_references_that_nobody_can_read_are_refused_before_work(tmp_path: Path) -> None:
    save(tmp_path / "labels/a.jpg", np.dstack([IDS] * 3))
    with pytest.raises(RunError, match="none of 1 references that were looked at can be read: it is a JPEG"):
        found(tmp_path / "labels", tmp_path)


def test_one_damaged_reference_costs_its_image(tmp_path: Path) -> None:
    for name in "abc":
        save(tmp_path / f"labels/{name}.png")
    (tmp_path / "labels/b.png").write_bytes((tmp_path / "labels/a.png").read_bytes()[:40])
    references = found(tmp_path / "labels", tmp_path)
    places = references.versions(rows("a", "b", "gone"))
    assert references.read(places["a"]).size == (2, 3)
    for place in (places["b"], Located(str(tmp_path / "labels/x.png"), "1")):
        with pytest.raises(ImageError) as caught:
            references.read(place)
        assert caught.value.code is Code.REFERENCE_UNREADABLE
        assert str(tmp_path) not in caught.value.reason


def test_a_table_with_other_ids_is_paired_by_name(tmp_path: Path) -> None:
    save(tmp_path / "labels/a.png", np.array([[5, 6, 7]], np.uint8))
    (tmp_path / "t.csv").write_text(
        "id,name,as\n5,Road,\n6,lane,road\n7,cloud,sky\n".replace("Road,\n", "Road,road\n")
    )
    references = found(tmp_path / "labels", tmp_path, classes=str(tmp_path / "t.csv"))
    labels = np.array([[1, 1, 0]], np.uint8)
    reference, _ = align(references.read(references.versions(rows("a"))["a"]), references.how, labels)
    assert reference.tolist() == [[1, 1, 0]]
    assert any("gives no channels" in said for said in references.words)


def test_the_sample_is_the_same_for_a_seed_and_another_for_another(tmp_path: Path) -> None:
    for i in range(100):
        save(tmp_path / f"labels/{i}.png")
    reader = open_reader(Wanted(str(tmp_path / "labels"), "--truth"))
    drawn = [reader.sample(list, 10, seed) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert [len(each.images) for each in drawn] == [10, 10, 10]
    assert {each.total for each in drawn} == {100}
