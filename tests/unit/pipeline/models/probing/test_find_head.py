import re

import ml_dtypes
import numpy as np
import pytest

from maskbeam.pipeline.models.probing.find_head import Output, find_head
from maskbeam.pipeline.options import ModelOptions
from maskbeam.transforms.elements import Array
from maskbeam.transforms.errors import RunError
from maskbeam.transforms.head import Head, canonical

H, W, C = 48, 32, 5
RANDOM = np.random.default_rng(1)
LOGITS = RANDOM.normal(0, 3, (2, H, W, C)).astype(np.float32)
SIGMOIDS = (1 / (1 + np.exp(-LOGITS))).astype(np.float32)
SOFTMAX = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=-1, keepdims=True)
IDS = LOGITS.argmax(axis=-1)
BF16 = ml_dtypes.bfloat16


def find(values: Array, activation: str | None = None, *, data_format: str | None = None, **options: str) -> Head:
    outputs = [Output("out", values, activation)]
    head, evidence = find_head(
        outputs,
        height=H,
        width=W,
        data_format=data_format,
        options=ModelOptions(**options),  # type: ignore[arg-type]
    )
    assert len(evidence) == 3
    assert head.kind in evidence[2]
    return head


@pytest.mark.parametrize(
    ("values", "activation", "kind"),
    [
        (LOGITS, None, "logits"),
        (LOGITS, "linear", "logits"),
        (SOFTMAX, None, "probabilities"),
        (SOFTMAX.astype(np.float16), "softmax", "probabilities"),
        (SIGMOIDS, "sigmoid", "multilabel"),
        (SIGMOIDS[..., :2], "sigmoid", "multilabel"),
        (SIGMOIDS, "linear", "logits"),
        (SIGMOIDS[..., :1], "sigmoid", "sigmoid"),
        (LOGITS[..., :1], "linear", "sigmoid_logits"),
        (LOGITS[..., 0], None, "sigmoid_logits"),
        (IDS, None, "ids"),
        (IDS[..., None].astype(np.uint8), "argmax", "ids"),
        (IDS.astype(np.float32), None, "ids"),
        (LOGITS.astype(BF16), None, "logits"),
        (SOFTMAX.astype(BF16), None, "probabilities"),
        (SIGMOIDS[..., :1].astype(BF16), "sigmoid", "sigmoid"),
        (LOGITS[..., :1].astype(BF16), None, "sigmoid_logits"),
        (IDS.astype(BF16), None, "ids"),
        (-abs(LOGITS[..., :1]), "linear", "sigmoid_logits"),
        (np.log(SOFTMAX), "log_softmax", "logits"),
        (abs(LOGITS), "relu", "logits"),
    ],
)
def test_kind_follows_from_values_and_activation(values: Array, activation: str | None, kind: str) -> None:
    head = find(values, activation)
    channels = values.shape[3] if values.ndim == 4 else 1
    assert (head.kind, head.channels, head.layout) == (kind, channels, "channels_last")


@pytest.mark.parametrize("factor", [1, 2, 4])
@pytest.mark.parametrize("layout", ["channels_last", "channels_first", "flat", "flat_first"])
def test_layout_is_told_from_the_input_size(layout: str, factor: int) -> None:
    small = LOGITS[:, ::factor, ::factor]
    values = {
        "channels_last": small,
        "channels_first": np.moveaxis(small, 3, 1),
        "flat": small.reshape(2, -1, C),
        "flat_first": np.moveaxis(small, 3, 1).reshape(2, C, -1),
    }[layout]
    for head in (find(values), find(values, layout=layout)):
        assert (head.layout, head.channels) == (layout, C)
        assert head.grid == ((H // factor, W // factor) if "flat" in layout else None)
        np.testing.assert_array_equal(canonical(values, head), small)


@pytest.mark.parametrize("classes", [4, 32, 64])
def test_the_longer_of_two_axes_holds_the_pixels(classes: int) -> None:
    for layout, shape in (("flat", (2, 4096, classes)), ("flat_first", (2, classes, 4096))):
        outputs = [Output("o", RANDOM.normal(size=shape))]
        head, _ = find_head(outputs, height=64, width=64, data_format=None, options=ModelOptions())
        assert (head.layout, head.channels, head.grid) == (layout, classes, (64, 64))


def test_more_classes_than_cells_are_taken_where_they_fit_no_other_way() -> None:
    assert find(RANDOM.normal(size=(2, 6, 150))).grid == (3, 2)


@pytest.mark.parametrize("shape", [(2, H * 2, W * 2, C), (2, -(-H // 7), -(-W // 7), C), (2, H // 7, W // 7, C)])
def test_enlarged_and_rounded_maps_fit_too(shape: tuple[int, ...]) -> None:
    assert find(RANDOM.normal(size=shape)).layout == "channels_last"


def test_one_channel_without_its_axis_is_preferred_to_flat() -> None:
    values = RANDOM.normal(size=(2, 64, 64))
    head, _ = find_head([Output("o", values)], height=64, width=64, data_format=None, options=ModelOptions())
    assert (head.kind, head.layout, head.channels) == ("sigmoid_logits", "channels_last", 1)


def test_flat_plane() -> None:
    assert find(SIGMOIDS[..., 0].reshape(2, -1), "sigmoid").grid == (H, W)


class TestAxesThatFitBothWays:
    CUBE = RANDOM.normal(size=(2, 6, 6, 6)).astype(np.float32)

    def find(self, values: Array, data_format: str | None = None, **options: str) -> Head:
        outputs = [Output("out", values)]
        asked = ModelOptions(**options)  # type: ignore[arg-type]
        return find_head(outputs, height=6, width=6, data_format=data_format, options=asked)[0]

    def test_refused(self) -> None:
        with pytest.raises(RunError, match="--layout channels_last or --layout channels_first"):
            self.find(self.CUBE)

    def test_the_layers_say(self) -> None:
        assert self.find(self.CUBE, "channels_first").layout == "channels_first"

    def test_the_user_says(self) -> None:
        assert self.find(self.CUBE, layout="channels_first").layout == "channels_first"

    @pytest.mark.parametrize(("axis", "layout"), [(1, "channels_first"), (-1, "channels_last")])
    def test_probabilities_say(self, axis: int, layout: str) -> None:
        powers = np.exp(self.CUBE)
        head = self.find(powers / powers.sum(axis=axis, keepdims=True))
        assert (head.layout, head.kind) == (layout, "probabilities")


@pytest.mark.parametrize(
    ("values", "activation", "message"),
    [
        (SIGMOIDS[..., :1], None, "--head sigmoid or --head sigmoid_logits"),
        (SIGMOIDS[..., :1], "relu", "ends in relu"),
        (SIGMOIDS, None, "--head logits, --head probabilities or --head multilabel"),
        (SOFTMAX.transpose(0, 3, 1, 2).reshape(2, H, W, C), "softmax", "--layout"),
        (np.ones((2, H, W, 1), np.float32), "softmax", "always 1"),
        (np.where(LOGITS > 5, np.nan, LOGITS), None, "NaN or infinite"),
        (LOGITS.astype(np.int8), None, "channels of int8"),
        (RANDOM.normal(size=(2, 1000)), None, "no map of classes"),
        (RANDOM.normal(size=(2, H - 8, W - 8, C)), None, "no map of classes"),
        (RANDOM.normal(size=(2, 3, H, W, C)), None, "no map of classes"),
        (np.tanh(LOGITS[..., :1]), "tanh", r"Rescaling\(0.5, 0.5\).*--head sigmoid"),
        (np.tanh(abs(LOGITS[..., :1])), "tanh", r"Rescaling\(0.5, 0.5\).*--head sigmoid"),
        (np.tanh(LOGITS), "softsign", "--head logits"),
        (abs(LOGITS[..., :1]), "relu", "both signs"),
        (-np.log1p(np.exp(LOGITS[..., :1])), "log_sigmoid", "both signs"),
        (SIGMOIDS[..., :1] * 255, None, "another scale"),
        (SOFTMAX * 255, None, "another scale"),
        (np.zeros((2, H, W, 1), np.float32), "log_softmax", "always 0"),
        (LOGITS.reshape(2, H, W * C), None, r"Reshape\(\(48, 32, 5\)\)"),
        (LOGITS.reshape(2, -1), None, r"Reshape\(\(48, 32, 5\)\)"),
        (LOGITS.reshape(2, 1, H * W, C), None, r"Reshape\(\(48, 32, 5\)\)"),
        (LOGITS.reshape(2, H * W, 1, C), None, r"Reshape\(\(48, 32, 5\)\)"),
        (LOGITS[:, :24], None, "--layout channels_last"),
    ],
)
def test_what_cannot_be_told_is_refused(values: Array, activation: str | None, message: str) -> None:
    with pytest.raises(RunError, match=message):
        find(values, activation)


@pytest.mark.parametrize("kind", ["multilabel_logits", "probabilities", "multilabel"])
def test_the_user_overrides_the_kind(kind: str) -> None:
    assert find(LOGITS, "linear", head=kind).kind == kind


@pytest.mark.parametrize("layout", ["flat", "flat_first"])
def test_a_layout_that_cannot_be_is_refused(layout: str) -> None:
    with pytest.raises(RunError, match=f"--layout {layout} does not go with"):
        find(LOGITS, layout=layout)


@pytest.mark.parametrize("asked", [None, "channels_last", "channels_first"])
def test_a_map_without_its_border_is_refused_whatever_its_axes(asked: str | None) -> None:
    values = RANDOM.normal(size=(2, H - 8, W - 8, C))
    values = values.transpose(0, 3, 1, 2) if asked == "channels_first" else values
    with pytest.raises(RunError, match=r"40 x 24 is the input less 4 pixels at each side.*ZeroPadding2D\(4\)"):
        find(values, **({"layout": asked} if asked else {}))


def test_a_factor_for_each_axis_must_be_meant() -> None:
    assert find(LOGITS[:, ::2], layout="channels_last").channels == C


@pytest.mark.parametrize("order", [(1, 3, 2), (2, 1, 3), (2, 3, 1), (3, 2, 1)])
@pytest.mark.parametrize("asked", [None, "channels_last", "channels_first"])
def test_axes_in_another_order_are_refused_with_the_permute_that_helps(
    order: tuple[int, int, int], asked: str | None
) -> None:
    values = LOGITS[..., :4].transpose(0, *order)  # four divides both sides
    with pytest.raises(RunError, match=r"in Permute\(\((\d), (\d), (\d)\)\)") as caught:
        find(values, **({"layout": asked} if asked else {}))
    assert "say --layout" not in str(caught.value)
    back = [int(axis) for axis in re.findall(r"\d", str(caught.value).rpartition("Permute")[2])]
    np.testing.assert_array_equal(values.transpose(0, *back), LOGITS[..., :4])


def test_rows_of_scores_beside_each_other_are_not_taken_for_flat() -> None:
    outputs = [Output("o", RANDOM.normal(size=(2, 64, 256)))]
    with pytest.raises(RunError, match=r"--layout flat_first, or end the model in Reshape\(\(64, 64, 4\)\)"):
        find_head(outputs, height=64, width=64, data_format=None, options=ModelOptions())


def test_several_outputs_are_listed_until_one_is_named() -> None:
    outputs = [Output("aux", LOGITS[:, ::2, ::2]), Output("main", SOFTMAX)]

    def choose(name: str | None) -> Head:
        options = ModelOptions(output_name=name)
        return find_head(outputs, height=H, width=W, data_format=None, options=options)[0]

    with pytest.raises(RunError, match=r"aux \[2, 24, 16, 5\], main \[2, 48, 32, 5\]"):
        choose(None)
    with pytest.raises(RunError, match="no such output"):
        choose("other")
    assert (choose("main").kind, choose("main").output_name) == ("probabilities", "main")
    assert choose("aux").kind == "logits"
