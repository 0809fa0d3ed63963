"""A model is never computed by its rewritten form alone: that is held against the model as it was loaded."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import keras
import numpy as np
import pytest

from maskbeam.pipeline.models.engines import choose_engine as choosing
from maskbeam.pipeline.models.engines import gpu
from maskbeam.pipeline.models.engines.agreement import agreement_beyond_ties, is_tied
from maskbeam.pipeline.models.engines.choose_engine import choose_engine, start_engine
from maskbeam.pipeline.models.engines.keras_cpu import fold
from maskbeam.pipeline.models.engines.openvino_engine import kept
from maskbeam.pipeline.models.engines.tensorflow_engine import KerasEngine
from maskbeam.pipeline.models.loading.loaded_model import LoadedModel, load, open_model
from maskbeam.pipeline.models.probing.fed_model import synthetic_planes
from maskbeam.pipeline.models.probing.probe import Probe, probe_model
from maskbeam.pipeline.options import ModelOptions
from maskbeam.transforms.head import make_head
from maskbeam.transforms.predict import Scores
from tests.support.models import normalized, save, unet

Model = tuple[LoadedModel, Probe]
SAYS = "layers as they were loaded: rewritten for a CPU they"


def opened(path: Path, **options: Any) -> Model:
    asked = ModelOptions(path=str(path), normalize="0..1", **options)
    file = open_model(asked)
    loaded = load(file, asked)
    return loaded, probe_model(loaded, asked, digest=file.digest)


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return opened(save(normalized(keras), tmp_path / "m.keras"))


def settled(model: Model, asked: str = "tensorflow", *, end: str = "labels", **how: Any) -> Probe:
    return choose_engine(asked, lambda: model[0], model[1], end=end, local=True, **how)


def labels_by_keras(model: Model, planes: Any) -> Any:
    return np.asarray(model[0].model(planes / 255, training=False)).argmax(axis=-1)


def wrong(convolution: Any, normalization: Any) -> fold.Weights:
    kernel, bias = RIGHT(convolution, normalization)
    return fold.Weights(-kernel, bias)


def failing(*_: Any) -> NoReturn:
    raise ArithmeticError("the fold fails")


RIGHT = fold.fold


@pytest.mark.parametrize("end", ["labels", "logits"])
def test_a_sound_form_is_taken_and_nothing_is_said_of_it(
    end: str, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[str] = []
    compile_it = KerasEngine._compile

    def noted(engine: KerasEngine, dtype: str, signature: tuple[int | None, ...]) -> Any:
        compiled.append(dtype)
        return compile_it(engine, dtype, signature)

    monkeypatch.setattr(KerasEngine, "_compile", noted)
    probe = settled(model, end=end)
    assert probe == replace(model[1], engine="tensorflow")
    engine, _ = start_engine(lambda: model[0], probe, end=end)
    # What was compiled to see that it is sound is what the job runs.
    assert compiled == ["float32"]
    planes = synthetic_planes(3, 32, 32, 3)
    labels = engine(planes).logits
    labels = labels if end == "labels" else labels.argmax(axis=-1)
    np.testing.assert_array_equal(labels, labels_by_keras(model, planes))
    assert start_engine(lambda: model[0], probe, end=end)[0] is not engine


@pytest.mark.parametrize("broken", [wrong, failing])
def test_a_wrong_form_is_not_taken_and_the_evidence_says_so(
    broken: Callable[..., Any], model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fold, "fold", broken)
    probe = settled(model)
    assert probe.plain
    assert probe.evidence[:-1] == model[1].evidence
    assert probe.evidence[-1].startswith(SAYS)
    assert "ArithmeticError" in probe.evidence[-1] if broken is failing else "only " in probe.evidence[-1]
    assert Probe.from_json(probe.to_json()) == probe
    planes = synthetic_planes(3, 32, 32, 3)
    for start in (probe, replace(probe, plain=False)):
        if start.plain:
            engine, _ = start_engine(lambda: model[0], start, end="labels")
            np.testing.assert_array_equal(engine(planes).logits, labels_by_keras(model, planes))
        elif broken is wrong:
            # What would have been written without the comparison.
            engine, _ = start_engine(lambda: model[0], start, end="labels")
            assert (engine(planes).logits != labels_by_keras(model, planes)).mean() > 0.1


def test_a_form_that_is_only_sure_of_other_things_is_not_taken(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    run = KerasEngine.run

    def surer(engine: KerasEngine, planes: Any) -> Any:
        ending, sureness, nonfinite = run(engine, planes)
        return ending, sureness if type(engine) is not KerasEngine else sureness // 2, nonfinite

    monkeypatch.setattr(KerasEngine, "run", surer)
    assert "mean confidence" in settled(model).evidence[-1]


def test_openvino_is_given_the_layers_as_they_were_loaded_where_only_these_were_wrong(
    model: Model, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(fold, "fold", wrong)
    probe = settled(model, "openvino", folder=tmp_path)
    assert probe.engine == "openvino"
    assert probe.plain
    assert probe.evidence[-2].startswith(SAYS)
    engine, _ = start_engine(lambda: model[0], probe, end="labels", folder=tmp_path)
    planes = synthetic_planes(3, 32, 32, 3)
    assert (engine(planes).logits == labels_by_keras(model, planes)).mean() > 0.999


def test_an_openvino_that_is_wrong_itself_leaves_the_layers_alone(
    model: Model, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(choosing, "compare_engines", lambda *_, **__: (0.5, 0.0))
    probe = settled(model, "auto", folder=tmp_path)
    assert (probe.engine, probe.plain) == ("tensorflow", False)
    assert probe.evidence[-1].startswith("engine tensorflow: with OpenVINO only 50")


def test_plain_model_is_obeyed_without_a_comparison(
    model: Model, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(fold, "fold", failing)
    probe = settled(model, plain=True)
    assert probe.plain
    assert probe.evidence[-1] == "layers as they were loaded: --plain_model"
    start_engine(lambda: model[0], probe, end="labels")
    as_loaded = kept(lambda: model[0], probe, end="labels", folder=tmp_path)
    monkeypatch.undo()
    assert kept(lambda: model[0], replace(probe, plain=False), end="labels", folder=tmp_path) != as_loaded


@pytest.mark.parametrize("asked", ["tensorflow", "auto"])
def test_what_has_no_layers_to_rewrite_is_not_compared(
    asked: str, model: Model, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tensorflow.config.list_physical_devices", lambda kind: [kind])
    monkeypatch.setattr(gpu, "GPU_DEVICES", ("/dev/null",))
    monkeypatch.setattr(KerasEngine, "run", failing)
    assert not settled(model, asked, folder=tmp_path).plain


@pytest.mark.parametrize("head", ["softmax", "sigmoid", "multilabel", "ids", "flat", "channels_first"])
def test_sound_forms_of_every_head(head: str, tmp_path: Path) -> None:
    model = opened(save(unet(keras, head=head), tmp_path / "m.keras"))
    end = "logits" if head == "multilabel" else "labels"
    assert settled(model, end=end) == replace(model[1], engine="tensorflow")


def test_a_probe_of_an_older_output_is_understood(model: Model) -> None:
    assert "plain" not in model[1].to_json()
    assert not Probe.from_json(model[1].to_json()).plain


RANDOM = np.random.default_rng(0)


def scores_of(values: Any, nonfinite: Any = 0) -> Scores:
    return Scores(values, np.zeros(len(values), np.int64), np.zeros(len(values), np.int64) + nonfinite)


def test_labels_that_rounding_may_change_do_not_count() -> None:
    head = make_head("logits", "channels_last", 3)
    known = RANDOM.normal(0, 5, (2, 20, 20, 3)).astype(np.float32)
    known[0, :5, :, 1] = known[0, :5, :, 0] + 1e-5
    other = known.copy()
    other[0, :5, :, 0] += 2e-5
    other[1, 0, 0] = -other[1, 0, 0]
    differing = sum(
        known[n, y, x].argmax() != other[n, y, x].argmax() and np.ptp(np.sort(known[n, y, x])[-2:]) > 1e-3
        for n in range(2)
        for y in range(20)
        for x in range(20)
    )
    assert differing == 1
    assert agreement_beyond_ties(scores_of(other), scores_of(known), head, 0.5) == 1 - 1 / 800
    assert (known.argmax(-1) != other.argmax(-1)).sum() > 1


@pytest.mark.parametrize(
    ("kind", "border"), [("sigmoid", 0.3), ("sigmoid_logits", np.log(3 / 7)), ("multilabel", 0.3)]
)
def test_ties_of_classes_that_are_there_or_not(kind: str, border: float) -> None:
    scores = np.array([border, border + 1e-6, border - 0.01, 0.9], np.float32).reshape(1, 2, 2, 1)
    assert is_tied(scores, make_head(kind, "channels_last", 1), 0.3).ravel().tolist() == [True, True, False, False]


def test_scores_that_are_never_chosen_make_no_ties() -> None:
    scores = np.array([[-3e38, 2.0, 1.0], [-np.inf, 1.0, 1.0], [np.nan, 1.0, 2.0]], np.float32).reshape(1, 1, 3, 3)
    assert is_tied(scores, make_head("logits", "channels_last", 3), 0.5).ravel().tolist() == [False, True, False]


def test_a_plane_with_another_number_of_nan_is_another() -> None:
    head = make_head("logits", "channels_last", 3)
    known = RANDOM.normal(0, 5, (2, 4, 4, 3)).astype(np.float32)
    known[0, 0, 0] = np.nan
    zero = known.argmax(-1)
    zero[0, 0, 0] = 0
    assert agreement_beyond_ties(scores_of(zero, [1, 0]), scores_of(known, [1, 0]), head, 0.5) == 1
    assert agreement_beyond_ties(scores_of(zero, [0, 0]), scores_of(known, [1, 0]), head, 0.5) == 0.5
