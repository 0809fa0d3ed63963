"""Manifests of what is no list of files are refused with what they are; those that miss single files are not."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from maskbeam.pipeline.commands.inspect.samples import samples
from maskbeam.pipeline.commands.inspect.told import Told
from maskbeam.pipeline.inputs.check_manifests import check_manifests
from maskbeam.pipeline.inputs.survey import survey
from maskbeam.pipeline.models.probing.probe import Probe
from maskbeam.pipeline.options import ModelOptions, OutputOptions, ReadOptions, RunOptions
from maskbeam.pipeline.storage.gcs_client import forget_client
from maskbeam.transforms.errors import RunError
from tests.support.fake_gcs import FakeGcs
from tests.support.shard_files import examples, write_shard, write_tree

CASES = {
    "pairs": (
        "list.txt",
        "a.jpg a.png\nb.jpg b.png\n",
        "line 1 holds more than the name of a file: list one name",
    ),
    "pairs with commas": ("list.txt", "# uri,mask\n\na.jpg,a.png\n", "line 3 holds more than the name of a file"),
    "stems": ("list.txt", "a\nb\n", "none of the first 2 lines .*line 1 is a name without its extension"),
    "stems of elsewhere": (
        "list.txt",
        "2007_000032\n",
        "the only line names no file .*line 1 is no file: write whole names",
    ),
    "quotes": ("list.txt", "\"a.jpg\"\n'b.jpg'\n", "line 1 has quotes around the name of a file"),
    "spaces": ("list.txt", "a.jpg \nb.jpg\t\n", "line 1 has quotes .* or spaces behind it: remove them"),
    "folders": ("list.txt", "sub\nsub/\n", "line 1 is a folder: give it to --input itself"),
    "patterns": ("list.csv", "uri\nsub/*.jpg\n", "line 2 is a pattern: give it to --input itself"),
    "bands": ("list.txt", "{a,b}.jpg\n", "line 1 is a pattern: give it to --input itself"),
    "bands of several": ("list.txt", "[ab]{.jpg,.png}\n", "line 1 is a pattern: give it to --input itself"),
    "bands that are gone": ("list.jsonl", '{"uri": ["x_a.tif", "x_b.tif"]}\n', "line 1 is no file"),
    "a column of masks": ("list.jsonl", '{"uri": "masks/1.png"}\n', "line 1 is no file"),
}


def images(folder: Path) -> Path:
    return write_tree(folder, ["a.jpg", "a.png", "b.jpg", "b.png", "sub/c.jpg"])


@pytest.mark.parametrize("name", CASES)
def test_lines_that_are_no_files_are_refused_by_what_they_are(tmp_path: Path, name: str) -> None:
    file, text, message = CASES[name]
    images(tmp_path / "in dir")
    (tmp_path / "in dir" / file).write_text(text)
    for pattern in (file, file.replace("list", "l*t")):
        with pytest.raises(RunError, match=message) as raised:
            check_manifests([f"{tmp_path}/in dir/{pattern}"])
        # The names of images are nobody's business.
        assert "2007" not in str(raised.value)
        assert "a.png" not in str(raised.value)


def test_what_the_refusal_says_works(tmp_path: Path) -> None:
    folder = images(tmp_path)
    (folder / "list.csv").write_text("uri,mask\na.jpg,a.png\nb.jpg,b.png\n")
    (folder / "list.txt").write_text("a.jpg\nb.jpg\n")
    for pattern in ("list.csv", "list.txt"):
        assert survey(ReadOptions((f"{folder}/{pattern}",))).amount == "2 image files"
    assert survey(ReadOptions((f"{folder}/sub",))).amount == survey(ReadOptions((f"{folder}/sub/*.jpg",))).amount


def test_single_files_that_are_missing_stop_nothing(tmp_path: Path) -> None:
    folder = images(tmp_path)
    (folder / "list.txt").write_text("gone.jpg\n" * 7 + "a.jpg\n" + "gone.jpg\n" * 100)
    (folder / "empty.txt").write_text("# nothing\n")
    check_manifests([f"{folder}/list.txt", f"{folder}/empty.txt", f"{folder}/a.jpg", str(folder), f"{folder}/no.txt"])
    (folder / "list.txt").write_text("gone.jpg\n" * 8 + "a.jpg\n")
    with pytest.raises(RunError, match="none of the first 8 lines"):
        survey(ReadOptions((f"{folder}/list.txt",)))


@pytest.fixture
def objects(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGcs]:
    with FakeGcs() as running:
        running.service.buckets["b"] = {}
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", running.url)
        yield running
        forget_client()


def test_manifests_in_a_bucket(objects: FakeGcs) -> None:
    for name, data in {"a.jpg": b"1", "a b.jpg": b"1", "sub/c.jpg": b"1", "good.txt": b"x.jpg\na b.jpg"}.items():
        objects.service.store("b", name, data)
    for number, (line, message) in enumerate(
        {
            "a.jpg m.png": "holds more",
            "sub": "is a folder",
            "gs://b/s*/*.jpg": "is a pattern",
            "sub/c": "without its",
        }.items()
    ):
        objects.service.store("b", f"{number}.txt", line.encode())
        with pytest.raises(RunError, match=message):
            check_manifests([f"gs://b/{number}.txt"])
    check_manifests(["gs://b/good.txt"])


def test_manifests_are_looked_at_before_work_wherever_input_is_given(tmp_path: Path) -> None:
    folder = images(tmp_path)
    (folder / "pairs.txt").write_text("a.jpg a.png\n")
    read = ReadOptions((f"{folder}/pairs.txt",))
    with pytest.raises(RunError, match="line 1 holds more"):
        survey(read)
    # Nothing of the model is asked before: there is none.
    options = RunOptions(read=read, model=ModelOptions(path=""), output=OutputOptions(path=""))
    with pytest.raises(RunError, match="line 1 holds more"):
        samples(options, cast("Probe", None), Told(lambda _: None))


def test_a_survey_counts_what_is_listed_in_a_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = images(tmp_path / "in")
    write_tree(folder, ["notes.md"], b"text")
    shard = write_shard(tmp_path / "s.tfrecord", examples(1))
    found = survey(ReadOptions((str(folder), str(shard))))
    assert found.amount == "5 image files and 1 TFRecord shard, left out: 1 .md"
    assert found.roots == (f"{folder}/", f"{tmp_path}/")
    monkeypatch.setattr("maskbeam.pipeline.inputs.survey._MOST", 4)
    assert survey(ReadOptions((str(folder), str(shard)))).amount == "over 5 files"
    with pytest.raises(RunError, match="allow_empty"):
        survey(ReadOptions((f"{folder}/*.gif",)))
    assert survey(ReadOptions((f"{folder}/*.gif",), allow_empty=True)).roots == (f"{folder}/*.gif",)


def test_a_survey_tells_of_files_with_the_id_of_another(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    write_tree(folder, ["a.jpg", "a.png", "b.jpg", "sub/a.jpg"], b"image")
    options = ReadOptions((str(folder), f"{folder}/*.jpg"))
    found = survey(options)
    assert found.rivals == 1
    assert "; 1 file has the id of another, and unless the bytes are the same it fails as DUPLICATE_ID" in str(found)
    assert survey(replace(options, keep_extension=True)).rivals == 0
    assert "DUPLICATE_ID" not in str(survey(ReadOptions((f"{folder}/*.jpg",))))
