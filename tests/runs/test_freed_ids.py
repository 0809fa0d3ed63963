"""Inputs that take over an id: its old source was renamed, converted or moved inside a shard since it was done."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from maskbeam.pipeline.inputs import read
from maskbeam.pipeline.inputs.containers.tfrecord import ShardRecord
from maskbeam.pipeline.reports.free_ids import free_ids
from maskbeam.pipeline.storage import NotFound
from maskbeam.pipeline.verify.verify import verify
from maskbeam.transforms.elements import Chunk
from soak.inputs import shard
from tests.support.numpy_engine import command, run_numpy
from tests.support.small_runs import planned
from tests.support.trees import differing, draw, draw_folder, tree_of

# Digests of paths decide whether an old or a new source comes first: of as many as these, some of either do.
COUNT = 24


def run(inputs: Path, out: Path, *flags: str) -> int:
    return run_numpy(command(str(inputs), str(out), "--products", "all", *flags))


def codes(out: Path) -> set[str]:
    return {json.loads(line)["code"] for line in (out / "reports/failures.jsonl").read_text().splitlines()}


def convert(folder: Path) -> None:
    """PNGs become BMPs of the same names."""
    for path in sorted(folder.glob("*.png")):
        Image.open(path).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(path.with_suffix(".bmp"))
        path.unlink()


def check_the_same_command_heals(inputs: Path, out: Path, *flags: str) -> None:
    """The first run frees the ids whose old sources come first, the second one gives them to the new."""
    assert run(inputs, out, *flags) == 3
    assert codes(out) == {"ID_FREED"}
    assert not (out / "_SUCCESS").exists()
    assert run(inputs, out, *flags) == 0
    assert run(inputs, out.parent / "at_once") == 0
    assert differing(tree_of(out.parent / "at_once"), tree_of(out)) == []
    assert verify(str(out)) == 0


def test_images_that_were_converted_in_place(tmp_path: Path) -> None:
    inputs, out = draw_folder(tmp_path / "in", COUNT), tmp_path / "out"
    assert run(inputs, out) == 0
    convert(inputs)
    check_the_same_command_heals(inputs, out)


def test_a_shard_that_was_written_in_another_order(tmp_path: Path) -> None:
    path, out = tmp_path / "a.tfrecord", tmp_path / "out"
    drawn = [(f"r{number}.png", draw(tmp_path / "spare.png", number).read_bytes()) for number in range(COUNT)]
    path.write_bytes(shard(drawn))
    assert run(path, out) == 0
    path.write_bytes(shard(drawn[::-1]))
    check_the_same_command_heals(path, out)


def test_an_id_whose_source_is_an_input_still_is_not_freed(tmp_path: Path) -> None:
    inputs, out = draw_folder(tmp_path / "in", COUNT), tmp_path / "out"
    assert run(inputs, out) == 0
    masks = tree_of(out / "masks")
    for path in inputs.glob("*.png"):
        Image.open(path).rotate(90).save(path.with_suffix(".bmp"))
    assert run(inputs, out, "--max_failures", "100%") == 0
    assert codes(out) == {"DUPLICATE_ID"}
    assert run(inputs, tmp_path / "at_once", "--max_failures", "100%") == 0
    assert differing(tree_of(tmp_path / "at_once"), tree_of(out)) == []
    assert masks.keys() == tree_of(out / "masks").keys()


def test_the_mask_of_another_command_is_nobodys_to_free(tmp_path: Path) -> None:
    draw(tmp_path / "a/one.png", 1)
    draw(tmp_path / "b/one.png", 2)
    out = tmp_path / "out"
    assert run(tmp_path / "a", out) == 0
    mask = (out / "masks/one.png").read_bytes()
    assert run(tmp_path / "b", out, "--max_failures", "1") == 0
    assert codes(out) == {"DUPLICATE_ID"}
    assert (out / "masks/one.png").read_bytes() == mask


@pytest.mark.parametrize("code", ["SOURCE_MISSING", "UNREADABLE"])
def test_an_id_whose_source_failed_this_time_is_kept_for_it(tmp_path: Path, code: str) -> None:
    inputs, out = draw_folder(tmp_path / "in", COUNT), tmp_path / "out"
    assert run(inputs, out) == 0
    masks = tree_of(out / "masks").keys()
    for path in sorted(inputs.glob("*.png")):
        Image.open(path).rotate(90).save(path.with_suffix(".bmp"))
        path.unlink()
        path.symlink_to("/nowhere") if code == "SOURCE_MISSING" else path.write_bytes(b"damaged")
    assert run(inputs, out, "--max_failures", "100%") == 0
    assert codes(out) <= {"DUPLICATE_ID", code}
    assert tree_of(out / "masks").keys() == masks


@pytest.mark.parametrize("flags", [("--limit", "20"), ()])
def test_a_run_that_saw_only_a_part_of_the_inputs_frees_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: tuple[str, ...]
) -> None:
    inputs, out = draw_folder(tmp_path / "in", COUNT), tmp_path / "out"
    shards = tmp_path / "in/a.tfrecord"
    shards.write_bytes(shard([("r.png", (inputs / "img0000.png").read_bytes())]))
    assert run(inputs, out) == 0
    masks = tree_of(out / "masks").keys()
    convert(inputs)
    if not flags:
        monkeypatch.setattr(read, "read_chunk_records", _gone)
    assert run(inputs, out, *flags) == 3
    assert "ID_FREED" in codes(out)
    assert tree_of(out / "masks").keys() == masks


@pytest.mark.parametrize("linked", ["", "masks", "color", "masks/a"])
def test_nothing_is_freed_through_a_link(tmp_path: Path, caplog: pytest.LogCaptureFixture, linked: str) -> None:
    draw(tmp_path / "in/one.png", 1)
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    files = [out / "masks/a/b.png", out / "color/a/b.png", out / "overlay/a/b.jpg"]
    for path in files:
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x")
    if linked:
        (out / linked).rename(elsewhere)
        (out / linked).symlink_to(elsewhere)
    (out / "reports").mkdir()
    freed, other = ({"code": code, "id": "a/b"} for code in ("ID_FREED", "DUPLICATE_ID"))
    (out / "reports/failures.jsonl").write_text(json.dumps(other))
    job = planned(tmp_path / "in", out, "--products", "color,overlay", "--overwrite").job
    (out / ".lock.json").write_text(json.dumps({"run": job.run, "expires": time.time() + 60}))
    free_ids(job)
    assert all(path.exists() for path in files)
    (out / "reports/failures.jsonl").write_text(json.dumps(freed))
    free_ids(job)
    assert [path.exists() for path in files] == [bool(linked)] * 3
    assert ("behind a link" in caplog.text) == bool(linked)


def _gone(chunk: Chunk) -> Iterator[ShardRecord]:
    raise NotFound
    yield


def test_a_file_of_another_image_whose_id_begins_with_a_class_is_not_freed(tmp_path: Path) -> None:
    draw(tmp_path / "in/one.png", 1)
    out = tmp_path / "out"
    freed = [out / path for path in ("masks/a.png", "color/a.png", "binary/class_0/a.png", "overlay/a.jpg")]
    kept = [out / path for path in ("masks/class_0/a.png", "color/class_0/a.png", "overlay/class_0/a.jpg")]
    for path in (*freed, *kept):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    (out / "reports").mkdir()
    (out / "reports/failures.jsonl").write_text(json.dumps({"code": "ID_FREED", "id": "a"}))
    job = planned(tmp_path / "in", out, "--products", "all", "--overwrite").job
    (out / ".lock.json").write_text(json.dumps({"run": job.run, "expires": time.time() + 60}))
    free_ids(job)
    assert [path for path in freed if path.exists()] == []
    assert [path for path in kept if not path.exists()] == []
