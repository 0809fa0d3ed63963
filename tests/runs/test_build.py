"""The whole graph with an engine in numpy: inputs of every kind, local output and objects, give one tree."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from maskbeam.pipeline.inputs.containers.example import make_example
from maskbeam.pipeline.storage import open_storage
from maskbeam.pipeline.storage.gcs_client import forget_client
from tests.support.fake_gcs import FakeGcs
from tests.support.numpy_engine import command, run_numpy
from tests.support.plain_script import as_file, read_pixels
from tests.support.shard_files import write_shard
from tests.support.trees import differing, pixels, save, tree_of

SIZES = {"a": (16, 16), "b b": (9, 31), "deep/ü": (24, 16), "c.1": (1, 1)}
FLAGS = ("--products", "all", "--max_failures", "50%")


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGcs]:
    with FakeGcs() as fake:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", fake.url)
        fake.service.buckets["b"] = {}
        yield fake
        forget_client()


def objects_of(root: str) -> dict[str, bytes]:
    storage = open_storage(root)
    found = {listed.uri.removeprefix(root + "/") for listed in storage.list(root + "/")}
    found |= {"_SUCCESS", ".job.json"}
    return {name: storage.read(f"{root}/{name}") for name in found if not name.startswith("runs/")}


def draw(folder: Path) -> Path:
    for name, size in SIZES.items():
        save(folder / f"{name}.png", pixels(name, size))
    return folder


def shards(folder: Path) -> Path:
    records = [
        make_example({"image/encoded": as_file(pixels(name, size)), "image/filename": f"{name}.png"})
        for name, size in SIZES.items()
    ]
    write_shard(folder / "1.tfrecord", records[:1])
    write_shard(folder / "2", records[1:], compress=True)
    return folder


def manifests(folder: Path) -> list[str]:
    draw(folder / "files")
    uris = {name: str(folder / f"files/{name}.png") for name in SIZES}
    (folder / "list.csv").write_text("uri,id\n" + "".join(f'"{uri}",{name}\n' for name, uri in uris.items()))
    lines = [json.dumps({"uri": uri, "id": name}) for name, uri in uris.items()]
    (folder / "list.jsonl").write_text("\n".join(lines))
    return [str(folder / "list.csv"), str(folder / "list.jsonl")]


def test_every_kind_of_input_gives_the_same_pixels(tmp_path: Path) -> None:
    inputs = [str(draw(tmp_path / "in")), str(shards(tmp_path / "shards")), *manifests(tmp_path / "listed")]
    for number, given in enumerate(inputs):
        out = tmp_path / f"out{number}"
        assert run_numpy(command(given, str(out), *FLAGS)) == 0
        for name, size in SIZES.items():
            expected = pixels(name, size).argmax(-1)
            assert np.array_equal(read_pixels(out / f"masks/{name}.png"), expected)
            assert np.array_equal(read_pixels(out / f"color/{name}.png"), expected)


def test_objects_are_the_same_tree_as_files(tmp_path: Path, bucket: FakeGcs) -> None:
    draw(tmp_path / "in")
    (tmp_path / "in/broken.png").write_bytes(b"nothing")
    shards(tmp_path / "in/shards")
    inputs = str(tmp_path / "in")
    assert run_numpy(command(inputs, str(tmp_path / "out"), *FLAGS)) == 0
    assert run_numpy(command(inputs, "gs://b/some/out", *FLAGS)) == 0
    assert bucket.calls["upload"] > 0
    local, remote = tree_of(tmp_path / "out"), objects_of("gs://b/some/out")
    assert differing(local, remote) == []
    assert len(local) > 4 * 7
    assert run_numpy(command(inputs, "gs://b/some/out", *FLAGS)) == 0
    assert differing(local, objects_of("gs://b/some/out")) == []


def test_objects_are_read_like_files(tmp_path: Path, bucket: FakeGcs) -> None:
    folder = draw(tmp_path / "in")
    for path in (path for path in folder.rglob("*") if path.is_file()):
        bucket.service.store("b", f"in/{path.relative_to(folder)}", path.read_bytes())
    assert run_numpy(command(str(folder), str(tmp_path / "out"))) == 0
    assert run_numpy(command("gs://b/in", str(tmp_path / "out2"))) == 0
    for name in SIZES:
        one, other = (read_pixels(tmp_path / f"{out}/masks/{name}.png") for out in ("out", "out2"))
        assert np.array_equal(one, other)


def test_an_input_may_be_named_twice(tmp_path: Path) -> None:
    inputs = str(draw(tmp_path / "in"))
    shutil.copytree(inputs, tmp_path / "copy")
    patterns = [inputs, str(tmp_path / "copy")]
    assert run_numpy(command(patterns, str(tmp_path / "out"))) == 0
    summary = json.loads((tmp_path / "out/reports/summary.json").read_text())
    assert (summary["inputs"], summary["done"], summary["duplicate"], summary["failed"]) == (8, 4, 4, 0)
    assert run_numpy(command(patterns[::-1], str(tmp_path / "turned"))) == 0
    assert differing(tree_of(tmp_path / "out"), tree_of(tmp_path / "turned")) == []


def test_work_split_over_several_workers_gives_the_same_tree(tmp_path: Path) -> None:
    inputs = str(draw(tmp_path / "in"))
    assert run_numpy(command(inputs, str(tmp_path / "out"), *FLAGS)) == 0
    assert run_numpy(command(inputs, str(tmp_path / "many"), *FLAGS, "--direct_num_workers=3")) == 0
    assert differing(tree_of(tmp_path / "out"), tree_of(tmp_path / "many")) == []
