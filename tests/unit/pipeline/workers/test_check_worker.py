from pathlib import Path

import pytest

from maskbeam import __version__
from maskbeam.pipeline.output.tree import RECORD, Tree
from maskbeam.pipeline.workers.check_worker import CheckWorker
from maskbeam.transforms.errors import RunError


def tree(root: Path) -> Tree:
    return Tree(str(root), str(root / ".tmp"), "masks/{}.png", "", "")


def test_a_worker_that_sees_the_output_hands_elements_on(tmp_path: Path) -> None:
    (tmp_path / RECORD).write_text("{}")
    element = object()
    assert CheckWorker(tree(tmp_path), __version__)(element) is element


def test_a_worker_that_does_not_share_the_outputs_disk_stops_the_run(tmp_path: Path) -> None:
    check = CheckWorker(tree(tmp_path), __version__)
    for _ in range(2):
        with pytest.raises(RunError, match=f"does not see the output {tmp_path}"):
            check(1)


def test_another_version_stops_the_run_and_is_named(tmp_path: Path) -> None:
    (tmp_path / RECORD).write_text("{}")
    with pytest.raises(RunError, match=f"runs maskbeam {__version__} and the command maskbeam 99.0"):
        CheckWorker(tree(tmp_path), "99.0")(1)


def test_a_worker_looks_once(tmp_path: Path) -> None:
    (tmp_path / RECORD).write_text("{}")
    check = CheckWorker(tree(tmp_path), __version__)
    assert check(1) == 1
    (tmp_path / RECORD).unlink()
    assert check(2) == 2
