"""What is not maskbeam's in an output stays there, whatever its place, and links lead to no deletion."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from maskbeam.pipeline.output.claim import Claim, claim_text
from maskbeam.pipeline.output.ours import (
    FILES,
    check_layout,
    check_made,
    check_new,
    delete_own,
    delete_staged,
    image_folders,
    is_own,
    names_of,
    runs_staged,
)
from maskbeam.pipeline.output.tree import Tree
from maskbeam.pipeline.storage import open_storage
from maskbeam.pipeline.storage.gcs_client import forget_client
from maskbeam.pipeline.verify.verify import verify
from maskbeam.transforms.codecs.encode import encode_mask
from maskbeam.transforms.errors import RunError
from tests.support.fake_gcs import FakeGcs
from tests.support.numpy_engine import command, run_numpy
from tests.support.trees import draw

RUN, OLD = "20260101-000000-abcdef", "20250101-000000-123456"

OWN = {
    ".tmp": [
        f"{RUN}/0123456789ab",
        f"{RUN}/0123456789abcdef01234567",
        f"{RUN}/progress/host-1-ab.json",
        f"{RUN}/probe.json",
    ],
    "parts": ["1-of-4.json", "12-of-400.lock.json"],
    "failed": ["0123456789abcdef0123456789abcdef.json"],
    "runs": [f"{RUN}.json"],
    "reports": [
        *("summary.json", "classes.csv", "images.csv", "images.parquet", "failures.jsonl"),
        *("images-00001-of-00003.csv", "images-00000-of-00002.parquet", "failures-00001-of-00003.jsonl"),
        *("samples/a.jpg", "samples/deep/ä b.jpg"),
    ],
}
OTHERS = {
    ".tmp": [
        *("notes.txt", "20260101/x", f"x{RUN}/y", "cache/20260101-000000-abcdef/y"),
        *(f"{RUN}/thesis.doc", f"{RUN}/deep/0123456789ab", f"{RUN}/progress/notes.txt"),
    ],
    "parts": ["bracket.step", "1-of-4.json.bak", "sub/1-of-4.json", "1-of-4.step", "plan.json"],
    "failed": ["why.json", "0123456789abcdef.txt", "deep/0123456789abcdef0123456789abcdef.json"],
    "runs": ["marathon.csv", f"{RUN}.txt", f"deep/{RUN}.json"],
    "reports": ["my-notes.md", "images.csv.bak", "images-2024.csv", "old/summary.json", "samples/a.png", "a.jpg"],
}


@pytest.mark.parametrize("folder", OWN)
def test_names_tell_what_is_ours(folder: str) -> None:
    assert [name for name in OWN[folder] if not is_own(folder, name)] == []
    assert [name for name in OTHERS[folder] if is_own(folder, name)] == []


def content(folder: str, name: str) -> str:
    """What a file of ours begins with, where its name alone tells too little."""
    if folder != "parts":
        return "mine"
    return '{"run": "' if "lock" in name else f'{{\n "part": "{name.split(".")[0].replace("-of-", "/")}",'


def put(path: Path, text: str = "mine") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def tree_at(root: Path | str) -> Tree:
    return Tree(str(root), f"{root}/.tmp/{RUN}", "masks/{}.png", "", "")


def left_in(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("folder", ["parts", "reports"])
def test_only_ours_is_deleted_in_a_folder(folder: str, tmp_path: Path) -> None:
    for name in OWN[folder] + OTHERS[folder]:
        put(tmp_path / folder / name, content(folder, name))
    delete_own(tree_at(tmp_path), folder)
    samples = {f"reports/{name}" for name in OWN["reports"] if "samples" in name}
    assert left_in(tmp_path) == {f"{folder}/{name}" for name in OTHERS[folder]} | (
        samples if folder == "reports" else set()
    )


def test_only_folders_of_runs_are_deleted_among_staged_ones(tmp_path: Path) -> None:
    for name in OWN[".tmp"] + OTHERS[".tmp"]:
        put(tmp_path / ".tmp" / name)
    assert runs_staged(tree_at(tmp_path)) == {RUN}
    delete_staged(tree_at(tmp_path), RUN)
    assert left_in(tmp_path) == {f".tmp/{name}" for name in OTHERS[".tmp"]}


@pytest.mark.parametrize("name", ["1-of-4.json", "1-of-4.lock.json"])
@pytest.mark.parametrize("text", ["mine", '{"part": "2/4"}', '{"mine": "1/4"}', "[]"])
def test_a_part_of_others_stays_whatever_its_name(name: str, text: str, tmp_path: Path) -> None:
    put(tmp_path / "parts" / name, text)
    delete_own(tree_at(tmp_path), "parts")
    assert left_in(tmp_path) == {f"parts/{name}"}
    with pytest.raises(RunError, match="/parts holds files that maskbeam did not make"):
        check_new(str(tmp_path), open_storage(str(tmp_path)))


def test_links_called_as_ours_stay_where_content_tells(tmp_path: Path) -> None:
    target = put(tmp_path / "theirs.json", content("parts", "1-of-4.json"))
    for name in ("1-of-4.json", "2-of-4.lock.json"):
        put(tmp_path / "parts" / name).unlink()
        (tmp_path / "parts" / name).symlink_to(target)
    delete_own(tree_at(tmp_path), "parts")
    assert left_in(tmp_path) == {"theirs.json", "parts/1-of-4.json", "parts/2-of-4.lock.json"}


def test_nothing_is_deleted_through_a_link(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    for name in (*OWN["reports"], *OWN["parts"], f"{OLD}/x"):
        put(theirs / name)
    out, linked = tmp_path / "out", tmp_path / "linked"
    for name in ("reports/samples/link", "reports/link", "parts/link", f".tmp/{OLD}"):
        put(out / name).unlink()
        (out / name).symlink_to(theirs)
    (out / "reports/images.csv").symlink_to(theirs / "images.csv")
    (out / "reports/samples/a.jpg").symlink_to(theirs / "samples/a.jpg")
    linked.mkdir()
    for name in ("reports", "parts", ".tmp"):
        (linked / name).symlink_to(theirs)
    before = left_in(theirs)
    for root in (out, linked):
        for folder in ("reports", "parts"):
            delete_own(tree_at(root), folder)
        for run in runs_staged(tree_at(root)):
            delete_staged(tree_at(root), run)
    assert left_in(theirs) == before
    assert not (out / "reports/images.csv").is_symlink()


@pytest.mark.parametrize("folder", [".tmp", "parts", "failed", "runs", "reports"])
def test_a_folder_in_which_files_are_deleted_is_no_link(folder: str, tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / folder).symlink_to(tmp_path / "theirs")
    with pytest.raises(RunError, match="is a link"):
        check_layout(str(tmp_path))


@pytest.mark.parametrize("folder", ["masks", "color", "binary", "reports", ".tmp", "parts", "failed", "runs"])
def test_a_file_where_a_folder_belongs_is_refused(folder: str, tmp_path: Path) -> None:
    put(tmp_path / folder)
    with pytest.raises(RunError, match=f"{folder} must be a folder"):
        check_layout(str(tmp_path))


@pytest.mark.parametrize("name", [".job.json", ".lock.json", "_SUCCESS"])
def test_a_folder_where_a_file_belongs_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(RunError, match=f"{name} must be a file"):
        check_layout(str(tmp_path))


@pytest.mark.parametrize("folder", [".tmp", "parts", "failed", "runs"])
def test_a_new_output_holds_no_folder_of_others(folder: str, tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path))
    for name in OWN[folder]:
        put(tmp_path / folder / name, content(folder, name))
    check_new(str(tmp_path), storage)
    put(tmp_path / folder / OTHERS[folder][0])
    with pytest.raises(RunError, match=f"/{folder} holds files that maskbeam did not make"):
        check_new(str(tmp_path), storage)


def mask_of(fingerprint: str) -> bytes:
    text = claim_text(Claim("1", "1", "1", fingerprint, "i"))
    return encode_mask(np.zeros((2, 2), np.uint8), text=text)


def test_what_a_run_left_whose_record_is_gone_tells_who_made_it(tmp_path: Path) -> None:
    storage, root = open_storage(str(tmp_path)), str(tmp_path)
    assert check_new(root, storage) is None
    put(tmp_path / "masks/a.png").write_bytes(mask_of("f"))
    put(tmp_path / "color/a.png").write_bytes(mask_of("f"))
    put(tmp_path / "reports/summary.json")
    assert check_new(root, storage) == "f"
    check_made(root, "f", "f")
    check_made(root, None, "f")
    with pytest.raises(RunError, match=r"another model or other options made, and .job.json"):
        check_made(root, "f", "other")
    for folder, data in (("masks", mask_of("other")), ("color", b"mine"), ("reports", b"mine")):
        other = put(tmp_path / folder / "x.png")
        other.write_bytes(data)
        with pytest.raises(RunError, match=f"/{folder} holds files, and nothing there tells"):
            check_new(root, storage)
        other.unlink()


def test_a_run_goes_on_where_its_record_is_gone(tmp_path: Path) -> None:
    inputs, out = draw(tmp_path / "in/a.png", 1).parent, tmp_path / "out"
    argv = command(str(inputs), str(out))
    assert run_numpy(argv) == 0
    (out / ".job.json").unlink()
    (out / "_SUCCESS").unlink()
    with pytest.raises(RunError, match="another model or other options"):
        run_numpy([*argv, "--head", "logits", "--upsample", "labels"])
    written = (out / "masks/a.png").stat()
    assert run_numpy(argv) == 0
    assert (out / "masks/a.png").stat() == written


def test_a_new_output_holds_no_success_of_others(tmp_path: Path) -> None:
    put(tmp_path / "_SUCCESS", "")
    with pytest.raises(RunError, match="_SUCCESS is not maskbeam's"):
        check_new(str(tmp_path), open_storage(str(tmp_path)))


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGcs]:
    with FakeGcs() as fake:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", fake.url)
        fake.service.buckets["b"] = {}
        yield fake
        forget_client()


def test_objects_of_others_stay_too(bucket: FakeGcs) -> None:
    for folder in ("parts", "reports", ".tmp"):
        for name in OWN[folder] + OTHERS[folder]:
            bucket.service.store("b", f"out/{folder}/{name}", content(folder, name).encode())
    tree = tree_at("gs://b/out")
    for folder in ("parts", "reports"):
        delete_own(tree, folder)
    for run in runs_staged(tree):
        delete_staged(tree, run)
    left = {name for name in bucket.service.buckets["b"] if "/samples/" not in name}
    expected = {f"out/{folder}/{name}" for folder in ("parts", "reports", ".tmp") for name in OTHERS[folder]}
    assert left == {name for name in expected if "/samples/" not in name}


@pytest.mark.parametrize("folder", [".tmp", "parts"])
def test_a_new_output_in_a_bucket_holds_no_folder_of_others(folder: str, bucket: FakeGcs) -> None:
    for name in OWN[folder]:
        bucket.service.store("b", f"out/{folder}/{name}", content(folder, name).encode())
    check_new("gs://b/out", open_storage("gs://b/out"))
    bucket.service.store("b", f"out/{folder}/{OTHERS[folder][0]}", b"mine")
    with pytest.raises(RunError, match=f"/{folder} holds files that maskbeam did not make"):
        check_new("gs://b/out", open_storage("gs://b/out"))


def test_a_rerun_keeps_what_others_put_into_the_output(tmp_path: Path) -> None:
    inputs, out = draw(tmp_path / "in/a.png", 1).parent, tmp_path / "out"
    assert run_numpy(command(str(inputs), str(out))) == 0
    others = [f"{folder}/{name}" for folder in OTHERS for name in OTHERS[folder]] + ["reports/samples/mine.jpg"]
    others += ["parts/1-of-4.json"]
    for name in others:
        put(out / name)
    put(out / "reports/images-00001-of-00003.csv")
    put(out / f".tmp/{OLD}/0123456789ab")
    (inputs / "a.png").rename(inputs / "b.png")
    assert run_numpy(command(str(inputs), str(out))) == 0
    assert {name for name in others if not (out / name).is_file()} == set()
    assert left_in(out) == {
        *others,
        *("masks/a.png", "masks/b.png", ".job.json", "_SUCCESS", "reports/samples/b.jpg"),
        *(f"reports/{name}" for name in ("summary.json", "classes.csv", "images.csv", "failures.jsonl")),
        *(f"runs/{path.name}" for path in (out / "runs").glob("2*.json")),
    }
    assert json.loads((out / "_SUCCESS").read_text())["done"] == 1
    assert verify(str(out)) == 0


def test_every_file_of_an_output_has_a_name_of_ours(tmp_path: Path) -> None:
    inputs, out = draw(tmp_path / "in/color/a.png", 1).parents[1], tmp_path / "out"
    (inputs / "broken.png").write_bytes(b"no image")
    flags = ("--products", "all", "--parquet", "--max_failures", "1")
    assert run_numpy(command(str(inputs), str(out), *flags)) == 0
    for path in (str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()):
        folder, _, below = path.partition("/")
        known = "color/a" in names_of(path) if folder in image_folders() else path in FILES or is_own(folder, below)
        assert known, path


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("masks/x/a.png", ["x/a"]),
        ("masks/x/a.tif", ["x/a"]),
        ("masks/x/a.tif.aux.xml", ["x/a"]),
        ("masks/a.aux.tif", ["a.aux"]),
        ("color/x/a.png", ["x/a"]),
        ("binary/x/a.png", ["x/a", "a"]),
        ("confidence/a.png", ["a"]),
        ("overlay/a.b.jpg", ["a.b"]),
        ("overlay/../a.jpg", []),
        ("reports/a.jpg", []),
        ("notes.txt", []),
    ],
)
def test_a_file_of_an_image_is_named_after_it(path: str, names: list[str]) -> None:
    assert list(names_of(path)) == names
