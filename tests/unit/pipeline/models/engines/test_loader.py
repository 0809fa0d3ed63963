"""A worker holds its model against what the command found out about it."""

import json
import socket
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras
import pytest

from maskbeam.pipeline.job.plan import probe_file
from maskbeam.pipeline.main import main
from maskbeam.pipeline.models.engines.loader import EngineLoader, loaded_model
from maskbeam.pipeline.models.loading.loaded_model import open_model
from maskbeam.pipeline.models.probing.probe import Probe
from maskbeam.pipeline.options import ModelOptions
from maskbeam.pipeline.output.tree import RECORD
from maskbeam.transforms.errors import RunError
from tests.support.models import save, unet
from tests.support.trees import draw_folder

HERE = socket.gethostname()


def options_of(path: Path) -> ModelOptions:
    return ModelOptions(path=str(path), normalize="0..1")


def probed(path: Path) -> Probe:
    options = options_of(path)
    return replace(probe_file(options, open_model(options)), engine="tensorflow")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(unet(keras), tmp_path_factory.mktemp("model") / "unet.keras")


@pytest.fixture(scope="module")
def probe(model: Path) -> Probe:
    return probed(model)


def start(model: Path, probe: Probe, end: str = "labels") -> None:
    EngineLoader(options_of(model), probe, end, 0.5)()


def test_a_worker_with_another_model_file_stops_the_run(model: Path, probe: Probe, tmp_path: Path) -> None:
    other = save(unet(keras, seed=1), tmp_path / "unet.keras")
    with pytest.raises(RunError, match=f"--model {other} on {HERE} is not the file that this run began with"):
        start(other, probe)


def test_a_worker_without_the_model_file_stops_the_run_and_is_named(probe: Probe, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=rf"there is no such file .*\(on {HERE}\)"):
        start(tmp_path / "unet.keras", probe)


def test_a_model_that_was_changed_is_not_loaded(model: Path) -> None:
    with pytest.raises(RunError, match="is not the file that this run began with"):
        loaded_model(options_of(model), "another digest")


@pytest.mark.parametrize("end", ["labels", "logits"])
@pytest.mark.parametrize("other", [{"map_size": (16, 16)}, {"classes": 5}])
def test_a_model_whose_first_call_gives_another_shape_or_class_count_stops_the_run(
    model: Path, probe: Probe, other: dict[str, Any], end: str
) -> None:
    if "classes" in other:
        other = {"head": replace(probe.head, channels=other["classes"], classes=other["classes"])}
    with pytest.raises(RunError, match=rf"the model gives .* on {HERE}, but .* where this run was planned"):
        start(model, replace(probe, **other), end)


def test_a_worker_with_other_versions_of_what_runs_the_model_stops_the_run(model: Path, probe: Probe) -> None:
    assert dict(probe.versions).keys() == {"tensorflow", "keras"}
    older = replace(probe, versions=(("tensorflow", version("tensorflow")), ("keras", "3.0.0")))
    with pytest.raises(RunError, match=rf"^{HERE} has keras {version('keras')} in place of 3.0.0, with which"):
        start(model, older)


def test_an_output_of_older_packages_is_done_again_only_when_told_to(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    argv = ["run", "--input", str(draw_folder(tmp_path / "in", 3)), "--model", str(model), "--output", str(out)]
    argv += ["--normalize", "0..1", "--engine", "tensorflow"]
    assert main(argv) == 0
    record = json.loads((out / RECORD).read_text())
    record["settings"]["engine"] = {"keras": "3.0.0"}
    record["probe"]["versions"] = [["keras", "3.0.0"]]
    record["fingerprint"] = "0" * 16
    (out / RECORD).write_text(json.dumps(record))
    assert main(argv) == 1
    assert "in place of 3.0.0" in capsys.readouterr().err
    assert main([*argv, "--overwrite"]) == 0
    assert json.loads((out / RECORD).read_text())["settings"]["engine"]["keras"] == version("keras")
