"""Masks of one class: 255 where it is, 0 elsewhere."""

from typing import Any

import apache_beam as beam
import numpy as np

from maskbeam.transforms.elements import Array, Labels


def binarize(labels: Array, class_id: int) -> Array:
    """Marks the pixels of one class; those of the ignore label belong to none.

    Args:
        labels: Integer class ids `[H, W]`.
        class_id: The output id of the class.

    Returns:
        Uint8 `[H, W]`, 0 or 255.
    """
    return _to_255(labels == class_id)


def binarize_scores(scores: Array, threshold: float) -> Array:
    """Marks the pixels whose score or probability is above a threshold: uint8 `[...]`, 0 or 255; 0 for NaN."""
    return _to_255(scores > threshold)


def _to_255(mask: Array) -> Array:
    # 0 less 1 is 255 in eight bits.
    return np.asarray(np.negative(mask.view(np.uint8)))


class Binarize(beam.PTransform[Any, Any]):
    """`Labels` -> `(image_id, uint8 [H, W])`, 0 or 255, of one class."""

    def __init__(self, class_id: int) -> None:
        super().__init__()
        self._class_id = class_id

    def expand(self, labels: Any) -> Any:
        return labels | "Binarize" >> beam.Map(_binarized, self._class_id).with_output_types(tuple[str, np.ndarray])


def _binarized(labels: Labels, class_id: int) -> tuple[str, Array]:
    return labels.image_id, binarize(labels.pixels, class_id)
