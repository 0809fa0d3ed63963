"""References in records, in a manifest's column, and in another output; and ids that fit better otherwise."""

import gzip
import json
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskbeam.pipeline.output.finished_rows import FinishedImage
from maskbeam.pipeline.references.outputs import OutputReferences
from maskbeam.pipeline.references.reader import NoReferenceError, Wanted
from maskbeam.pipeline.references.references import find_references
from maskbeam.pipeline.references.where import open_reader
from maskbeam.pipeline.storage import open_storage
from maskbeam.transforms.elements import Array, Source
from maskbeam.transforms.errors import Code, ImageError, RunError
from tests.support.references import bare_output, rows

KEY = "image/segmentation/class/encoded"
CLASSES = {"sky": 0, "road": 1, "car": 2}


def png(pixels: Array) -> bytes:
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def ids(value: int) -> Array:
    return np.full((2, 3), value, np.uint8)


def shard(path: Path, compressed: bool) -> list[FinishedImage]:
    """A shard whose second record lacks the label, and whose fourth one is damaged within."""
    import tensorflow as tf

    features = [{KEY: png(ids(0))}, {"other": b"1"}, {KEY: png(ids(2))}, {KEY: b"no image"}]
    offsets, data = [], b""
    for each in features:
        held = {k: tf.train.Feature(bytes_list=tf.train.BytesList(value=[v])) for k, v in each.items()}
        with tf.io.TFRecordWriter(str(path)) as writer:
            writer.write(tf.train.Example(features=tf.train.Features(feature=held)).SerializeToString())
        offsets.append(len(data))
        data += path.read_bytes()
    path.write_bytes(gzip.compress(data) if compressed else data)
    return [FinishedImage(str(n), Source(f"{path}#{offset}", ""), {}) for n, offset in enumerate(offsets)]


@pytest.mark.parametrize("compressed", [False, True])
def test_records_hold_their_own_references(tmp_path: Path, compressed: bool) -> None:
    images = shard(tmp_path / "a.tfrecord", compressed)
    reader = open_reader(Wanted(f"key:{KEY}"))
    places = reader.versions([*images, *rows("file", "odd#7")])
    assert list(places) == ["0", "1", "2", "3"]
    np.testing.assert_array_equal(reader.read(places["2"]).pixels, ids(2))
    with pytest.raises(NoReferenceError):
        reader.read(places["1"])
    found = [each for _, each in reader.read_all(places.values())]
    np.testing.assert_array_equal(getattr(found[0], "pixels"), ids(0))  # noqa: B009 - one of two types
    assert isinstance(found[1], NoReferenceError)
    assert isinstance(found[3], ImageError)
    assert found[3].code is Code.REFERENCE_UNREADABLE


def test_a_shard_that_changed_or_went_costs_its_images(tmp_path: Path) -> None:
    images = shard(tmp_path / "a.tfrecord", compressed=False)
    reader = open_reader(Wanted(f"key:{KEY}"))
    places = reader.versions(images)
    (tmp_path / "a.tfrecord").write_bytes(b"something else")
    with pytest.raises(ImageError, match="altered"):
        reader.read(places["0"])
    (tmp_path / "a.tfrecord").unlink()
    with pytest.raises(ImageError, match="gone"):
        reader.read(places["0"])
    assert reader.versions(images) == {}


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_column_of_the_manifest_names_references(tmp_path: Path, form: str) -> None:
    for name, value in (("a", 1), ("b", 2)):
        (tmp_path / f"{name}_truth.png").write_bytes(png(ids(value)))
    lines = [
        ("x/a.jpg", "a_truth.png"),
        ("x/b.jpg", str(tmp_path / "b_truth.png")),
        ("x/c.jpg", ""),
        ("x/d.jpg", "no.png"),
    ]
    manifest = tmp_path / f"m.{form}"
    if form == "csv":
        manifest.write_text("uri,Truth\n" + "".join(f"{uri},{truth}\n" for uri, truth in lines))
    else:
        manifest.write_text("".join(json.dumps({"uri": uri, "Truth": truth}) + "\n" for uri, truth in lines))
    reader = open_reader(Wanted("column:Truth", inputs=(str(manifest),)))
    places = reader.versions(rows(*"abcde", where=f"{tmp_path}/x/{{}}.jpg"))
    assert list(places) == ["a", "b"]
    np.testing.assert_array_equal(reader.read(places["b"]).pixels, ids(2))


def test_a_column_needs_its_manifest_and_something_in_it(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("uri,truth\na.jpg,\n")
    with pytest.raises(RunError, match="say column:NAME and --input MANIFEST"):
        open_reader(Wanted("column:truth"))
    with pytest.raises(RunError, match="there is no manifest"):
        open_reader(Wanted("column:truth", inputs=(str(tmp_path / "no.csv"),)))
    for column in ("truth", "other"):
        with pytest.raises(RunError, match="no manifest has anything"):
            open_reader(Wanted(f"column:{column}", inputs=(str(tmp_path / "m.csv"),)))


@pytest.mark.parametrize("where", ["key:label", "column:label"])
def test_anonymous_outputs_do_not_tell_where_images_lie(tmp_path: Path, where: str) -> None:
    (tmp_path / "m.csv").write_text("uri,label\na.jpg,a.png\n")
    output = bare_output(tmp_path / "out", CLASSES)
    output.settings["--anonymous_ids"] = "keyed 00"
    with pytest.raises(RunError, match=r"--anonymous_ids\); name references by their ids"):
        find_references(Wanted(where, inputs=(str(tmp_path / "m.csv"),)), output)


def test_another_output_brings_its_own_classes(tmp_path: Path) -> None:
    other = bare_output(tmp_path / "other", {"Road": 0, "SKY": 7}, {"a": np.array([[0, 7, 255]], np.uint8)})
    reader = OutputReferences(other)
    place = reader.versions(rows("a", "b"))["a"]
    np.testing.assert_array_equal(reader.read(place).pixels, [[0, 7, 255]])
    ours = bare_output(tmp_path / "out", CLASSES).classes
    table = reader.table(None, ours)
    assert table is not None
    assert table.names == ("Road", "SKY")
    Path(place.where).write_bytes(Path(place.where).read_bytes()[:-20])
    with pytest.raises(ImageError) as caught:
        reader.read(reader.versions(rows("a"))["a"])
    assert caught.value.code is Code.REFERENCE_UNREADABLE


def test_a_folder_with_an_unfinished_output_is_no_folder_of_labels(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / ".job.json").write_text('{"settings": {}}')
    with pytest.raises(RunError, match="run the same command again"):
        open_reader(Wanted(str(tmp_path / "other")))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (np.array([1, 2, 3, 255]), "its ids less one would agree"),
        (np.array([0, 1, 2, 255]), ""),
        (np.array([2, 1, 0, 255]), "its ids exchanged (2 as 0, 0 as 2) would agree"),
    ],
)
def test_ids_that_fit_far_better_otherwise_are_said(tmp_path: Path, wrong: Array, words: str) -> None:
    truth = np.random.default_rng(0).choice([0, 0, 0, 1, 2, 2, 3], (20, 30)).astype(np.uint8)
    masks = {name: np.where(truth == 3, 255, truth).astype(np.uint8) for name in "ab"}
    (tmp_path / "labels").mkdir()
    for name in "abc":
        (tmp_path / "labels" / f"{name}.png").write_bytes(png(wrong.astype(np.uint8)[truth]))
    output = bare_output(tmp_path / "out", CLASSES, masks)
    said = find_references(Wanted(str(tmp_path / "labels")), output).words[1:]
    assert len(said) == bool(words)
    assert all(each.startswith(words) and "--truth_classes FILE" in each for each in said)


def test_storage_stays_open_to_other_processes(tmp_path: Path) -> None:
    import pickle

    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.png").write_bytes(png(ids(1)))
    references = find_references(Wanted(str(tmp_path / "labels")), bare_output(tmp_path / "out", CLASSES))
    again = pickle.loads(pickle.dumps(references))
    np.testing.assert_array_equal(again.read(again.versions(rows("a"))["a"]).pixels, ids(1))
    assert open_storage(str(tmp_path)).stat(str(tmp_path / "labels" / "a.png")) is not None
