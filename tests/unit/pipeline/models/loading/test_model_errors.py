from collections.abc import Callable
from dataclasses import replace
from typing import Any

import keras
import pytest
import tensorflow as tf
import tf_keras

from maskbeam.pipeline.models.engines.choose_engine import start_engine
from maskbeam.pipeline.models.loading.model_errors import model_failure, reason_of
from maskbeam.transforms.errors import RunError
from maskbeam.transforms.head import make_head
from tests.support.scored_model import PLANES, answering, values_of


def unknown_name(batch: Any) -> Any:
    return tensorflow_of_the_script.sqrt(batch)  # type: ignore[name-defined] # noqa: F821


def raised(function: Callable[[], Any]) -> Exception:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - whichever it is, it is what is looked at
        function()
    assert isinstance(caught.value, Exception)
    return caught.value


@pytest.mark.parametrize("layer", [keras.layers.Lambda(unknown_name), tf_keras.layers.Lambda(unknown_name)])
def test_what_a_layer_raised_is_told_without_what_it_was_called_with(layer: Any) -> None:
    reason = reason_of(raised(lambda: layer(tf.zeros((1, 4, 4, 3)))))
    assert reason.startswith("NameError: name 'tensorflow_of_the_script' is not defined (in ")
    assert "ambda" in reason
    assert len(reason) < 120


def test_stacks_of_tensorflow_are_left_out() -> None:
    traced = tf.function(unknown_name)
    assert (
        reason_of(raised(lambda: traced(tf.zeros(3)))) == "NameError: name 'tensorflow_of_the_script' is not defined"
    )

    @tf.function(input_signature=[tf.TensorSpec(None)])
    def multiply(x: Any) -> Any:
        return tf.matmul(tf.reshape(x, (7, -1)), tf.reshape(x, (2, -1)))

    expected = "InvalidArgumentError: Matrix size-incompatible: In[0]: [7,6], In[1]: [2,21]"
    assert reason_of(raised(lambda: multiply(tf.zeros((3, 14))))) == expected


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError(), "ValueError"),
        (AssertionError("a\n\tb \x1b[1mbold\x1b[0m\x07"), "AssertionError: a b bold"),
        (MemoryError("10 TB"), "MemoryError: 10 TB"),
        (ValueError("x" * 1000), "ValueError: " + "x" * 200 + "..."),
    ],
)
def test_any_error_is_one_short_line(error: Exception, reason: str) -> None:
    assert reason_of(error) == reason
    assert str(model_failure(error)) == f"the model fails on a probe batch: {reason}"


def test_memory_that_is_not_there_is_told_with_what_helps() -> None:
    error = tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor with shape[9]")
    assert "no memory for that: export the model for smaller images" in str(model_failure(error))


def test_an_error_of_our_own_stays_as_it_is() -> None:
    error = RunError("say --normalize")
    assert model_failure(error) is error


def test_what_an_engine_raises_on_its_first_call_is_the_models_fault() -> None:

    loaded, probe = answering(values_of("logits"), make_head("logits", "channels_last", PLANES.shape[0] + 1))
    broken = replace(loaded, call=lambda batch: (unknown_name(batch),))
    with pytest.raises(RunError, match="the model fails on a probe batch: NameError"):
        start_engine(lambda: broken, replace(probe, engine="tensorflow"), end="logits")
