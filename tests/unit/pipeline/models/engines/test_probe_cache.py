"""What a job finds out about a model is taken by the next, as long as nothing that decides about it has changed."""

import errno
import json
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

import keras
import pytest

from maskbeam.pipeline import run as run_module
from maskbeam.pipeline.cli.parser import run_options
from maskbeam.pipeline.models.engines import choose_engine, engine_kind, openvino_engine
from maskbeam.pipeline.models.engines import loader as engines
from maskbeam.pipeline.models.engines import probe_cache as kept_probe
from maskbeam.pipeline.models.engines.probe_cache import TOLD, keep_probe, recall_probe
from maskbeam.pipeline.models.engines.sealed import write_sealed
from maskbeam.pipeline.models.files.model_file import ModelFile
from maskbeam.pipeline.models.probing.probe import Probe
from maskbeam.pipeline.options import ModelOptions, RunOptions
from maskbeam.pipeline.output.tree import RECORD
from maskbeam.pipeline.run import run
from maskbeam.transforms.errors import RunError
from tests.support.models import save, unet
from tests.support.numpy_engine import numpy_probe
from tests.support.trees import draw_folder, tree_of

FILE = ModelFile("m.keras", Path("m.keras"), "keras", "3", "a" * 64, 1)
OPTIONS = RunOptions(model=ModelOptions(path="/m.keras"))
SETTLED = replace(
    numpy_probe(OPTIONS.model, FILE), engine="openvino", agreement=1.0, versions=(("keras", version("keras")),)
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def changed(**options: Any) -> RunOptions:
    return replace(OPTIONS, model=replace(OPTIONS.model, **options))


def test_what_was_kept_comes_back_as_it_was() -> None:
    assert recall_probe(OPTIONS, FILE) is None
    keep_probe(OPTIONS, SETTLED)
    assert recall_probe(OPTIONS, FILE) == SETTLED
    # Wherever the model lies, whatever is read, and wherever masks go.
    elsewhere = replace(changed(path="/other.keras"), output=replace(OPTIONS.output, path="/elsewhere"))
    assert recall_probe(elsewhere, FILE) is not None


@pytest.mark.parametrize(
    "options",
    [
        changed(normalize="-1..1"),
        changed(resize="letterbox"),
        changed(engine="openvino"),
        replace(OPTIONS, label=replace(OPTIONS.label, threshold=0.7)),
        replace(OPTIONS, label=replace(OPTIONS.label, upsample="labels")),
        replace(OPTIONS, output=replace(OPTIONS.output, products=frozenset({"confidence"}))),
    ],
)
def test_other_options_find_out_for_themselves(options: RunOptions) -> None:
    keep_probe(OPTIONS, SETTLED)
    assert recall_probe(options, FILE) is None
    keep_probe(options, SETTLED)
    assert recall_probe(options, FILE) is not None


@pytest.mark.parametrize(
    "probe",
    [
        replace(SETTLED, digest="b" * 64),
        replace(SETTLED, versions=(("keras", "0.1"),)),
        replace(SETTLED, engine="tensorflow"),
        replace(SETTLED, engine=""),
    ],
)
def test_what_is_of_another_model_version_or_engine_is_not_taken(probe: Probe, cache: Path) -> None:
    keep_probe(OPTIONS, SETTLED)
    (place,) = cache.rglob("*.json")
    write_sealed(place, probe.to_json())
    assert recall_probe(OPTIONS, FILE) is None


@pytest.mark.parametrize(
    ("options", "probe"),
    [
        (changed(custom_objects=("tests.support.custom_layers",)), SETTLED),
        (changed(mixed_precision=True), SETTLED),
        (OPTIONS, replace(SETTLED, engine="tensorflow")),
    ],
)
def test_nothing_is_kept_where_more_decides_or_where_it_is_of_no_use(
    options: RunOptions, probe: Probe, cache: Path
) -> None:
    keep_probe(options, probe)
    assert not cache.exists()


@pytest.mark.parametrize(
    "text", ["", "{}", "[1]", "null", '{"spec": 1}', "\0", json.dumps(json.loads(SETTLED.to_json()) | {"head": None})]
)
def test_a_damaged_one_is_as_good_as_none(cache: Path, text: str) -> None:
    keep_probe(OPTIONS, SETTLED)
    (place,) = cache.rglob("*.json")
    place.write_text(text)
    assert recall_probe(OPTIONS, FILE) is None
    write_sealed(place, text)
    assert recall_probe(OPTIONS, FILE) is None


def test_a_changed_one_is_as_good_as_none(cache: Path) -> None:
    """It reads well and fits, and every pixel would be wrong."""
    keep_probe(OPTIONS, SETTLED)
    (place,) = cache.rglob("*.json")
    place.write_text(place.read_text().replace('"channel_order": "rgb"', '"channel_order": "bgr"'))
    assert '"bgr"' in place.read_text()
    assert recall_probe(OPTIONS, FILE) is None
    keep_probe(OPTIONS, SETTLED)
    assert recall_probe(OPTIONS, FILE) is not None


def test_a_place_that_takes_no_files_harms_nobody(cache: Path) -> None:
    cache.write_text("a file where a folder should be")
    keep_probe(OPTIONS, SETTLED)
    assert recall_probe(OPTIONS, FILE) is None


@pytest.mark.parametrize(
    ("module", "name", "value"),
    [
        (kept_probe, "PROBE_VERSION", kept_probe.PROBE_VERSION + 1),
        (openvino_engine, "GRAPH_VERSION", openvino_engine.GRAPH_VERSION + 1),
        (openvino_engine, "processor", lambda: "another"),
    ],
)
def test_what_else_decides_is_kept_apart(
    monkeypatch: pytest.MonkeyPatch, module: Any, name: str, value: object
) -> None:
    keep_probe(OPTIONS, SETTLED)
    with monkeypatch.context() as patch:
        patch.setattr(module, name, value)
        assert recall_probe(OPTIONS, FILE) is None
    assert recall_probe(OPTIONS, FILE) is not None


def test_a_full_disk_leaves_nothing_and_keeps_what_was_there(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep_probe(OPTIONS, SETTLED)
    before = tree_of(cache)

    def full(path: Path, text: str) -> NoReturn:
        path.write_bytes(text[:9].encode())
        raise OSError(errno.ENOSPC, "no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        keep_probe(OPTIONS, replace(SETTLED, agreement=0.5))
    assert tree_of(cache) == before


def test_an_openvino_that_cannot_be_loaded_is_no_mistake_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    keep_probe(OPTIONS, SETTLED)
    monkeypatch.setitem(sys.modules, "maskbeam.pipeline.models.engines.openvino_engine", None)
    assert recall_probe(OPTIONS, FILE) is None


def test_with_a_gpu_auto_looks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    keep_probe(OPTIONS, SETTLED)
    named = changed(engine="openvino")
    keep_probe(named, SETTLED)
    monkeypatch.setattr(engine_kind, "has_gpu", lambda: True)
    assert recall_probe(OPTIONS, FILE) is None
    assert recall_probe(named, FILE) is not None


def job(folder: Path) -> list[str]:
    images, model = draw_folder(folder / "in", 3), save(unet(keras), folder / "m.keras")
    return ["--input", str(images), "--model", str(model), "--normalize", "0..1", "--output"]


def unwanted(*_: Any) -> NoReturn:
    raise AssertionError("it is known already")


def test_the_next_job_loads_no_model_to_find_out_and_makes_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    command = job(tmp_path)
    outputs = [tmp_path / name for name in ("first", "second", "other")]
    assert run(run_options([*command, str(outputs[0])])) == 0
    assert TOLD not in capfd.readouterr().err
    with monkeypatch.context() as patch:
        patch.setattr(run_module, "probe_file", unwanted)
        patch.setattr(choose_engine, "compare_engines", unwanted)
        assert run(run_options([*command, str(outputs[1])])) == 0
        assert TOLD in capfd.readouterr().err
        with pytest.raises(AssertionError, match="known already"):
            run(run_options([*command, str(outputs[2]), "--upsample", "labels"]))
    first, second = (tree_of(output / "masks") for output in outputs[:2])
    assert len(first) == 3
    assert first == second
    summaries = [(output / "reports/summary.json").read_bytes() for output in outputs[:2]]
    assert summaries[0] == summaries[1]


def test_the_next_job_loads_no_tensorflow(tmp_path: Path) -> None:
    command = job(tmp_path)
    code = (
        "import sys; from maskbeam.pipeline.main import main; code = main(sys.argv[1:]); "
        "print('tensorflow' in sys.modules); sys.exit(code)"
    )
    loaded = []
    for name in ("first", "second"):
        arguments = [sys.executable, "-c", code, "run", *command, str(tmp_path / name)]
        loaded.append(subprocess.run(arguments, check=True, capture_output=True, text=True).stdout.split()[-1])
    assert loaded == ["True", "False"]


def test_a_damaged_model_is_converted_anew(tmp_path: Path, cache: Path) -> None:
    command = job(tmp_path)
    assert run(run_options([*command, str(tmp_path / "first")])) == 0
    (weights,) = cache.rglob("model.bin")
    whole = weights.read_bytes()
    # One weight, so that OpenVINO takes it: its constants of shapes are whole.
    weight = unet(keras).get_weights()[0].flat[0]
    weights.write_bytes(whole.replace(weight.tobytes(), (-weight).tobytes()))
    assert weights.read_bytes() != whole
    engines._start.cache_clear()
    assert run(run_options([*command, str(tmp_path / "second")])) == 0
    assert weights.read_bytes() == whole
    assert tree_of(tmp_path / "first" / "masks") == tree_of(tmp_path / "second" / "masks")


def test_a_model_that_does_not_fit_is_found_out_before_work_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = job(tmp_path)
    assert run(run_options([*command, str(tmp_path / "first")])) == 0

    def too_large(*_: Any) -> NoReturn:
        raise MemoryError("no room")

    engines._start.cache_clear()
    monkeypatch.setattr(openvino_engine.OpenVinoEngine, "run", too_large)
    with pytest.raises(RunError, match="does not fit into this machine's memory"):
        run(run_options([*command, str(tmp_path / "second")]))
    assert not (tmp_path / "second" / RECORD).exists()


def test_only_what_a_job_found_out_itself_is_kept(tmp_path: Path, cache: Path) -> None:
    """The record of an output tells what its own options gave, and perhaps an older version of maskbeam."""
    command = [*job(tmp_path), str(tmp_path / "out")]
    assert run(run_options(command)) == 0
    kept = tree_of(cache / "maskbeam" / "openvino" / "probes")
    assert run(run_options([*command, "--overwrite", "--upsample", "labels"])) == 0
    assert tree_of(cache / "maskbeam" / "openvino" / "probes") == kept
