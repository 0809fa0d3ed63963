"""The input scalings that models were trained with, from the 0..255 scale.

`normalize` uses array operators only, so that it runs on numpy arrays, TensorFlow tensors and Keras tensors alike:
engines put it into the model's own graph.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from maskbeam.transforms.errors import RunError

ONE, ZERO = (1.0,), (0.0,)


@dataclass(frozen=True)
class Normalization:
    """`(x / divisor - mean) / std`; `mean` and `std` have one value, or one for each channel in RGB order.

    `bgr` tells that the scaling as such hands its channels on as blue, green, red.
    """

    divisor: float = 1.0
    mean: tuple[float, ...] = ZERO
    std: tuple[float, ...] = ONE
    bgr: bool = False


# imagenet: torchvision's constants. caffe: Keras's `imagenet_utils.preprocess_input(mode="caffe")`.
NAMED = {
    "0..1": Normalization(divisor=255.0),
    "-1..1": Normalization(divisor=127.5, mean=ONE),
    "imagenet": Normalization(255.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "caffe": Normalization(mean=(123.68, 116.779, 103.939), bgr=True),
    "none": Normalization(),
}


def normalize(x: Any, normalization: Normalization, channel_order: str = "rgb") -> Any:
    """Scales a batch as in training.

    Means and deviations are those of red, green and blue, and are applied before channels are reversed. They are
    reversed once, for a model that takes BGR or for `caffe`, whose own definition it is.

    Args:
        x: Float32 `[..., C]`, RGB, values 0..255.
        normalization: From `parse_normalization`.
        channel_order: `rgb` or `bgr`: what the model takes.

    Raises:
        RunError: When the scaling is for another number of channels.
    """
    channels = x.shape[-1]
    for values in (normalization.mean, normalization.std):
        if len(values) not in (1, channels):
            raise RunError(f"--normalize is for {len(values)} channels, and the model takes {channels}")
    if normalization.divisor != 1:
        x = x / np.float32(normalization.divisor)
    if normalization.mean != ZERO:
        x = x - np.asarray(normalization.mean, np.float32)
    if normalization.std != ONE:
        x = x / np.asarray(normalization.std, np.float32)
    return x[..., ::-1] if normalization.bgr or channel_order == "bgr" else x


def parse_normalization(text: str) -> Normalization:
    """Reads `--normalize`: a name, or `mean,mean,mean/std,std,std` on the 0..255 scale, one value for each channel.

    Raises:
        RunError: When the text is neither.
    """
    if text in NAMED:
        return NAMED[text]
    try:
        mean, std = (tuple(map(float, part.split(","))) for part in text.split("/"))
    except ValueError:
        names = ", ".join(NAMED)
        raise RunError(
            f"--normalize={text} is none of {names}, nor of the form mean,mean,mean/std,std,std on the 0..255 scale"
        ) from None
    if len(mean) != len(std) or not np.isfinite([*mean, *std]).all() or min(std) <= 0:
        raise RunError(f"--normalize={text}: it takes as many deviations, above 0, as means")
    return Normalization(mean=mean, std=std)
