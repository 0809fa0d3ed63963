"""The origin of a tensor, as the graph that is being traced tells it; an eager tensor tells nothing."""

from collections.abc import Sequence

import tensorflow as tf

_ROWS, _COLUMNS, _CHANNELS = 1, 2, 3


def joined(images: tf.Tensor) -> Sequence[tf.Tensor]:
    """The tensors `[N, H, W, c]` whose channels lie side by side in `[N, H, W, C]`; itself if nothing was joined.

    Where there are several, each knows its number of channels.
    """
    if not _is_made_by(images, "ConcatV2"):
        return [images]
    *parts, axis = images.op.inputs
    known = all(part.shape.rank == 4 and part.shape[_CHANNELS] is not None for part in parts)
    return parts if known and tf.get_static_value(axis) in (-1, _CHANNELS) else [images]


def without_same_padding(
    images: tf.Tensor, *, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> tf.Tensor | None:
    """The tensor that got the zeros `[N, H, W, C]` around it that `same` padding would give it; else None."""
    if not _is_made_by(images, "Pad", "PadV2"):
        return None
    before, *settings = images.op.inputs
    amounts, *fill = map(tf.get_static_value, settings)
    if amounts is None or fill not in ([], [0]) or before.shape.rank != 4:
        return None
    sides = zip(before.shape[_ROWS:_CHANNELS], kernel, stride, dilation, strict=True)
    same = [same_padding(*side) for side in sides]
    return before if amounts.tolist() == [[0, 0], *same, [0, 0]] else None


def same_padding(size: int | None, kernel: int, stride: int, dilation: int) -> list[int] | None:
    """Zeros that TensorFlow puts before and after an axis for `same` padding; None where that takes its size.

    The formula of `tf.nn.convolution`: as many as give `ceil(size / stride)` outputs, the odd one after.
    """
    if size is None and stride != 1:
        return None
    reach = (kernel - 1) * dilation + 1
    total = reach - 1 if size is None else max(0, (-(-size // stride) - 1) * stride + reach - size)
    return [total // 2, total - total // 2]


def _is_made_by(tensor: tf.Tensor, *operations: str) -> bool:
    return bool(tf.is_symbolic_tensor(tensor)) and tensor.op.type in operations
