from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from maskbeam.pipeline.models.engines import choose_engine as choosing
from maskbeam.pipeline.models.engines import engine_kind, gpu
from maskbeam.pipeline.models.engines.choose_engine import choose_engine, start_engine
from maskbeam.pipeline.models.engines.openvino_engine import OpenVinoEngine, convert, kept
from maskbeam.pipeline.models.engines.sealed import is_whole, seal
from maskbeam.pipeline.models.engines.tensorflow_engine import KerasEngine
from maskbeam.pipeline.models.loading.loaded_model import LoadedModel, load, open_model
from maskbeam.pipeline.models.probing.fed_model import synthetic_planes
from maskbeam.pipeline.models.probing.probe import Probe, probe_model
from maskbeam.pipeline.options import ModelOptions
from maskbeam.transforms.elements import Array
from maskbeam.transforms.errors import RunError
from maskbeam.transforms.head import make_head
from maskbeam.transforms.predict import Scores
from tests.support.models import save, unet
from tests.support.scored_model import FLOAT_KINDS, PLANES, H, W, answering, values_of


def assert_same(mine: Scores, other: Scores, *, pixels: int) -> None:
    assert mine.logits.dtype == other.logits.dtype
    np.testing.assert_allclose(mine.logits, other.logits, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(mine.confidence, other.confidence, atol=pixels)
    np.testing.assert_array_equal(mine.nonfinite, other.nonfinite)


@pytest.mark.parametrize("end", ["logits", "labels"])
@pytest.mark.parametrize("kind", [*FLOAT_KINDS, "ids"])
def test_ties_infinities_and_nan_are_as_in_tensorflow(kind: str, end: str) -> None:
    values = PLANES[..., 0].astype(np.float32).repeat(2, axis=1)[:, :6] if kind == "ids" else values_of(kind)
    head = make_head(kind, "channels_last", values.shape[-1] if values.ndim == 4 else 1)
    if head.is_multilabel and end == "labels":
        return
    loaded, probe = answering(values, head)
    mine = OpenVinoEngine(convert(loaded, probe, end=end), probe, batch_size=4)(PLANES)
    assert_same(mine, KerasEngine(loaded, probe, end=end, batch_size=4)(PLANES), pixels=60)


def opened(path: Path, **options: Any) -> tuple[LoadedModel, Probe]:
    asked = ModelOptions(path=str(path), **options)
    file = open_model(asked)
    loaded = load(file, asked)
    return loaded, probe_model(loaded, asked, digest=file.digest)


@pytest.mark.parametrize(
    ("K", "name", "head", "size"),
    [
        (keras, "m.keras", "logits", 32),
        (keras, "m.keras", "softmax", None),
        (keras, "m.keras", "flat", 32),
        (keras, "m.keras", "channels_first", 32),
        (keras, "saved", "sigmoid", 32),
        (tf_keras, "m.h5", "ids", 32),
    ],
)
def test_models_of_every_kind_are_converted(K: Any, name: str, head: str, size: int | None, tmp_path: Path) -> None:
    loaded, probe = opened(save(unet(K, head=head, size=size), tmp_path / name), normalize="imagenet")
    planes = synthetic_planes(5, *probe.plane_size, 3)
    mine = OpenVinoEngine(convert(loaded, probe, end="labels"), probe, batch_size=4)(planes)
    other = KerasEngine(loaded, probe, end="labels", batch_size=4)(planes)
    assert (mine.logits == other.logits).mean() > 0.999
    np.testing.assert_allclose(mine.confidence, other.confidence, rtol=1e-4)


NAMES = ("sureness", "ending", "nonfinite", "Identity", "maskbeam_ending_1")


@pytest.fixture(scope="module")
def many_outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SavedModel; TensorFlow calls the outputs of its functions `Identity`, `Identity_1`, ..."""
    module = tf.Module()
    module.weight = tf.Variable(1.0)
    module.predict = tf.function(
        lambda image: {name: image * (module.weight + float(i)) for i, name in enumerate(NAMES)},
        input_signature=[tf.TensorSpec((None, H, W, 3), name="image")],
    )
    folder = tmp_path_factory.mktemp("many_outputs")
    tf.saved_model.save(module, str(folder), signatures=module.predict)
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_any_output_of_a_saved_model_is_read_whatever_it_is_called(many_outputs: Path, name: str) -> None:
    loaded, probe = opened(many_outputs, normalize="-1..1", output_name=name)
    planes = synthetic_planes(4, H, W, 3)
    mine = OpenVinoEngine(convert(loaded, probe, end="logits"), probe, batch_size=4)(planes)
    assert_same(mine, KerasEngine(loaded, probe, end="logits", batch_size=4)(planes), pixels=H * W)
    np.testing.assert_allclose(mine.logits, (planes / 127.5 - 1) * (NAMES.index(name) + 1), atol=1e-4)


def test_calls_side_by_side_give_what_they_give_alone(tmp_path: Path) -> None:
    loaded, probe = opened(save(unet(keras, size=32), tmp_path / "m.keras"), normalize="imagenet")
    engine = OpenVinoEngine(convert(loaded, probe, end="logits"), probe, batch_size=4)
    batches = [synthetic_planes(4, 32, 32, 3) + n for n in range(40)]
    alone = [engine(batch) for batch in batches]
    with ThreadPoolExecutor(4) as threads:
        for mine, other in zip(threads.map(engine, batches), alone, strict=True):
            for one, same in zip(mine, other, strict=True):
                np.testing.assert_array_equal(one, same)


def test_confidence_of_a_large_image_does_not_overflow() -> None:
    sure = np.zeros((1, 512, 512, 2), np.float32) + np.array([0, 1], np.float32)
    loaded, probe = answering(sure, make_head("probabilities", "channels_last", 2))
    engine = OpenVinoEngine(convert(loaded, probe, end="labels"), probe, batch_size=1)
    assert engine(PLANES[:1]).confidence.tolist() == [512 * 512 * 65535]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tuple[LoadedModel, Probe]:
    return opened(save(unet(keras), tmp_path_factory.mktemp("m") / "m.keras"), normalize="0..1")


def raising(error: Exception) -> Callable[..., NoReturn]:
    def function(*_: Any, **__: Any) -> NoReturn:
        raise error

    return function


class TestKept:
    def test_a_model_is_converted_once(self, model: tuple[LoadedModel, Probe], tmp_path: Path) -> None:
        loaded, probe = model
        probe = replace(probe, engine="openvino")

        def unwanted() -> NoReturn:
            raise AssertionError("it is converted already")

        first, measured = start_engine(lambda: loaded, probe, end="labels", folder=tmp_path)
        second, _ = start_engine(unwanted, measured, end="labels", folder=tmp_path)
        planes = synthetic_planes(2, 32, 32, 3)
        assert_same(first(planes), second(planes), pixels=0)
        assert first.batch_size == second.batch_size == measured.batch_size

    @pytest.mark.parametrize("trouble", ["no folder", "no home", "full disk"])
    def test_a_folder_that_takes_nothing_costs_no_run(
        self,
        trouble: str,
        model: tuple[LoadedModel, Probe],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        loaded, probe = model
        converted, folder = object(), tmp_path / "cache"
        monkeypatch.setattr("maskbeam.pipeline.models.engines.openvino_engine.convert", lambda *_, **__: converted)
        if trouble == "no folder":
            folder.write_text("a file")
        elif trouble == "no home":
            monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
            monkeypatch.setattr(Path, "home", raising(RuntimeError("Could not determine home directory.")))
        else:
            monkeypatch.setattr("openvino.save_model", raising(RuntimeError("Could not write")))
        for _ in range(2):
            found = kept(lambda: loaded, probe, end="labels", folder=None if trouble == "no home" else folder)
            assert found is converted
        assert len([one for one in caplog.messages if "is not kept for later jobs" in one]) == 1
        assert not list(tmp_path.rglob(".making*"))

    def test_what_openvino_cannot_run_is_converted_once_more_and_then_told(
        self, model: tuple[LoadedModel, Probe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        loaded, probe = model
        probe, loads = replace(probe, engine="openvino"), []

        def load() -> LoadedModel:
            loads.append(loaded)
            return loaded

        start_engine(load, probe, end="labels", folder=tmp_path)

        def broken(*_: Any, **__: Any) -> NoReturn:
            raise RuntimeError("Exception from src/core.cpp:110")

        monkeypatch.setattr(OpenVinoEngine, "__init__", broken)
        with pytest.raises(RunError, match=r"cannot run this model here \(RuntimeError\); use --engine tensorflow"):
            start_engine(load, probe, end="labels", folder=tmp_path)
        assert len(loads) == 2

    def test_what_changes_the_graph_is_kept_apart(self, model: tuple[LoadedModel, Probe], tmp_path: Path) -> None:
        loaded, probe = model
        keep = partial(kept, lambda: loaded, folder=tmp_path)
        places = [
            keep(probe, end="labels"),
            keep(probe, end="logits"),
            keep(replace(probe, channel_order="bgr"), end="labels"),
            keep(replace(probe, digest="other"), end="labels"),
        ]
        assert len(set(places)) == len(places)
        assert keep(replace(probe, evidence=("told otherwise",)), end="labels") == places[0]
        assert not list(tmp_path.glob(".making-*"))


class TestSealed:
    @pytest.mark.parametrize("file", ["model.xml", "model.bin", "sha256.json"])
    @pytest.mark.parametrize(
        "harm", [lambda data: data[:-1], lambda data: data[:9] + b"\0" + data[10:], lambda _: b""]
    )
    def test_damage_is_noticed(self, file: str, harm: Callable[[bytes], bytes], tmp_path: Path) -> None:
        for name in ("model.xml", "model.bin"):
            (tmp_path / name).write_bytes(name.encode() * 20)
        seal(tmp_path)
        assert is_whole(tmp_path)
        (tmp_path / file).write_bytes(harm((tmp_path / file).read_bytes()))
        assert not is_whole(tmp_path)
        (tmp_path / file).unlink()
        assert not is_whole(tmp_path)

    @pytest.mark.parametrize("digests", ["{}", "[]", "null", '{"x": 1}', '{"x": null}'])
    def test_digests_that_are_none(self, digests: str, tmp_path: Path) -> None:
        (tmp_path / "sha256.json").write_text(digests)
        assert not is_whole(tmp_path)
        assert not is_whole(tmp_path / "nowhere")


class TestSettle:
    def settle(self, model: tuple[LoadedModel, Probe], folder: Path, asked: str, *, local: bool = True) -> Probe:
        loaded, probe = model
        return choose_engine(asked, lambda: loaded, probe, end="labels", local=local, folder=folder)

    @pytest.mark.parametrize("asked", ["auto", "openvino"])
    def test_openvino_where_it_agrees(self, model: tuple[LoadedModel, Probe], tmp_path: Path, asked: str) -> None:
        probe = self.settle(model, tmp_path, asked)
        assert probe.engine == "openvino"
        assert (probe.agreement or 0) >= 0.9999
        assert "openvino" in dict(probe.versions)
        assert "of labels on a probe batch are TensorFlow's" in probe.evidence[-1]
        assert Probe.from_json(probe.to_json()) == probe

    def test_it_is_settled_once(self, model: tuple[LoadedModel, Probe], tmp_path: Path) -> None:
        loaded, probe = model
        assert self.settle((loaded, replace(probe, engine="tensorflow")), tmp_path, "openvino").engine == "tensorflow"

    def test_tensorflow_when_it_is_asked_for(self, model: tuple[LoadedModel, Probe], tmp_path: Path) -> None:
        assert self.settle(model, tmp_path, "tensorflow").engine == "tensorflow"

    def test_elsewhere_only_by_name(self, model: tuple[LoadedModel, Probe], tmp_path: Path) -> None:
        probe = self.settle(model, tmp_path, "auto", local=False)
        assert probe.engine == "tensorflow"
        assert "other machines" in probe.evidence[-1]
        assert self.settle(model, tmp_path, "openvino", local=False).engine == "openvino"

    def test_not_where_labels_differ(
        self, model: tuple[LoadedModel, Probe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(choosing, "compare_engines", lambda *_, **__: (0.9998, 0.0))
        probe = self.settle(model, tmp_path, "auto")
        assert probe.engine == "tensorflow"
        assert "only 99.9800% of labels" in probe.evidence[-1]
        with pytest.raises(RunError, match=r"^--engine openvino: .* only 99.9800% of .*; use --engine tensorflow"):
            self.settle(model, tmp_path, "openvino")

    @pytest.mark.parametrize(("sureness", "refused"), [(1.001, False), (0.5, True)])
    def test_not_where_confidence_differs(
        self,
        model: tuple[LoadedModel, Probe],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        sureness: float,
        refused: bool,
    ) -> None:
        run = OpenVinoEngine.run

        def scaled(engine: OpenVinoEngine, planes: Array) -> tuple[Array, ...]:
            ending, sure, nonfinite = run(engine, planes)
            return ending, (sure * sureness).astype(int), nonfinite

        monkeypatch.setattr(OpenVinoEngine, "run", scaled)
        probe = self.settle(model, tmp_path, "auto")
        assert (probe.engine == "tensorflow") == refused
        assert ("mean confidence" in probe.evidence[-1]) == refused

    def test_not_where_there_is_a_gpu(
        self, model: tuple[LoadedModel, Probe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(gpu, "GPU_DEVICES", ("/dev/null",))
        monkeypatch.setattr(tf.config, "list_physical_devices", lambda _: ["GPU:0"])
        assert "there is a GPU" in self.settle(model, tmp_path, "auto").evidence[-1]

    def test_a_model_that_does_not_convert_runs_on_tensorflow(
        self, model: tuple[LoadedModel, Probe], tmp_path: Path
    ) -> None:
        loaded, probe = model

        def call(batch: Any) -> tuple[Any, ...]:
            drawn = tf.numpy_function(lambda x: x, [batch], tf.float32)
            return tuple(scores + 0 * tf.reduce_sum(drawn) for scores in loaded.call(batch))

        strange = replace(loaded, call=call), replace(probe, digest="strange")
        found = self.settle(strange, tmp_path, "auto")
        assert found.engine == "tensorflow"
        assert "OpenVINO cannot run this model" in found.evidence[-1]
        with pytest.raises(RunError, match="use --engine tensorflow"):
            self.settle(strange, tmp_path, "openvino")

    def test_not_installed(
        self, model: tuple[LoadedModel, Probe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(engine_kind, "find_spec", lambda _: None)
        assert "pip install" in self.settle(model, tmp_path, "auto").evidence[-1]
        with pytest.raises(RunError, match="is not installed"):
            self.settle(model, tmp_path, "openvino")
        with pytest.raises(RunError, match="begun with OpenVINO"):
            start_engine(lambda: model[0], replace(model[1], engine="openvino"), end="labels", folder=tmp_path)


def test_nothing_is_reported_to_anyone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import openvino_telemetry  # type: ignore[import-untyped]

    def unwanted(*_: Any, **__: Any) -> NoReturn:
        raise AssertionError("use is reported")

    monkeypatch.setattr(openvino_telemetry.Telemetry, "send_event", unwanted)
    monkeypatch.setattr(openvino_telemetry.Telemetry, "start_session", unwanted)
    loaded, probe = opened(save(unet(keras), tmp_path / "m.keras"), normalize="0..1")
    convert(loaded, probe, end="labels")
