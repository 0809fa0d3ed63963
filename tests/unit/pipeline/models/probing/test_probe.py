from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from maskbeam.pipeline.models.files.model_facts import file_facts
from maskbeam.pipeline.models.loading.loaded_model import LoadedModel, TensorSpec, open_model
from maskbeam.pipeline.models.probing.fed_model import synthetic_planes
from maskbeam.pipeline.models.probing.find_input import find_input, find_normalization
from maskbeam.pipeline.models.probing.find_stride import STRIDES, find_stride, size_to_try
from maskbeam.pipeline.models.probing.probe import Probe, probe_model
from maskbeam.pipeline.options import ModelOptions
from maskbeam.transforms.elements import Array
from maskbeam.transforms.errors import RunError
from maskbeam.transforms.normalize import parse_normalization
from maskbeam.transforms.resampling.prepare import InputSpec

SCALED = ModelOptions(normalize="0..1")


def fake(
    call: Callable[[Array], Array],
    shape: tuple[int | None, ...] = (None, 32, 48, 3),
    *,
    dtype: str = "float32",
    preprocessing: tuple[str, ...] = (),
    data_format: str | None = None,
) -> LoadedModel:
    """A model that is a plain function of numpy arrays."""
    return LoadedModel(
        call=lambda batch: (call(np.asarray(batch)),),
        framework="keras",
        inputs=(TensorSpec("image", shape, dtype),),
        outputs=(TensorSpec("scores", (None, None, None, None), "float32"),),
        preprocessing=preprocessing,
        scales_input=any(layer.startswith("Rescaling") for layer in preprocessing),
        activations=("linear",),
        data_format=data_format,
    )


def spread(batch: Array) -> Array:
    """Two channels of logits on both sides of zero."""
    return batch[..., :2] * 6 - 3


def test_a_fixed_model_is_stretched_to() -> None:
    probe = probe_model(fake(spread), SCALED, digest="abc")
    assert probe.spec == InputSpec(32, 48, 3, "stretch")
    assert (probe.head.kind, probe.head.classes) == ("logits", 2)
    assert (probe.map_size, probe.plane_size, probe.output_stride) == ((32, 48), (32, 48), 1)
    assert probe.digest == "abc"
    assert dict(probe.versions).keys() == {"tensorflow", "keras"}


@pytest.mark.parametrize("layout", ["channels_last", "flat"])
def test_a_probe_is_read_back_as_it_was_written(layout: str) -> None:
    model = fake(lambda batch: spread(batch).reshape((-1, 32 * 48, 2) if layout == "flat" else (-1, 32, 48, 2)))
    probe = replace(probe_model(model, replace(SCALED, normalize="imagenet")), batch_size=8)
    assert probe.head.layout == layout
    assert Probe.from_json(probe.to_json()) == probe


def test_channels_first_input_is_transposed() -> None:
    seen = []

    def call(batch: Array) -> Array:
        seen.append(batch.shape)
        return spread(batch.transpose(0, 2, 3, 1))

    probe = probe_model(fake(call, (None, 3, 32, 48)), SCALED)
    assert probe.channels_first
    assert seen == [(2, 3, 32, 48)]
    assert (probe.spec.height, probe.spec.width, probe.spec.channels) == (32, 48, 3)


def test_the_model_sees_scaled_values_in_its_own_dtype_and_order() -> None:
    seen: list[Array] = []

    def call(batch: Array) -> Array:
        seen.append(batch)
        return spread(batch.astype(np.float32))

    planes = np.zeros((1, 32, 48, 3), np.float32)
    planes[..., 0], planes[..., 2] = 255, 51
    options = ModelOptions(normalize="0..1", channel_order="bgr")
    probe_model(fake(call, dtype="float16"), options, make_planes=lambda _: planes)
    assert seen[0].dtype == np.float16
    np.testing.assert_allclose(seen[0][0, 0, 0], [0.2, 0, 1], rtol=1e-3)


class TestFreeSize:
    @staticmethod
    def model(stride: int, *, factor: int = 1, flat: bool = False) -> LoadedModel:
        def call(batch: Array) -> Array:
            if batch.shape[1] % stride or batch.shape[2] % stride:
                raise ValueError("skip connections do not meet")
            scores = spread(batch)[:, ::factor, ::factor]
            return scores.reshape(len(batch), -1, 2) if flat else scores

        return fake(call, (None, None, None, 3))

    @pytest.mark.parametrize("stride", [1, 2, 8, 32, 128, 6, 14])
    def test_stride_is_found_by_trying(self, stride: int) -> None:
        probe = probe_model(self.model(stride), SCALED)
        assert probe.spec == InputSpec(None, None, 3, "native", stride=stride)

    def test_a_coarse_map_needs_a_stride_even_where_nothing_fails(self) -> None:
        model = fake(lambda batch: spread(batch)[:, ::4, ::4], (None, None, None, 3))
        probe = probe_model(model, SCALED)
        assert (probe.spec.stride, probe.output_stride) == (4, 4)

    def test_a_flat_head_has_no_grid_of_its_own(self) -> None:
        probe = probe_model(self.model(8, factor=2, flat=True), SCALED)
        assert (probe.head.layout, probe.head.grid, probe.output_stride) == ("flat", None, 2)

    def test_no_size_works_and_the_model_says_why(self) -> None:
        with pytest.raises(RunError, match=r"takes no image.* 128 x 384: ValueError: skip connections do not meet$"):
            probe_model(self.model(1000), SCALED)

    def test_maps_of_no_size_are_shown(self) -> None:
        with pytest.raises(RunError, match=r"At 128 x 384: its output is \[1, 5, 5, 2\]: .* must cover its input"):
            probe_model(fake(lambda batch: spread(batch)[:, :5, :5], (None, None, None, 3)), SCALED)

    def test_a_map_without_its_border_is_refused_with_what_helps(self) -> None:
        unpadded = fake(lambda batch: spread(batch)[:, 20:-20, 20:-20], (None, None, None, 3))
        with pytest.raises(RunError, match=r"20 pixels at each side.*ZeroPadding2D\(20\), model"):
            probe_model(unpadded, SCALED)

    def test_what_a_layer_of_somebodys_own_raises_is_a_size_that_does_not_fit(self) -> None:
        def call(x: Any) -> Any:
            assert x.shape[1] is None or x.shape[1] % 4 == 0
            return x[..., :2] * 6 - 3

        layer = keras.layers.Lambda(call)
        model = replace(fake(spread, (None, None, None, 3)), call=lambda batch: (layer(batch),))
        assert probe_model(model, SCALED).spec.stride == 4

    def test_stretch_needs_a_size(self) -> None:
        with pytest.raises(RunError, match="use --resize native"):
            probe_model(self.model(1), replace(SCALED, resize="stretch"))

    def test_real_images_are_prepared_for_the_stride(self) -> None:
        asked: list[InputSpec] = []

        def prepared(spec: InputSpec) -> Array:
            asked.append(spec)
            return synthetic_planes(3, 64, 96, 3)

        probe = probe_model(self.model(32), SCALED, make_planes=prepared)
        assert [spec.stride for spec in asked] == [32]
        assert probe.plane_size == (64, 96)


def test_native_needs_a_free_size() -> None:
    with pytest.raises(RunError, match="this one takes 32 x 48"):
        probe_model(fake(spread), replace(SCALED, resize="native"))


def test_planes_that_no_memory_holds_are_refused_before_they_are_drawn() -> None:
    with pytest.raises(RunError, match=r"planes of 1000000 x 2000000 pixels and 3 .* 288,000 GB of memory"):
        probe_model(fake(spread, (None, 1_000_000, 2_000_000, 3)), SCALED)


@pytest.mark.parametrize("stride", STRIDES)
def test_a_size_that_is_tried_tells_its_stride_from_twice_that(stride: int) -> None:
    for side in size_to_try(stride):
        assert side % stride == 0
        assert side % (2 * stride) != 0
    assert find_stride(lambda h, w: "" if h % stride == w % stride == 0 else "no") == stride


class TestScaling:
    def test_a_layer_of_the_model_is_named(self) -> None:
        model = fake(spread, preprocessing=("Rescaling(scale=0.00784, offset=-1)",))
        normalization, evidence = find_normalization(model, ModelOptions())
        assert normalization == parse_normalization("none")
        assert "Rescaling(scale=0.00784, offset=-1)" in evidence

    def test_resizing_is_no_scaling(self) -> None:
        with pytest.raises(RunError, match="maskbeam inspect"):
            find_normalization(fake(spread, preprocessing=("Resizing(height=8, width=8)",)), ModelOptions())

    def test_it_must_be_said(self) -> None:
        with pytest.raises(RunError, match=r"--normalize 0\.\.1, -1\.\.1, imagenet, caffe, none"):
            probe_model(fake(spread), ModelOptions())

    def test_integers_go_in_as_they_are(self) -> None:
        assert find_normalization(fake(spread, dtype="uint8"), ModelOptions())[0] == parse_normalization("none")

    def test_the_user_overrides_a_layer_and_is_told(self) -> None:
        model = fake(spread, preprocessing=("Rescaling(scale=2)",))
        normalization, evidence = find_normalization(model, SCALED)
        assert normalization == parse_normalization("0..1")
        assert "besides the model's own Rescaling(scale=2)" in evidence


class TestInput:
    @pytest.mark.parametrize(
        ("shape", "data_format", "first"),
        [
            ((None, 64, 64, 3), None, False),
            ((None, 3, 64, 64), None, True),
            ((None, 1, None, None), None, True),
            ((None, None, None, 13), None, False),
            ((None, 3, 3, 3), "channels_first", True),
            ((None, 13, 64, 64), "channels_first", True),
            ((None, 64, 64, 3), "channels_first", False),
        ],
    )
    def test_order_of_axes(self, shape: tuple[int | None, ...], data_format: str | None, first: bool) -> None:
        facts, evidence = find_input(fake(spread, shape, data_format=data_format))
        assert facts.channels_first == first
        assert facts.channels == shape[1 if first else 3]
        assert ("channels first" in evidence) == first

    @pytest.mark.parametrize(
        ("shape", "message"),
        [((None, 64, 64), "not a batch of images"), ((None, 64, 64, None), "channels is not set")],
    )
    def test_what_is_no_image_is_refused(self, shape: tuple[int | None, ...], message: str) -> None:
        with pytest.raises(RunError, match=message):
            find_input(fake(spread, shape))

    def test_several_inputs_are_listed(self) -> None:
        spec = TensorSpec("image", (None, 8, 8, 3), "float32")
        model = replace(fake(spread), inputs=(spec, replace(spec, name="depth")))
        with pytest.raises(
            RunError, match=r"2 inputs.*image \[\?, 8, 8, 3\], depth \[\?, 8, 8, 3\]\. Make a model of"
        ):
            find_input(model)

    @pytest.mark.parametrize("inputs", [1, 2])
    def test_what_cannot_take_an_image_is_not_asked_for_its_scaling(self, inputs: int) -> None:
        spec = TensorSpec("image_bytes", (None,), "string")
        model = replace(fake(spread), inputs=(spec,) * inputs)
        for function in (find_input, lambda model: find_normalization(model, ModelOptions())):
            with pytest.raises(RunError, match="takes encoded files" if inputs == 1 else "2 inputs"):
                function(model)


@pytest.mark.parametrize("dtype", [tf.uint8, tf.string, tf.int16, tf.float16])
def test_the_type_that_a_signature_takes_is_read_without_tensorflow(tmp_path: Path, dtype: Any) -> None:
    module = tf.Module()
    module.predict = tf.function(
        lambda image: {"mask": tf.identity(image)}, input_signature=[tf.TensorSpec((None, 4, 4, 3), dtype)]
    )
    tf.saved_model.save(module, str(tmp_path), signatures=module.predict)
    facts = file_facts(open_model(ModelOptions(path=str(tmp_path))))
    assert [spec.dtype for spec in facts.inputs] == [dtype.name]


def test_nan_stops_the_run() -> None:
    with pytest.raises(RunError, match="NaN or infinite"):
        probe_model(fake(lambda batch: batch[..., :2] * np.nan), SCALED)


@pytest.mark.parametrize("shape", [(None, 32, 48, 3), (None, None, None, 3)])
def test_whatever_a_model_raises_is_told_in_one_line(shape: tuple[int | None, ...]) -> None:
    def call(batch: Any) -> Any:
        return tensorflow_of_the_script.sqrt(batch)  # type: ignore[name-defined] # noqa: F821

    layer = keras.layers.Lambda(call, output_shape=(32, 48, 2))
    model = replace(fake(spread, shape), call=lambda batch: (layer(batch),))
    with pytest.raises(
        RunError, match=r"NameError: name 'tensorflow_of_the_script' is not defined \(in Lambda.call\(\)\)[^\n\x1b]*$"
    ):
        probe_model(model, SCALED)


def test_the_batch_stays_an_axis_of_its_own() -> None:
    with pytest.raises(RunError, match=r"for a batch of 2, .*keras.ops.reshape\(model.output, \(-1, 32, 48, 2\)\)"):
        probe_model(fake(lambda batch: spread(batch).reshape(-1, 2)), SCALED)


def test_the_ids_that_a_model_gave_are_kept() -> None:
    probe = probe_model(fake(lambda batch: np.where(batch[..., 0] > 0.5, 255, 7)), SCALED)
    assert probe.seen_ids == (7, 255)
    assert Probe.from_json(probe.to_json()) == probe
    assert probe_model(fake(spread), SCALED).seen_ids == ()


def test_bfloat16_is_a_floating_type() -> None:
    model = fake(lambda batch: np.asarray(tf.cast(tf.nn.softmax(spread(batch)), tf.bfloat16)))
    probe = probe_model(model, SCALED)
    assert probe.head.kind == "probabilities"
    assert any("bfloat16" in line for line in probe.evidence)


def test_synthetic_planes_are_seeded_and_in_range() -> None:
    planes: Any = synthetic_planes(2, 20, 33, 3)
    np.testing.assert_array_equal(planes, synthetic_planes(2, 20, 33, 3))
    assert planes.shape == (2, 20, 33, 3)
    assert planes.dtype == np.float32
    assert 0 <= planes.min() < planes.max() <= 255
    assert (planes[0] != planes[1]).any()


def test_a_model_exported_for_one_batch_size_is_probed_with_it() -> None:
    sizes = []

    def call(batch: Array) -> Array:
        sizes.append(len(batch))
        return spread(batch)

    probe_model(fake(call, (5, 32, 48, 3)), SCALED)
    assert sizes == [5]
