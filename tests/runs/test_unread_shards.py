"""A shard that storage does not give to its end: all that could be read is done, and the run is no success."""

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from maskbeam.pipeline.inputs import read
from maskbeam.pipeline.inputs.read_shard import read_chunk_records
from maskbeam.pipeline.storage import local_errors, local_storage
from maskbeam.transforms.elements import Chunk
from soak.inputs import shard
from tests.support.numpy_engine import command, run_numpy
from tests.support.trees import differing, draw, draw_folder, tree_of

# More than one read of a local stream.
RECORDS, SIZE = 8, (300, 300)
FLAGS = ("--max_failures", "100%")


@pytest.fixture
def patterns(tmp_path: Path) -> list[str]:
    folder = draw_folder(tmp_path / "in", 3)
    spare = folder / "spare.png"
    drawn = [(f"rec/{number}.png", draw(spare, number, SIZE).read_bytes()) for number in range(RECORDS)]
    spare.unlink()
    (tmp_path / "a.tfrecord").write_bytes(shard(drawn))
    return [f"{folder}/", f"{tmp_path}/a.tfrecord"]


def run(patterns: list[str], out: Path, *flags: str) -> int:
    return run_numpy(command(patterns, str(out), *FLAGS, *flags))


def codes(out: Path) -> list[str]:
    return [json.loads(line)["code"] for line in (out / "reports/failures.jsonl").read_text().splitlines()]


def fail_behind_the_first_megabyte(patch: pytest.MonkeyPatch) -> None:
    def pread(descriptor: int, size: int, offset: int) -> bytes:
        if offset:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return os.pread(descriptor, size, offset)

    class BadSector:
        def __getattr__(self, name: str) -> Any:
            return pread if name == "pread" else getattr(os, name)

    patch.setattr(local_storage, "os", BadSector())
    patch.setattr(local_errors, "PAUSES", ())


def test_an_error_in_the_middle_is_no_success_and_the_same_command_goes_on(
    tmp_path: Path, patterns: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        fail_behind_the_first_megabyte(patch)
        assert run(patterns, out) == 3
    assert "1 part of shards could not be read to the end" in capsys.readouterr().out
    assert codes(out) == ["SHARD_UNREAD"]
    assert not (out / "_SUCCESS").exists()
    assert 3 < len(list((out / "masks").rglob("*.png"))) < 3 + RECORDS
    assert run(patterns, out) == 0
    assert run(patterns, tmp_path / "at_once") == 0
    assert differing(tree_of(tmp_path / "at_once"), tree_of(out)) == []


def vanish(patch: pytest.MonkeyPatch) -> None:
    def reading(chunk: Chunk) -> Any:
        if chunk.shard:
            Path(chunk.shard.uri).unlink()
        return read_chunk_records(chunk)

    patch.setattr(read, "read_chunk_records", reading)


def test_a_shard_that_vanished_since_it_was_listed_is_no_success(
    tmp_path: Path, patterns: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    vanish(monkeypatch)
    out = tmp_path / "out"
    assert run(patterns, out) == 3
    assert (codes(out), len(list((out / "masks").iterdir()))) == (["SHARD_UNREAD"], 3)
    assert not (out / "_SUCCESS").exists()


@pytest.mark.parametrize("part", ["1/2", "2/2"])
def test_no_part_is_a_success_without_records_of_its_own(
    tmp_path: Path, patterns: list[str], monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    vanish(monkeypatch)
    assert run(patterns, tmp_path / "out", "--part", part) == 3


def test_damage_inside_a_shard_keeps_to_the_limit(tmp_path: Path, patterns: list[str]) -> None:
    path = tmp_path / "a.tfrecord"
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 3] + b"damaged" + data[len(data) // 3 + 7 :])
    assert run(patterns, tmp_path / "out") == 0
    assert codes(tmp_path / "out") == ["DAMAGED_RECORD"]
