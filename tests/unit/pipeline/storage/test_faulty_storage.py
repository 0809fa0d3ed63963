from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from maskbeam.pipeline.storage import Conflict, Unavailable
from maskbeam.pipeline.storage.local_storage import LocalStorage
from tests.support.fake_faults import Faults
from tests.support.faulty_storage import LOCAL, FaultyStorage


def insist(call: Callable[[], object]) -> int:
    for failures in range(100):
        try:
            call()
        except Unavailable:
            continue
        return failures
    raise AssertionError("it never worked")


def soak(root: Path, seed: int) -> tuple[list[int], dict[str, bytes]]:
    storage = FaultyStorage(LocalStorage(f"{root}/.tmp"), Faults(rate=0.4, kinds=LOCAL, seed=seed))
    failures = []
    for number in range(40):
        uri = f"{root.name}/{number}.png"

        def write(uri: str = uri, number: int = number) -> None:
            try:
                storage.write(uri, b"%d" % number, expected=None)
            except Conflict:  # done before, and only the answer was lost
                assert storage.inner.read(uri) == b"%d" % number

        failures += [
            insist(write),
            insist(partial(storage.stat, uri)),
            insist(partial(storage.read, uri)),
        ]
    return failures, {path.name: path.read_bytes() for path in root.iterdir() if path.is_file()}


def test_faults_are_many_and_the_same_for_the_same_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trees, failures = [], []
    for name, seed in (("first", 1), ("again", 1), ("other", 2)):
        (tmp_path / name / "out").mkdir(parents=True)
        monkeypatch.chdir(tmp_path / name)
        met, tree = soak(Path("out"), seed)
        trees.append(tree)
        failures.append(met)
    assert trees[0] == trees[1] == trees[2] == {f"{n}.png": b"%d" % n for n in range(40)}
    assert failures[0] == failures[1] != failures[2]
    assert sum(failures[0]) > 30


def test_a_rival_comes_first(tmp_path: Path) -> None:
    faults = Faults()
    faults.plan("rival")
    storage = FaultyStorage(LocalStorage(), faults)
    with pytest.raises(Conflict):
        storage.write(f"{tmp_path}/a.png", b"1", expected=None)
    assert storage.read(f"{tmp_path}/a.png") == b"1"
