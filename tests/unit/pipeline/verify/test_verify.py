import json
import shutil
from pathlib import Path

import pytest

from maskbeam.pipeline.output.claim import TEXT_KEY, parse_record, record_text
from maskbeam.pipeline.verify.verify import verify
from maskbeam.transforms.codecs.encode import decode_mask, encode_mask, read_text
from maskbeam.transforms.errors import RunError
from tests.support.numpy_engine import command, run_numpy
from tests.support.trees import draw, draw_folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    draw_folder(folder / "in", 6)
    assert run_numpy(command(str(folder / "in"), str(folder / "out"), "--products", "all")) == 0
    return folder / "out"


@pytest.fixture
def out(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "out"))


def differences(out: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    code = verify(str(out))
    found = [line for line in capsys.readouterr().out.splitlines() if line.startswith("DIFFERENT")]
    assert code == bool(found)
    return found


def test_an_untouched_output_has_no_difference(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert not differences(out, capsys)


def test_classes_that_overlap_are_verified_by_their_binary_masks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draw_folder(tmp_path / "in", 3)
    out = tmp_path / "out"
    flags = ("--head", "multilabel", "--products", "binary,confidence")
    assert run_numpy(command(str(tmp_path / "in"), str(out), *flags)) == 0
    assert not differences(out, capsys)
    shutil.copy(out / "binary/class_1/img0001.png", out / "binary/class_1/img0002.png")
    assert any("binary/class_1/img0002.png" in line for line in differences(out, capsys))


def test_a_mask_altered_at_the_same_size_is_found(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = out / "masks/img0002.png"
    labels = decode_mask(path.read_bytes()).copy()
    labels[0, 0] = (labels[0, 0] + 1) % 3
    path.write_bytes(encode_mask(labels, text=read_text(path.read_bytes())))
    found = differences(out, capsys)
    assert any("masks/img0002.png carries a record that its pixels contradict" in line for line in found)
    assert any("reports/classes.csv differs" in line for line in found)
    assert any("binary/class_" in line and "differs from its mask" in line for line in found)


def test_a_record_that_fits_its_altered_mask_still_differs_from_the_report(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = out / "masks/img0002.png"
    other = out / "masks/img0003.png"
    path.write_bytes(other.read_bytes())
    found = differences(out, capsys)
    assert any("belongs to another source" in line for line in found)
    assert any("images.csv says something else of img0002" in line for line in found)


@pytest.mark.parametrize("name", ["masks/img0001.png", "color/img0001.png", "confidence/img0001.png"])
def test_one_flipped_bit_is_found(out: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    data = bytearray((out / name).read_bytes())
    data[-20] ^= 1
    (out / name).write_bytes(data)
    assert any(name in line for line in differences(out, capsys))


@pytest.mark.parametrize("folder", ["masks", "color", "confidence", "overlay", "binary/class_2"])
def test_a_missing_or_truncated_file_is_found(out: Path, capsys: pytest.CaptureFixture[str], folder: str) -> None:
    lost, cut = sorted((out / folder).iterdir())[:2]
    lost.unlink()
    cut.write_bytes(cut.read_bytes()[:-1])
    found = differences(out, capsys)
    assert any(f"{folder}/{lost.name} is missing" in line for line in found)
    assert any(f"{folder}/{cut.name}" in line for line in found)


@pytest.mark.parametrize(
    ("path", "old", "new", "expected"),
    [
        ("reports/images.csv", "img0004,16,16", "img0004,16,17", "images.csv says something else of img0004"),
        ("reports/classes.csv", "class_1", "class_9", "classes.csv differs"),
        ("reports/summary.json", '"total": 1536', '"total": 1535', "summary.json differs"),
        ("reports/summary.json", '"done": 6', '"done": 5', "6 inputs are not 5 + 0 + 0"),
        ("_SUCCESS", '"failed": 0', '"failed": 1', "_SUCCESS counts 1 failures"),
        ("_SUCCESS", '"fingerprint": "', '"fingerprint": "0', "_SUCCESS was written with another model"),
    ],
)
def test_a_report_that_says_something_else_is_found(
    out: Path, capsys: pytest.CaptureFixture[str], path: str, old: str, new: str, expected: str
) -> None:
    text = (out / path).read_text()
    assert old in text
    (out / path).write_text(text.replace(old, new, 1))
    assert any(expected in line for line in differences(out, capsys))


def test_a_row_too_few_is_found_and_its_files_are_orphans(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = (out / "reports/images.csv").read_text().splitlines(keepends=True)
    (out / "reports/images.csv").write_text("".join(line for line in lines if not line.startswith("img0003")))
    assert verify(str(out)) == 1
    said = capsys.readouterr().out
    assert "reports/images.csv lists 5" in said
    assert "ORPHAN    masks/img0003.png" in said


def test_the_same_is_told_as_one_json_document(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = (out / "reports/images.csv").read_text().splitlines(keepends=True)
    (out / "reports/images.csv").write_text("".join(line for line in lines if not line.startswith("img0003")))
    verify(str(out))
    lines = capsys.readouterr().out.splitlines()
    assert verify(str(out), format="json") == 1
    told = json.loads(capsys.readouterr().out)
    for word, name in (("DIFFERENT", "differences"), ("ORPHAN", "orphans")):
        shown = [line[len("DIFFERENT ") :] for line in lines if line.startswith(word)]
        assert (told[name], told[f"first_{name}"]) == (len(shown), shown)
        assert shown
    assert (told["output"], told["images"], told["success"]) == (str(out), 5, True)


def test_inputs_of_an_earlier_command_are_orphans_and_no_difference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draw(tmp_path / "old/a.png", 1)
    draw(tmp_path / "new/b.png", 2)
    out = str(tmp_path / "out")
    assert run_numpy(command(str(tmp_path / "old"), out)) == 0
    assert run_numpy(command(str(tmp_path / "new"), out)) == 0
    capsys.readouterr()
    assert verify(out) == 0
    assert "ORPHAN    masks/a.png" in capsys.readouterr().out


def test_files_that_other_options_left_are_a_difference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw(tmp_path / "in/a.png", 1)
    out = tmp_path / "out"
    assert run_numpy(command(str(tmp_path / "in"), str(out), "--products", "color")) == 0
    left = (out / "color/a.png").read_bytes()
    assert run_numpy(command(str(tmp_path / "in"), str(out), "--ignore_label", "9", "--overwrite")) == 0
    assert verify(str(out)) == 0
    (out / "color").mkdir()
    (out / "color/a.png").write_bytes(left)
    assert any("color/a.png is not of this model" in line for line in differences(out, capsys))


def test_an_output_whose_run_had_too_many_failures_is_verified_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    draw(tmp_path / "in" / "a.png", "a")
    (tmp_path / "in" / "b.png").write_bytes(b"no image")
    assert run_numpy(command(str(tmp_path / "in"), str(out))) == 3
    assert verify(str(out)) == 0
    assert "there is no _SUCCESS" in capsys.readouterr().out


def test_an_output_without_reports_is_refused(out: Path) -> None:
    (out / "_SUCCESS").unlink()
    (out / "reports" / "summary.json").unlink()
    with pytest.raises(RunError, match="no run has finished"):
        verify(str(out))


def test_names_that_reports_make_safe_are_found_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("=cmd()", "a,b", 'q"q', "line\nbreak", "ends ", "\udcff", "mu\u0308", "[x]*", "back\\slash"):
        draw(tmp_path / "in" / f"{name}.png", name)
    out = tmp_path / "out"
    assert run_numpy(command(str(tmp_path / "in"), str(out))) == 0
    assert not differences(out, capsys)


def test_a_record_is_read_back_as_it_was_written(out: Path) -> None:
    text = read_text((out / "masks/img0001.png").read_bytes())
    record = parse_record(text[TEXT_KEY])
    assert record is not None
    assert record_text(record) == text
    assert json.loads(text[TEXT_KEY])["products"]["color/{}.png"] == (out / "color/img0001.png").stat().st_size


def test_only_so_many_differences_are_shown(
    out: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("maskbeam.pipeline.verify.verify._SHOWN", 2)
    shutil.rmtree(out / "color")
    found = differences(out, capsys)
    assert len(found) == 2
