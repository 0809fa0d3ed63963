import json
from functools import partial
from pathlib import Path

import pytest

from maskbeam.pipeline.cli.parser import run_options
from maskbeam.pipeline.commands.merge import merge
from maskbeam.pipeline.main import main
from maskbeam.pipeline.options import Part, RunOptions
from maskbeam.pipeline.output.lease import Lease
from maskbeam.pipeline.run import run
from maskbeam.pipeline.storage import open_storage
from maskbeam.transforms.errors import RunError
from tests.support.numpy_engine import MODEL, command, numpy_loader, numpy_probe, run_numpy
from tests.support.trees import differing, draw_folder, tree_of

FLAGS = ("--products", "all", "--max_failures", "50%", "--background", "1,2,3")


@pytest.fixture
def images(tmp_path: Path) -> str:
    folder = draw_folder(tmp_path / "in", 7)
    (folder / "broken.png").write_bytes(b"nothing")
    (folder / "img0001.jpg").write_bytes((folder / "img0002.png").read_bytes())
    return str(folder)


def merge_numpy(out: Path, typed: RunOptions | None = None) -> int:
    return merge(str(out), typed, run=partial(run, find_probe=numpy_probe, make_loader=numpy_loader))


def test_parts_divide_the_ids() -> None:
    for count in (1, 2, 5):
        held = [[Part(index + 1, count).holds(f"scan {number}") for index in range(count)] for number in range(200)]
        assert all(sum(row) == 1 for row in held)
        assert all(any(row[index] for row in held) for index in range(count))


def test_parts_that_an_older_version_has_done_are_merged(images: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for number in (1, 2):
        assert run_numpy(command(images, str(out), *FLAGS, "--part", f"{number}/2")) == 0
        flags = {"input": [images], "model": str(Path(MODEL).absolute()), "max_failures": "50%"}
        flags |= {"products": "binary,color,confidence,overlay", "background": "1,2,3"}
        told = {"part": f"{number}/2", "options": {"flags": flags, "trusted": False}}
        (out / f"parts/{number}-of-2.json").write_text(json.dumps(told))
    assert merge_numpy(out) == 0
    assert (out / "_SUCCESS").exists()


@pytest.mark.parametrize("word", ["0/2", "3/2", "1", "1/2/3", "a/b", "-1/2", "1/0"])
def test_words_that_are_no_part(word: str, images: str) -> None:
    with pytest.raises(RunError, match="is no part"):
        run_options(command(images, "out", "--part", word))


def test_parts_and_a_merge_give_what_one_run_gives(images: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for part in ("2/3", "1/3", "3/3"):
        assert run_numpy(command(images, str(out), *FLAGS, "--part", part)) == 0
        assert not (out / "_SUCCESS").exists()
        assert not (out / ".tmp").exists()
    runs = [json.loads(path.read_text()) for path in (out / "runs").iterdir()]
    assert sum(run["inputs"] for run in runs) == 9
    assert max(run["inputs"] for run in runs) < 9
    masks = {path: path.stat().st_mtime_ns for path in (out / "masks").iterdir()}
    assert merge_numpy(out) == 0
    assert {path: path.stat().st_mtime_ns for path in (out / "masks").iterdir()} == masks
    assert run_numpy(command(images, str(tmp_path / "whole"), *FLAGS)) == 0
    assert differing(tree_of(tmp_path / "whole"), tree_of(out)) == []
    assert not (out / "parts").exists()
    assert main(["verify", str(out)]) == 0


def test_parts_are_merged_from_any_folder(images: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    (tmp_path / "labels.csv").write_text("name\none\ntwo\nthree\n")
    (tmp_path / "elsewhere").mkdir()
    flags = ("--model", str(Path(MODEL).absolute()), "--classes", "labels.csv", "--max_failures", "50%")
    monkeypatch.chdir(tmp_path)
    assert run_numpy(command(images, "out", *flags, "--part", "1/1")) == 0
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert merge_numpy(out) == 0
    assert "three" in (out / "reports/classes.csv").read_text()


def test_parts_that_are_missing_are_named(images: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(RunError, match="holds no finished part"):
        merge_numpy(out)
    assert run_numpy(command(images, str(out), *FLAGS, "--part", "2/3")) == 0
    with pytest.raises(RunError, match=r"--part 1/3, 3/3"):
        merge_numpy(out)


def test_a_part_of_too_many_failures_names_what_will_tell_them(
    images: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    codes = [run_numpy(command(images, str(out), "--part", part)) for part in ("1/2", "2/2")]
    assert 3 in codes
    told = capsys.readouterr().out
    assert "`maskbeam merge` writes reports/failures.jsonl" in told
    assert not (out / "reports").exists()
    assert merge_numpy(out) == 3
    assert len((out / "reports/failures.jsonl").read_text().splitlines()) == 2


def test_parts_of_other_options_do_not_mix(images: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run_numpy(command(images, str(out), *FLAGS, "--part", "1/2")) == 0
    with pytest.raises(RunError, match="made otherwise"):
        run_numpy(command(images, str(out), *FLAGS, "--upsample", "labels", "--part", "2/2"))
    assert run_numpy(command(images, str(out), *FLAGS, "--part", "2/2", "--max_failures", "40%")) == 0
    with pytest.raises(RunError, match="different options: --max_failures"):
        merge_numpy(out)
    assert run_numpy(command(images, str(out), *FLAGS, "--part", "1/3")) == 0
    with pytest.raises(RunError, match="of 2 and of 3"):
        merge_numpy(out)


def test_each_part_holds_a_lease_of_its_own(images: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    storage = open_storage(str(out))
    with Lease(storage, f"{out}/parts/1-of-2.lock.json", "another"):
        _forge_host(out / "parts/1-of-2.lock.json")
        assert run_numpy(command(images, str(out), *FLAGS, "--part", "2/2")) == 0
        for flags in ((), ("--part", "1/2")):
            with pytest.raises(RunError, match="is writing to this output"):
                run_numpy(command(images, str(out), *FLAGS, *flags))
        (out / "parts/1-of-2.lock.json").unlink()
    with Lease(storage, f"{out}/.lock.json", "another"):
        _forge_host(out / ".lock.json")
        with pytest.raises(RunError, match="is writing to this output"):
            run_numpy(command(images, str(out), *FLAGS, "--part", "1/2"))
        (out / ".lock.json").unlink()


def _forge_host(lock: Path) -> None:
    """As if another machine held it."""
    lock.write_text(json.dumps({**json.loads(lock.read_text()), "host": "elsewhere"}))
