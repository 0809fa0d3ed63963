"""The layers of a Keras model, traced so that a CPU computes the same with less work.

- A batch normalisation in inference multiplies each channel and adds to it. Right after a convolution, both go into
  the convolution's kernel and bias, and two passes over its whole output are gone. Keras runs them as they stand, and
  TensorFlow cannot put variables together: in a MobileNetV2 U-Net they took a fifth of the forward pass.
- A bias is added by the operation that TensorFlow fuses into a convolution, together with the activation after it.
- Zeros around an image are part of the convolution that would give it the same ones itself: no copy for them.
- Transposed convolutions take fewer products: `transposed.py`.

Nothing is taken from the model. A normalisation computes the convolution in front of it once more, with other
weights, and as nobody else takes what that one gave, TensorFlow drops it from the graph. Weights that are made so
take as much memory as those that they stand for, once for all traces; those of `transposed.py` once for each.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from maskbeam.pipeline.models.engines.keras_cpu.graph_tensors import without_same_padding
from maskbeam.pipeline.models.engines.keras_cpu.transposed import upsampling
from maskbeam.transforms.elements import Array

# The attribute that holds the kernel which makes the output channels, in Keras 3 and Keras 2.
_KERNELS = {
    "Conv2D": ("_kernel", "kernel"),
    "DepthwiseConv2D": ("kernel", "depthwise_kernel"),
    "SeparableConv2D": ("pointwise_kernel",),
    "Conv2DTranspose": ("kernel",),
}
# Traces of one model change the same layers.
_changing = threading.RLock()


class Convolved(NamedTuple):
    """A convolution as it was traced: its layer and what it was given."""

    layer: Any
    inputs: tf.Tensor


class Weights(NamedTuple):
    """A convolution's kernel, shaped as its layer keeps it, and its bias `[F]` or None."""

    kernel: Any
    bias: Any


class LeanModel:
    """Traces one model; all its traces share the weights that are made for them."""

    def __init__(self, model: Any, *, plain: bool = False) -> None:
        """Changes nothing yet.

        Args:
            model: Of Keras 3 or Keras 2; anything else stays as it is, and so does all that a GPU computes.
            plain: Whether this one is to stay as it is, too.
        """
        stays = plain or bool(tf.config.list_physical_devices("GPU"))
        layers: Iterable[Any] = () if stays else getattr(model, "_flatten_layers", tuple)()
        self._layers = [layer for layer in layers if _is_plain(layer)]
        self._made: dict[tuple[int, int], Weights] = {}
        self._convolved: dict[Any, Convolved] = {}

    @property
    def rewrites(self) -> bool:
        """True if any layer is traced in another way than its own."""
        return bool(self._layers)

    @contextmanager
    def tracing(self) -> Iterator[None]:
        """Within this context the model's plain layers are traced with less work."""
        with _changing, ExitStack() as stack:
            stack.callback(self._convolved.clear)
            for layer in self._layers:
                call = self._normalize if _is_normalization(layer) else self._convolve
                stack.enter_context(_set(layer, call=tf.autograph.experimental.do_not_convert(partial(call, layer))))
            yield

    def _convolve(self, layer: Any, inputs: tf.Tensor) -> tf.Tensor:
        weights = Weights(_kernel(layer), layer.bias if layer.use_bias else None)
        if not _is_linear(layer.activation):
            return layer.activation(_outputs(layer, inputs, weights))
        # What is only normalised is dropped from the graph, and so needs no weights made for it.
        trace = _plain_outputs if _is_only_normalized(layer) else _outputs
        outputs = trace(layer, inputs, weights)
        self._convolved[outputs.ref()] = Convolved(layer, inputs)
        return outputs

    def _normalize(self, layer: Any, inputs: tf.Tensor, *args: Any, **kwargs: Any) -> tf.Tensor:
        training = args[0] if args else kwargs.get("training")
        before = self._convolved.get(inputs.ref())
        if before is None or len(_takers(before.layer)) > 1 or training is not False or len(inputs.shape) != 4:
            return type(layer).call(layer, inputs, *args, **kwargs)
        return _outputs(*before, self._folded(before.layer, layer))

    def _folded(self, convolution: Any, normalization: Any) -> Weights:
        pair = (id(convolution), id(normalization))
        if pair not in self._made:
            self._made[pair] = fold(convolution, normalization)
        return self._made[pair]


def fold(convolution: Any, normalization: Any) -> Weights:
    """The weights of a convolution that gives what a batch normalisation makes of the given one, in float32.

    `gamma * (kernel * x + bias - mean) / sqrt(variance + epsilon) + beta`, computed in float64.
    """
    bias = _float64(convolution.bias if convolution.use_bias else None, otherwise=0)
    gamma, beta = _float64(normalization.gamma, otherwise=1), _float64(normalization.beta, otherwise=0)
    mean, variance = _float64(normalization.moving_mean), _float64(normalization.moving_variance)
    scale = gamma / np.sqrt(variance + normalization.epsilon)
    made = _scaled(convolution, _float64(_kernel(convolution)), scale), beta + (bias - mean) * scale
    # Kept once beside the graph: in it, all copies of it would hold them, too.
    with tf.init_scope():
        return Weights(*(tf.constant(values, tf.float32) for values in made))


def _float64(weight: Any, *, otherwise: float = 0) -> Array:
    return np.array(otherwise if weight is None else _values(weight), np.float64)


def _scaled(convolution: Any, kernel: Array, scale: Array) -> Array:
    kind = type(convolution).__name__
    if kind == "DepthwiseConv2D":
        return kernel * scale.reshape(kernel.shape[-2:])
    return kernel * (scale[:, np.newaxis] if kind == "Conv2DTranspose" else scale)


def _outputs(layer: Any, inputs: tf.Tensor, weights: Weights) -> tf.Tensor:
    """The values that a convolution gives with these weights, before its activation."""
    kernel, bias = weights
    if type(layer).__name__ == "Conv2DTranspose":
        upsample = upsampling(layer, inputs)
        if upsample is not None:
            return upsample(inputs, _values(kernel), bias=None if bias is None else _values(bias))
    return _plain_outputs(layer, inputs, weights)


def _plain_outputs(layer: Any, inputs: tf.Tensor, weights: Weights) -> tf.Tensor:
    settings = {_kernel_name(layer): weights.kernel, "use_bias": False, "activation": None}
    inside = _inside(layer, inputs)
    if inside is not None:
        inputs, settings["padding"] = inside, "same"
    with _set(layer, **settings):
        outputs = type(layer).call(layer, inputs)
    return outputs if weights.bias is None else tf.nn.bias_add(outputs, tf.convert_to_tensor(weights.bias))


def _inside(layer: Any, inputs: tf.Tensor) -> tf.Tensor | None:
    """The tensor within the zeros that a convolution would add itself, if told to; None where that differs."""
    # Keras 2 keeps what it traced of a convolution in groups, and takes it for any padding.
    if layer.padding != "valid" or type(layer).__name__ == "Conv2DTranspose" or getattr(layer, "groups", 1) > 1:
        return None
    return without_same_padding(inputs, kernel=layer.kernel_size, stride=layer.strides, dilation=layer.dilation_rate)


def _takers(layer: Any) -> list[Any]:
    """The layers that take what a layer gives, each time that they do; none where a model does not say."""
    return [getattr(node, "operation", None) or node.layer for node in getattr(layer, "_outbound_nodes", ())]


def _is_only_normalized(layer: Any) -> bool:
    takers = _takers(layer)
    return len(takers) == 1 and _is_plain(takers[0]) and _is_normalization(takers[0])


def _is_plain(layer: Any) -> bool:
    """True if a layer is Keras's own, of a kind and with settings that are known here."""
    return (
        type(layer).__module__.partition(".")[0] in ("keras", "tf_keras")
        and (_is_convolution(layer) or _is_normalization(layer))
        and layer.built
        and layer.compute_dtype == "float32"
        and getattr(layer, "quantization_mode", None) is None
    )


def _is_convolution(layer: Any) -> bool:
    known = type(layer).__name__ in _KERNELS
    return known and layer.data_format == "channels_last" and not getattr(layer, "lora_enabled", False)


def _is_normalization(layer: Any) -> bool:
    return type(layer).__name__ == "BatchNormalization" and np.ravel(layer.axis).tolist() in ([-1], [3])


def _is_linear(activation: Callable[..., Any] | None) -> bool:
    return activation is None or getattr(activation, "__name__", "") == "linear"


def _kernel_name(layer: Any) -> str:
    return next(name for name in _KERNELS[type(layer).__name__] if name in vars(layer))


def _kernel(layer: Any) -> Any:
    return vars(layer)[_kernel_name(layer)]


def _values(weight: Any) -> Array:
    with tf.init_scope():
        return np.asarray(weight)


@contextmanager
def _set(layer: Any, **attributes: Any) -> Iterator[None]:
    """Within this context a layer has other attributes: past Keras, which keeps account of what it is assigned."""
    held = vars(layer)
    before = {name: held[name] for name in attributes if name in held}
    held.update(attributes)
    try:
        yield
    finally:
        for name in attributes:
            del held[name]
        held.update(before)
