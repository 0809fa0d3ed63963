"""A file system that fails for moments: nothing is lost, nothing is done twice, and what gives up says so."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from maskbeam.pipeline.job import job as job_module
from maskbeam.pipeline.storage import Conflict, Unavailable, local_errors, local_listing, local_storage
from maskbeam.pipeline.storage.local_storage import LocalStorage
from maskbeam.transforms.errors import RunError
from soak.inputs import shard
from tests.support.fake_faults import Faults
from tests.support.faulty_os import CALLS, KINDS, FaultyOs
from tests.support.numpy_engine import command, run_numpy
from tests.support.small_block_scenes import SmallBlocks, command_of, draw_scenes
from tests.support.trees import differing, draw, tree_of

TRIES = 1 + len(local_errors.PAUSES)
# What a run says that met more faults than it could bear.
SAID = ("The file system failed", "SOURCE_MISSING", "cannot be read", "run the same command again")


def break_calls(patch: pytest.MonkeyPatch, faults: Faults, tries: int = TRIES, root: str = "") -> Faults:
    for module in (local_storage, local_listing):
        patch.setattr(module, "os", FaultyOs(faults, root))
    patch.setattr(local_errors, "PAUSES", (0.0,) * (tries - 1))
    return faults


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Faults:
    return break_calls(monkeypatch, Faults())


def read_stream(storage: LocalStorage, uri: str) -> bytes:
    with storage.open(uri) as stream:
        return stream.read()


def rewrite(storage: LocalStorage, uri: str) -> int:
    found = storage.stat(uri)
    assert found
    return len(storage.write(uri, b"2nd", expected=found.version)[:3])


def calls(root: Path) -> dict[str, Callable[[LocalStorage], Any]]:
    """One call of each kind that local storage has, and what it gives."""
    old = f"{root}/old.png"
    return {
        "list": lambda storage: [os.path.basename(found.uri) for found in storage.list(str(root))],
        "stat": lambda storage: storage.stat(old).size,
        "read": lambda storage: storage.read(old),
        "open": lambda storage: read_stream(storage, old),
        "create": lambda storage: storage.write(f"{root}/a/b/new.png", b"new", expected=None) and 3,
        "replace": lambda storage: rewrite(storage, old),
        "delete": lambda storage: storage.delete(old),
    }


USES = [
    ("list", "scandir"),
    ("list", "stat"),
    ("stat", "stat"),
    ("read", "open"),
    ("open", "open"),
    ("open", "pread"),
    ("create", "open"),
    ("create", "fsync"),
    ("create", "makedirs"),
    ("create", "link"),
    ("create", "stat"),
    ("replace", "open"),
    ("replace", "utime"),
    ("replace", "replace"),
    ("delete", "unlink"),
]


def test_every_call_that_may_fail_is_used() -> None:
    assert {name for _, name in USES} == set(CALLS)


@pytest.mark.parametrize("kind", ["EIO", "ESTALE"])
@pytest.mark.parametrize(("call", "name"), USES)
def test_what_fails_for_a_moment_is_tried_again(
    tmp_path: Path, faults: Faults, call: str, name: str, kind: str
) -> None:
    (tmp_path / "old.png").write_bytes(b"old")
    faults.plan(*[kind] * (TRIES - 1), only=f"{name} ")
    wanted: dict[str, Any] = {"list": ["old.png"], "read": b"old", "open": b"old", "delete": None}
    assert calls(tmp_path)[call](LocalStorage()) == wanted.get(call, 3)
    assert faults.injected.total() == TRIES - 1
    left = {path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    created: dict[str, dict[str, bytes]] = {"create": {"old.png": b"old", "new.png": b"new"}, "delete": {}}
    assert left == created.get(call, {"old.png": b"2nd" if call == "replace" else b"old"})


def test_a_named_file_that_does_not_answer_is_an_input_that_is_lost_and_no_missing_one(
    tmp_path: Path, faults: Faults
) -> None:
    (tmp_path / "old.png").write_bytes(b"old")
    faults.plan(*["EIO"] * TRIES, only="stat ")
    assert [(found.uri, found.size) for found in LocalStorage().list(f"{tmp_path}/old.png")] == [
        (f"{tmp_path}/old.png", 0)
    ]
    assert list(LocalStorage().list(f"{tmp_path}/other.png")) == []


@pytest.mark.parametrize("call", ["create", "replace", "delete"])
def test_what_was_done_and_reported_as_failed_is_not_done_twice(tmp_path: Path, faults: Faults, call: str) -> None:
    (tmp_path / "old.png").write_bytes(b"old")
    faults.plan("done", only={"create": "link ", "replace": "replace ", "delete": "unlink "}[call])
    if call == "replace":
        # The version that was replaced is gone, and what is there now is for the caller to judge.
        with pytest.raises(Conflict):
            calls(tmp_path)[call](LocalStorage())
        assert (tmp_path / "old.png").read_bytes() == b"2nd"
    else:
        calls(tmp_path)[call](LocalStorage())
        assert (tmp_path / "a/b/new.png").exists() == (call == "create")
        assert (tmp_path / "old.png").exists() == (call == "create")
    assert faults.injected.total() == 1


def test_a_name_that_is_taken_is_not_ours_for_having_failed_before(tmp_path: Path, faults: Faults) -> None:
    (tmp_path / "old.png").write_bytes(b"old")
    faults.plan("EIO", only="link ")
    with pytest.raises(Conflict):
        LocalStorage().write(f"{tmp_path}/old.png", b"old", expected=None)


def test_a_folder_that_cannot_be_listed_is_not_taken_for_empty(tmp_path: Path, faults: Faults) -> None:
    (tmp_path / "a").mkdir()
    faults.plan(*["EIO"] * TRIES, only=f"scandir {tmp_path}/a/")
    with pytest.raises(Unavailable, match="The file system failed"):
        list(LocalStorage().list(str(tmp_path)))


def test_a_file_that_does_not_answer_is_listed_so_that_its_loss_shows(tmp_path: Path, faults: Faults) -> None:
    (tmp_path / "a.png").write_bytes(b"1")
    faults.plan(*["EIO"] * TRIES, only=f"stat {tmp_path}/a.png")
    assert [(found.uri, found.size) for found in LocalStorage().list(str(tmp_path))] == [(f"{tmp_path}/a.png", 0)]


def test_links_to_folders_that_do_not_answer_are_not_taken_for_one(tmp_path: Path, faults: Faults) -> None:
    for name in "ab":
        (tmp_path / f"real/.{name}").mkdir(parents=True)
        (tmp_path / f"real/.{name}/{name}.png").write_bytes(b"1")
        (tmp_path / name).symlink_to(tmp_path / f"real/.{name}")
        faults.plan(*["EIO"] * TRIES, only=f"stat {tmp_path}/{name}/")
    assert [Path(found.uri).name for found in LocalStorage().list(str(tmp_path))] == ["a.png", "b.png"]


def draw_intact(folder: Path) -> list[str]:
    """Images in two folders and a shard of some more; nothing of it is broken."""
    for number in range(12):
        draw(folder / f"images/part{number % 2}/{number}.png", number)
    records = [(f"rec/{number}.png", draw(folder / "spare.png", -number).read_bytes()) for number in range(1, 7)]
    (folder / "one.tfrecord").write_bytes(shard(records))
    return [f"{folder}/images/", f"{folder}/one.tfrecord"]


def attempt(argv: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """A run's exit code and all that it says."""
    capsys.readouterr()
    try:
        code, error = run_numpy(argv), ""
    except RunError as refused:
        code, error = 2, str(refused)
    return code, error + "".join(capsys.readouterr())


@pytest.mark.parametrize(("rate", "tries"), [(0.2, TRIES), (0.006, 1)])
@pytest.mark.parametrize("seed", [1, 2])
def test_runs_repeated_until_one_is_done_leave_the_tree_of_one_that_met_no_fault(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    rate: float,
    tries: int,
    seed: int,
) -> None:
    patterns, flags = draw_intact(tmp_path / "in"), ("--products", "color", "--max_failures", "0")
    assert attempt(command(patterns, str(tmp_path / "whole"), *flags), capsys)[0] == 0
    faults = break_calls(monkeypatch, Faults(rate=rate, kinds=KINDS, seed=seed), tries, str(tmp_path))
    codes: list[int] = []
    while 0 not in codes:
        assert len(codes) < 100, codes
        code, told = attempt(command(patterns, str(tmp_path / "out"), *flags), capsys)
        assert code == 0 or not (tmp_path / "out/_SUCCESS").exists()
        assert code == 0 or any(words in told for words in SAID), told
        codes.append(code)
    # A sample whose source does not answer at the very end is left out, and that is all that may be.
    different = differing(tree_of(tmp_path / "whole"), tree_of(tmp_path / "out"))
    assert [path for path in different if not path.startswith("reports/samples/")] == []
    assert not [path for path in different if (tmp_path / "out" / path).exists()]
    assert faults.injected.total() > (100 if tries > 1 else 0), codes


def test_a_scene_of_which_a_fifth_of_all_calls_fail_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    inputs = draw_scenes(tmp_path / "in", 1, (40, 60))
    monkeypatch.setattr(job_module, "Tiling", SmallBlocks)
    assert attempt(command_of(inputs, str(tmp_path / "whole")), capsys)[0] == 0
    faults = break_calls(monkeypatch, Faults(rate=0.2, kinds=KINDS, seed=5), TRIES, str(tmp_path))
    codes: list[int] = []
    while 0 not in codes:
        assert len(codes) < 20, codes
        codes.append(attempt(command_of(inputs, str(tmp_path / "out")), capsys)[0])
    different = differing(tree_of(tmp_path / "whole"), tree_of(tmp_path / "out"))
    assert [path for path in different if not path.startswith("reports/samples/")] == []
    assert not (tmp_path / "out/.blocks").exists()
    assert faults.injected.total() > 30, codes
