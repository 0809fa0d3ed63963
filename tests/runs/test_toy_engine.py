"""An engine of one's own is one file and one line: it is chosen, compared, run, rerun and told of as others are."""

import io
import json
import re
import subprocess
import sys
import tokenize
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from maskbeam.pipeline.cli.parser import run_options
from maskbeam.pipeline.main import main
from maskbeam.pipeline.models.engines import engine_kind, registry
from maskbeam.pipeline.models.engines import loader as engines
from maskbeam.pipeline.models.engines.probe_cache import TOLD
from maskbeam.pipeline.output.tree import RECORD
from maskbeam.pipeline.run import run
from maskbeam.pipeline.verify.verify import verify
from maskbeam.transforms.errors import RunError
from tests.support import toy_engine
from tests.support.models import save
from tests.support.plain_script import read_pixels
from tests.support.trees import differing, draw, draw_folder

WITHOUT = dict(registry.MODULES)
Patch = pytest.MonkeyPatch
Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def toy(tmp_path: Path, monkeypatch: Patch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setitem(registry.MODULES, "toy", "tests.support.toy_engine")
    toy_engine.batches.clear()


def colours(*, activation: str | None = None, side: int = 1) -> Any:
    """A model that weighs each pixel's colours."""
    image = keras.layers.Input((32, 32, 3))
    scores = keras.layers.Conv2D(4, side, padding="same", activation=activation)(image)
    model = keras.Model(image, scores)
    shape = model.get_weights()[0].shape
    kernel = np.random.default_rng(0).normal(0, 3, shape).astype(np.float32)
    model.set_weights([kernel, np.linspace(-1, 1, 4, dtype=np.float32)])
    return model


def command(tmp_path: Path, model: Any) -> list[str]:
    images = draw_folder(tmp_path / "in", 5, (32, 32))
    return ["--input", str(images), "--model", str(save(model, tmp_path / "m.keras")), "--normalize", "0..1"]


def go(argv: list[str], out: Path, *flags: str) -> int:
    engines._start.cache_clear()
    return run(run_options([*argv, "--output", str(out), *flags]))


def masks(out: Path) -> dict[str, bytes]:
    return {path.name: read_pixels(path).tobytes() for path in (out / "masks").iterdir()}


def test_a_run_and_a_rerun_give_what_tensorflow_gives(tmp_path: Path, monkeypatch: Patch, capfd: Captured) -> None:
    argv, out = command(tmp_path, colours()), tmp_path / "out"
    assert go(argv, out, "--engine", "toy") == 0
    assert "engine toy 1.2: 100.0000% of labels on a probe batch are TensorFlow's" in capfd.readouterr().err
    record = json.loads((out / RECORD).read_text())
    assert record["settings"]["engine"]["toy"] == "1.2"
    assert record["probe"]["engine"] == "toy"
    assert record["probe"]["batch_size"] == 3
    assert go(argv, tmp_path / "other", "--engine", "tensorflow") == 0
    assert differing(masks(tmp_path / "other"), masks(out)) == []
    assert len(set(masks(out).values())) == 5

    toy_engine.batches.clear()
    draw(tmp_path / "in" / "new.png", "new", (32, 32))
    monkeypatch.setattr("maskbeam.pipeline.models.engines.choose_engine.compare_engines", None)
    assert go(argv, out, "--engine", "toy") == 0
    # One to warm up, and the new image.
    assert toy_engine.batches == [1, 1]
    assert len(masks(out)) == 6
    assert verify(str(out)) == 0


def test_it_is_found_by_itself_where_those_before_it_are_not(
    tmp_path: Path, monkeypatch: Patch, capfd: Captured
) -> None:
    argv = command(tmp_path, colours())
    monkeypatch.setattr(engine_kind, "find_spec", lambda name: None)
    assert go(argv, tmp_path / "out") == 0
    told = capfd.readouterr().err
    assert "engine toy 1.2: 100.0000% of labels" in told
    assert "not installed" not in told


def test_openvino_is_before_it_in_the_registry(tmp_path: Path) -> None:
    assert go(command(tmp_path, colours()), tmp_path / "out") == 0
    assert json.loads((tmp_path / "out" / RECORD).read_text())["probe"]["engine"] == "openvino"
    assert not toy_engine.batches


@pytest.mark.parametrize(
    ("model", "faults", "why"),
    [
        ({"activation": "softmax"}, {}, "Toy computes no probabilities"),
        ({"side": 3}, {}, r"Toy cannot run this model \(NotImplementedError\)"),
        ({}, {"sign": -1}, r"with Toy only \d+\.\d{4}% of labels on a probe batch are TensorFlow's"),
    ],
)
def test_what_it_cannot_do_is_left_to_tensorflow(
    model: dict[str, Any], faults: dict[str, Any], why: str, tmp_path: Path, monkeypatch: Patch, capfd: Captured
) -> None:
    argv = command(tmp_path, colours(**model))
    monkeypatch.delitem(registry.MODULES, "openvino")
    monkeypatch.setitem(toy_engine.ENGINE.faults, "sign", faults.get("sign", 1))
    with pytest.raises(RunError, match=f"^--engine toy: {why}; use --engine tensorflow.$"):
        go(argv, tmp_path / "out", "--engine", "toy")
    assert go(argv, tmp_path / "out") == 0
    assert re.search(rf"engine tensorflow: {why}\n", capfd.readouterr().err)
    assert json.loads((tmp_path / "out" / RECORD).read_text())["probe"]["engine"] == "tensorflow"


def test_what_was_found_out_is_kept_for_the_next_job_where_it_says_so(
    tmp_path: Path, monkeypatch: Patch, capfd: Captured
) -> None:
    monkeypatch.setattr(toy_engine, "ENGINE", replace(toy_engine.ENGINE, kept_in=tmp_path / "kept"))
    monkeypatch.delitem(registry.MODULES, "openvino")
    argv = command(tmp_path, colours())
    for number, flags in enumerate([(), ("--engine", "toy")]):
        for name in ("first", "second"):
            assert go(argv, tmp_path / f"{name}{number}", *flags) == 0
            assert (TOLD in capfd.readouterr().err) == (name == "second")
        assert len(list((tmp_path / "kept" / "probes").iterdir())) == number + 1
    assert go(argv, tmp_path / "other", "--engine", "tensorflow") == 0
    assert TOLD not in capfd.readouterr().err
    assert len({tuple(masks(tmp_path / out).items()) for out in ("first0", "second0", "second1", "other")}) == 1


def test_where_it_is_not_installed(tmp_path: Path, monkeypatch: Patch, capfd: Captured) -> None:
    argv = command(tmp_path, colours())
    assert go(argv, tmp_path / "out", "--engine", "toy") == 0
    draw(tmp_path / "in" / "new.png", "new", (32, 32))
    missing = toy_engine.ToyKind(name="toy", title="Toy", merit="is small", module="toy_of_nobody", install="pip toy")
    monkeypatch.setattr(toy_engine, "ENGINE", missing)
    with pytest.raises(RunError, match=r"^--engine toy: Toy, which is small, is not installed \(pip toy\); use"):
        go(argv, tmp_path / "other", "--engine", "toy")
    assert go(argv, tmp_path / "out", "--engine", "toy") == 1
    assert "This output was begun with Toy, which is not installed here: pip toy." in capfd.readouterr().err


def test_an_output_of_an_engine_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="has no engine 'another', but tensorflow and openvino and toy: name one"):
        registry.engine_kind("another")


def test_its_word_is_known_where_words_are(tmp_path: Path, capsys: Captured) -> None:
    assert main(["run", "--help", "all"]) == 0
    assert "what runs the model: auto, tensorflow, openvino, toy [auto]" in " ".join(capsys.readouterr().out.split())
    argv = ["--input", "in", "--model", "m.keras", "--output", str(tmp_path / "out")]
    with pytest.raises(RunError, match=r"invalid choice: 'toi' \(choose from .?auto.?, .*openvino.?, .?toy.?\)"):
        run_options([*argv, "--engine", "toi"])
    argv += ["--engine", "toy", "--mixed_precision"]
    with pytest.raises(RunError, match="--mixed_precision is TensorFlow's on GPUs, and --engine toy computes on"):
        run(run_options(argv))


def test_the_help_of_engines_loads_none() -> None:
    code = "import sys; from maskbeam.pipeline.main import main; main(['run', '--help', 'all']); print(*sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "auto, tensorflow, openvino" in shown
    loaded = set(shown.splitlines()[-1].split())
    assert "maskbeam.pipeline.models.engines.registry" in loaded
    assert not {"tensorflow", "keras", "openvino", "numpy", "apache_beam"} & loaded


def without_comments(path: Path) -> str:
    words = tokenize.generate_tokens(io.StringIO(path.read_text()).readline)
    return " ".join(word.string for word in words if word.type != tokenize.COMMENT)


def test_no_other_file_names_an_engine_but_the_reference() -> None:
    names = set(WITHOUT) - {registry.REFERENCE}
    assert names == {"openvino"}
    folder = Path("pipeline/models/engines")
    own = {folder / f"{name}_{what}.py" for name in names for what in ("kind", "engine")}
    files = [path for path in Path("pipeline").rglob("*.py") if path not in {*own, folder / "registry.py"}]
    named = re.compile("|".join(names), re.IGNORECASE)
    assert all(named.search(without_comments(path)) for path in own)
    assert [path for path in files if named.search(without_comments(path))] == []
