"""Whole comparisons of a finished output: their numbers, what is done again, and what stops them."""

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskbeam.pipeline.compare import comparison
from maskbeam.pipeline.compare.compare_files import CLASSES, FLOW, IMAGES
from maskbeam.pipeline.compare.measure import Measure
from maskbeam.pipeline.digests import digest
from maskbeam.pipeline.output.lease import Lease
from maskbeam.pipeline.storage import open_storage
from maskbeam.pipeline.verify.verify import verify
from maskbeam.transforms.errors import RunError
from tests.support.comparisons import IGNORED, boundary_iou, finished, go, iou, mean, pairs
from tests.support.documents import ROOT, first_column, section
from tests.support.numpy_engine import MODEL, command, run_numpy
from tests.support.trees import differing, draw, save, tree_of

TRUTH = ("--truth", "truth")
OUT = Path("out")


@pytest.fixture(scope="module", autouse=True)
def _small_parts() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comparison, "PART_IMAGES", 4)
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, _small_parts: None) -> Path:
    """An output that was compared with its truth."""
    folder = finished(tmp_path_factory.mktemp("made"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert go(OUT, *TRUTH) == 0
    return folder


@pytest.fixture
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, which is the working directory."""
    shutil.copytree(made, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of images that are compared anew."""
    ids: list[str] = []
    call = Measure.__call__

    def counted(self: Measure, image: Any, reference: Any) -> Any:
        ids.append(image.image_id)
        return call(self, image, reference)

    monkeypatch.setattr(Measure, "__call__", counted)
    return ids


def results(here: Path, name: str = "truth") -> dict[str, bytes]:
    """The files of a comparison, without what is kept of parts."""
    files = tree_of(here / "out" / "compare" / name)
    return {path: data for path, data in files.items() if not path.startswith("parts/")}


def summary(here: Path, name: str = "truth") -> dict[str, Any]:
    return dict(json.loads((here / "out" / "compare" / name / "summary.json").read_text()))


def rows(here: Path, table: str) -> list[dict[str, str]]:
    with (here / "out" / "compare" / "truth" / table).open(newline="") as text:
        return list(csv.DictReader(text))


def test_numbers_are_those_of_loops_over_pixels(here: Path) -> None:
    images = dict(pairs(here / "truth", here / "out" / "masks"))
    cells: Counter[tuple[int, int]] = sum(images.values(), Counter())
    held = summary(here)
    assert held["scores"]["miou"] == pytest.approx(mean(iou(cells, c) for c in range(3)), rel=1e-8)
    own = {name: mean(iou(each, c) for c in range(3)) for name, each in images.items()}
    assert held["scores"]["miou_image_mean"] == pytest.approx(mean(own.values()), abs=2e-9)
    right = sum(n for (t, m), n in cells.items() if t == m)
    assert held["scores"]["pixel_accuracy"] == pytest.approx(right / cells.total(), rel=1e-8)
    for c, row in enumerate(rows(here, "classes.csv")):
        assert float(row["iou"]) == pytest.approx(iou(cells, c), rel=1e-8)
        assert float(row["iou_low"]) < float(row["iou"]) < float(row["iou_high"])
        every = [iou(each, c) for each in images.values()]
        assert float(row["iou_image_mean"]) == pytest.approx(mean(every), abs=2e-9)
        assert int(row["images"]) == sum(each is not None for each in every)
    flow = {(int(row["from_id"]), int(row["to_id"])): int(row["pixels"]) for row in rows(here, "flow.csv")}
    assert flow == dict(cells)
    told = {row["id"]: float(row["miou"]) for row in rows(here, "images.csv")}
    assert told == pytest.approx(own, rel=1e-8)
    worst = [each["id"] for each in held["worst"]]
    assert worst == sorted(own, key=lambda name: own[name])[:16]
    assert held["images"]["of"] == held["images"]["compared"] == 25
    assert held["in_words"][1].startswith(f"mIoU     {held['scores']['miou']:.3f} [")
    assert verify(str(here / "out")) == 0


def test_boundaries_are_those_of_loops_over_pixels(here: Path) -> None:
    assert summary(here)["scores"]["boundary_miou"] is None
    masks = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in (here / "out" / "masks").iterdir()}
    assert go(OUT, *TRUTH, "--boundary", "0.02") == 0
    right = [boundary_iou(here / "truth", here / "out" / "masks", c) for c in range(3)]
    assert [float(row["boundary_iou"]) for row in rows(here, "classes.csv")] == pytest.approx(right, rel=1e-8)
    assert summary(here)["scores"]["boundary_miou"] == pytest.approx(mean(right), rel=1e-8)
    assert masks == {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in masks}


@pytest.mark.parametrize(("table", "columns"), [("classes", CLASSES), ("flow", FLOW), ("images", IMAGES)])
def test_columns_are_the_documented_ones(table: str, columns: tuple[str, ...]) -> None:
    told = section(ROOT / "docs" / "relabelling.md", f"### {table}.csv")
    assert first_column(told) == list(columns)


def test_a_second_time_nothing_is_measured_and_nothing_changes(here: Path, measured: list[str]) -> None:
    assert go(OUT, *TRUTH) == 0
    assert sorted(measured) == [f"img{n:04}" for n in range(25)]
    before = tree_of(here / "out")
    measured.clear()
    assert go(OUT, *TRUTH) == 0
    assert measured == []
    assert differing(before, tree_of(here / "out")) == []


def test_one_truth_that_has_changed_costs_its_own_part(here: Path, measured: list[str]) -> None:
    assert go(OUT, *TRUTH) == 0
    measured.clear()
    save(here / "truth" / "img0003.png", np.zeros((16, 16), np.uint8))
    assert go(OUT, *TRUTH) == 0
    assert "img0003" in measured
    assert len(measured) < 25
    found = results(here)
    shutil.rmtree(here / "out" / "compare")
    assert go(OUT, *TRUTH) == 0
    assert differing(found, results(here)) == []


def test_the_size_of_parts_changes_no_byte(made: Path, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "PART_IMAGES", 3)
    assert go(OUT, *TRUTH, "--direct_num_workers=2", "--direct_running_mode=multi_threading") == 0
    assert differing(results(made), results(here)) == []
    # None is left of another division.
    assert {path.name[-14:] for path in (here / "out/compare/truth/parts").iterdir()} == {"-of-00009.json"}


@pytest.mark.parametrize("seed", range(3))
def test_killed_at_any_moment_and_typed_again_it_is_the_same(made: Path, here: Path, seed: int) -> None:
    shutil.rmtree(here / "out" / "compare")
    # The lease, 7 parts, 2 files of images, 2 tables, 16 pictures, 2 of the whole.
    writes = str(random.Random(seed).randrange(1, 30))
    died = subprocess.run(
        [sys.executable, "-m", "tests.support.comparisons", writes, "out", *TRUTH],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert died.returncode == -signal.SIGKILL
    assert not (here / "out/compare/truth/_SUCCESS").exists()
    assert go(OUT, *TRUTH) == 0
    assert differing(results(made), results(here)) == []
    assert set(tree_of(made / "out")) == set(tree_of(here / "out"))


def test_a_run_that_may_change_masks_makes_comparisons_outdated(here: Path) -> None:
    assert (here / "out/compare/truth/_SUCCESS").exists()
    draw(here / "in" / "new.png", "new")
    assert run_numpy(command(str(here / "in"), "out", "--overwrite", "--model", str(ROOT / MODEL))) == 0
    assert not (here / "out/compare/truth/_SUCCESS").exists()
    assert (here / "out/compare/truth/summary.json").exists()
    assert go(OUT, *TRUTH) == 0
    assert summary(here)["images"]["without_reference"] == 1
    assert (here / "out/compare/truth/_SUCCESS").exists()


def test_failures_are_counted_and_told(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = here / "truth"
    (truth / "img0000.png").write_bytes(b"no picture")
    save(truth / "img0001.png", np.zeros((5, 40), np.uint8))
    save(truth / "img0002.png", np.full((16, 16), 77, np.uint8))
    (truth / "img0003.png").unlink()
    save(truth / "img0004.png", np.full((16, 16), IGNORED, np.uint8))
    save(truth / "nobody.png", np.zeros((16, 16), np.uint8))
    (here / "out/masks/img0005.png").unlink()
    assert go(OUT, *TRUTH) == 3
    assert summary(here)["images"] == {
        "of": 25,
        "compared": 20,
        "without_known_pixels": 1,
        "without_reference": 1,
        "failed": {"OUTPUT_BLOCKED": 1, "REFERENCE_SIZE": 1, "REFERENCE_UNREADABLE": 1, "REFERENCE_VALUE": 1},
        "unused_references": 1,
    }
    told = [json.loads(line) for line in (here / "out/compare/truth/failures.jsonl").read_text().splitlines()]
    assert [(each["id"][-4:], each["code"]) for each in told] == [
        ("0000", "REFERENCE_UNREADABLE"),
        ("0001", "REFERENCE_SIZE"),
        ("0002", "REFERENCE_VALUE"),
        ("0005", "OUTPUT_BLOCKED"),
    ]
    assert "77 in 256 pixels" in told[2]["reason"]
    assert told[0]["where"].endswith("/in/img0000.png")
    assert not (here / "out/compare/truth/_SUCCESS").exists()
    out = capsys.readouterr().out
    assert "1 without reference" in out
    assert "1 reference of no image" in out
    assert go(OUT, *TRUTH, "--max_failures", "4") == 0
    assert len(rows(here, "images.csv")) == 20


def test_old_labels_say_what_changed_and_have_a_folder_of_their_own(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert go(OUT, "--old", "truth/{id}.png", "--name", "before") == 0
    held = summary(here, "before")
    assert held["share_changed"] == pytest.approx(1 - held["scores"]["pixel_accuracy"], abs=1e-8)
    assert "of pixels have another class than before" in capsys.readouterr().out
    assert {path.name for path in (here / "out/compare").iterdir()} == {"before", "truth"}


def test_less_than_what_is_required_is_exit_code_3(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert go(OUT, *TRUTH, "--require", "miou=0.999,coverage=0.1") == 3
    assert "MISSED   miou is 0." in capsys.readouterr().out
    assert len(summary(here)["missed"]) == 1
    assert not (here / "out/compare/truth/_SUCCESS").exists()


def test_a_sample_is_drawn_by_its_seed(here: Path) -> None:
    for seed in ("3", "4"):
        assert go(OUT, *TRUTH, "--limit", "6", "--seed", seed) == 0
        ids = sorted(path.stem for path in (here / "truth").iterdir())
        drawn = sorted(ids, key=lambda image_id: digest(f"{seed}/{image_id}"))[:6]
        assert [row["id"] for row in rows(here, "images.csv")] == sorted(drawn)
    assert "no interval: 6 images have a known pixel" in summary(here)["in_words"][1]


def test_images_of_a_group_count_as_one_in_intervals(here: Path) -> None:
    assert go(OUT, *TRUTH, "--group_by", "1") == 0
    alone = summary(here)["intervals"]
    assert alone["miou"][0] < summary(here)["scores"]["miou"] < alone["miou"][1]
    assert alone["of"] == "groups of ids with the same first 1 parts"


def test_a_run_may_compare_at_its_end(made: Path, here: Path) -> None:
    words = command(str(made / "in"), "out", *TRUTH, "--model", str(ROOT / MODEL))
    assert run_numpy(words) == 0
    assert differing(results(made), results(here)) == []
    with pytest.raises(RunError, match="when the whole run has ended"):
        run_numpy([*words, "--part", "1/2"])


def test_a_dry_run_writes_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = tree_of(here / "out")
    assert go(OUT, *TRUTH, "--dry_run") == 0
    assert differing(before, tree_of(here / "out")) == []
    assert "25 references" in capsys.readouterr().err


def test_it_waits_for_nobody_and_disturbs_no_run(here: Path) -> None:
    root = str(here / "out")
    with (
        Lease(open_storage(root), f"{root}/.lock.json", "20260101-000000-abcdef"),
        pytest.raises(RunError, match="is writing"),
    ):
        go(OUT, *TRUTH)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "--truth WHERE or --old WHERE"),
        (["--truth", "a", "--old", "b"], "two comparisons"),
        (["--truth", "nowhere"], "there is no folder"),
        (["--truth", "nowhere", "--require", "beauty=0.5"], "there is no such score"),
        (["--truth", "nowhere", "--require", "miou"], "as in miou=0.8"),
        (["--truth", "nowhere", "--name", "../x"], "is no name"),
    ],
)
def test_wrong_words_are_told(made: Path, words: list[str], said: str) -> None:
    with pytest.raises(RunError, match=said):
        go(made / "out", *words)


def test_a_truth_of_no_image_is_no_success(here: Path) -> None:
    for path in sorted((here / "truth").iterdir()):
        path.rename(path.with_name(f"other-{path.name}"))
    assert go(OUT, *TRUTH) == 1
    assert summary(here)["images"]["unused_references"] == 25
    assert not (here / "out/compare/truth/_SUCCESS").exists()
