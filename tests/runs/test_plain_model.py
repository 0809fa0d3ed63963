"""A rewriting of layers that is wrong costs no label: the run takes the model as it was loaded, and says so."""

import json
from pathlib import Path
from typing import Any, NoReturn

import keras
import pytest
from PIL import Image as Pillow

from maskbeam.pipeline.cli.parser import run_options
from maskbeam.pipeline.models.engines import as_loaded
from maskbeam.pipeline.models.engines import loader as engines
from maskbeam.pipeline.models.engines.keras_cpu import fold
from maskbeam.pipeline.output.tree import RECORD
from maskbeam.pipeline.run import run
from maskbeam.transforms.errors import RunError
from tests.support.models import normalized, save
from tests.support.trees import differing, draw_folder, tree_of

RIGHT = fold.fold
Captured = pytest.CaptureFixture[str]


def wrong(convolution: Any, normalization: Any) -> fold.Weights:
    kernel, bias = RIGHT(convolution, normalization)
    return fold.Weights(-kernel, bias)


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    model, images = save(normalized(keras), tmp_path / "m.keras"), draw_folder(tmp_path / "in", 5, (32, 32))
    return ["--input", str(images), "--model", str(model), "--normalize", "0..1", "--output"]


def made(command: list[str], out: Path, *flags: str, engine: str = "tensorflow") -> Path:
    engines._start.cache_clear()
    assert run(run_options([*command, str(out), "--engine", engine, *flags])) == 0
    return out


def pixels(out: Path) -> dict[str, bytes]:
    """Of masks, whose records tell a flag that was given."""
    found = {path.name: Pillow.open(path).tobytes() for path in (out / "masks").iterdir()}
    assert len(set(found.values())) == 5
    return found


@pytest.mark.parametrize("engine", ["tensorflow", "openvino"])
def test_a_wrong_form_is_told_and_not_used(
    engine: str, command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Captured
) -> None:
    plain = made(command, tmp_path / "plain", "--plain_model", engine=engine)
    assert "layers as they were loaded: --plain_model" in capfd.readouterr().err
    monkeypatch.setattr(fold, "fold", wrong)
    out = made(command, tmp_path / "out", engine=engine)
    assert "layers as they were loaded: rewritten for a CPU they give only" in capfd.readouterr().err
    assert differing(pixels(plain), pixels(out)) == []
    before = tree_of(out)
    # A rerun takes the form from the record.
    made(command, out, engine=engine)
    assert differing(before, tree_of(out)) == []


def test_the_comparison_changes_nothing_of_a_sound_form(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_it = made(command, tmp_path / "with")
    monkeypatch.setattr(as_loaded, "sound_form", lambda loaded, probe, **_: (probe, None))
    assert differing(tree_of(with_it), tree_of(made(command, tmp_path / "without"))) == []


def test_an_output_that_knows_of_no_form_goes_on_without_the_model(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = made(command, tmp_path / "out")
    record = json.loads((out / RECORD).read_text())
    # As older versions wrote it.
    assert "plain" not in record["probe"]
    assert "plain_model" not in record["model_options"]

    def unwanted(*_: Any) -> NoReturn:
        raise AssertionError("it is known already")

    with monkeypatch.context() as patch:
        patch.setattr("maskbeam.pipeline.job.plan.loaded_model", unwanted)
        made(command, out)
    with pytest.raises(RunError, match="--plain_model: not given, now yes"):
        made(command, out, "--plain_model")
