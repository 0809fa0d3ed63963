"""What must stop a run: at once with exit code 2 when the command is wrong, loudly with 1 when storage fails."""

import errno
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import pytest

from maskbeam.pipeline import run as run_module
from maskbeam.pipeline.cli.parser import run_options
from maskbeam.pipeline.main import main
from maskbeam.pipeline.storage import local_storage
from maskbeam.pipeline.storage.gcs_client import forget_client
from maskbeam.transforms.errors import RunError
from tests.support import numpy_engine
from tests.support.fake_gcs import FakeGcs
from tests.support.models import save
from tests.support.numpy_engine import MODEL, command, numpy_probe, run_numpy
from tests.support.trees import differing, draw_folder, tree_of


def with_code(path: Path) -> Path:
    image = keras.layers.Input((8, 8, 3))
    lambda_layer = keras.layers.Lambda(lambda x: x, output_shape=(8, 8, 3))
    return save(keras.Model(image, lambda_layer(image)), path / "code.keras")


def with_link(path: Path) -> Path:
    with h5py.File(path / "link.h5", "w") as file:
        file.attrs["model_config"] = "{}"
        file["elsewhere"] = h5py.ExternalLink("/etc/passwd", "/")
    return path / "link.h5"


def cut(path: Path) -> Path:
    (path / "cut.keras").write_bytes(Path(MODEL).read_bytes()[:-1000])
    return path / "cut.keras"


@pytest.mark.parametrize(
    ("make", "flags", "says"),
    [
        (with_code, (), "--trust_model"),
        (with_link, (), "a link"),
        (cut, (), "damaged"),
        (lambda _: Path(MODEL), ("--model_sha256", "0" * 64), "--model_sha256"),
        (lambda _: Path(MODEL), ("--max_pixel", "5"), "did you mean --max_pixels"),
        (lambda path: path / "absent.keras", (), "absent.keras"),
    ],
)
def test_a_model_or_flag_that_is_refused_ends_in_2_and_writes_nothing(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    make: Callable[[Path], Path],
    flags: tuple[str, ...],
    says: str,
) -> None:
    inputs, out = draw_folder(tmp_path / "in", 1), tmp_path / "out"
    argv = ["run", "--input", str(inputs), "--output", str(out), "--model", str(make(tmp_path)), *flags]
    assert main(argv) == 2
    assert says in capsys.readouterr().err
    assert not tree_of(out)


def test_inputs_that_are_not_there_and_tables_that_do_not_fit_end_in_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "two.txt").write_text("sky\nroad\n")
    inputs = draw_folder(tmp_path / "in", 1)
    fits_not = command(str(inputs), str(tmp_path / "out"), "--classes", str(tmp_path / "two.txt"))
    assert numpy_engine.main(fits_not) == 2
    assert "lists 2 classes, but the model has 3 classes" in capsys.readouterr().err
    assert numpy_engine.main(command(str(tmp_path / "nothing*"), str(tmp_path / "out"))) == 2
    assert "matches no image" in capsys.readouterr().err
    assert not tree_of(tmp_path / "out")


def test_a_model_that_a_worker_cannot_read_is_one_clear_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def unreadable() -> Any:
        raise RunError("the model cannot be read here; copy it where workers see it")

    argv = command(str(draw_folder(tmp_path / "in", 20)), str(tmp_path / "out"))
    code = run_module.run(run_options(argv), find_probe=numpy_probe, make_loader=lambda job: (unreadable, job))
    assert code == 1
    assert capsys.readouterr().err.count("the model cannot be read here") == 1
    assert not (tmp_path / "out/_SUCCESS").exists()


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.ENOSPC, "no space left for .*: free some and run the same command again"),
        (errno.EACCES, "permission denied; give this user the right"),
        (errno.EROFS, "read-only file system; give this user the right"),
    ],
)
def test_a_disk_that_refuses_is_loud_and_the_same_command_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, number: int, says: str
) -> None:
    inputs, out = str(draw_folder(tmp_path / "in", 8)), tmp_path / "out"
    written, write = [], local_storage._write_synced

    def refuse(path: str, data: bytes) -> None:
        written.append(path)
        if len(written) > 6:
            raise OSError(number, os.strerror(number), path)
        write(path, data)

    monkeypatch.setattr(local_storage, "_write_synced", refuse)
    assert run_numpy(command(inputs, str(out))) == 1
    said = capsys.readouterr().err
    assert re.search(says, said.lower())
    assert "img0" not in said
    assert not (out / "_SUCCESS").exists()
    monkeypatch.undo()
    (out / ".lock.json").unlink(missing_ok=True)
    assert run_numpy(command(inputs, str(out))) == 0
    assert run_numpy(command(inputs, str(tmp_path / "whole"))) == 0
    assert differing(tree_of(tmp_path / "whole"), tree_of(out)) == []


@pytest.mark.parametrize("fault", ["401", "403"])
def test_a_bucket_that_refuses_ends_the_run_without_a_storm_of_requests(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    inputs = str(draw_folder(tmp_path / "in", 8))
    with FakeGcs() as server:
        server.service.buckets["data"] = {}
        server.faults.rate, server.faults.kinds = 1.0, (fault,)
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        assert numpy_engine.main(command(inputs, "gs://data/out")) in (1, 2)
        assert sum(server.faults.injected.values()) < 10
        forget_client()
    assert "data" in capsys.readouterr().err
