"""Classes that are independent of each other: each is a two-class problem of its own, and there is no flow."""

import numpy as np

from maskbeam.transforms.elements import Array


def plane_counts(reference: Array, labels: Array, known: Array) -> Array:
    """Counts the pixels of each class; counts of many images add up.

    Args:
        reference: Bool `[C, H, W]`: the reference has the class.
        labels: Bool `[C, H, W]`: the labels have it.
        known: Bool `[H, W]`, or `[C, H, W]` where that differs by class: pixels that the reference knows.

    Returns:
        Int64 `[C, 2, 2]`: by the reference's answer, no or yes, and by the labels'.
    """
    known = np.broadcast_to(known, reference.shape)
    return np.array([_table(*planes) for planes in zip(reference, labels, known, strict=True)], np.int64)


def of_planes(counts: Array) -> Array:
    """Pixels of each class, int64 `[C, 3]`: both have it, the reference has it, the labels have it."""
    return np.stack([counts[:, 1, 1], counts[:, 1].sum(axis=1), counts[:, :, 1].sum(axis=1)], axis=1)


def _table(reference: Array, labels: Array, known: Array) -> list[list[int]]:
    reference, labels = reference & known, labels & known
    both = int(np.count_nonzero(reference & labels))
    only_reference, only_labels = (int(np.count_nonzero(plane)) - both for plane in (reference, labels))
    neither = int(np.count_nonzero(known)) - both - only_reference - only_labels
    return [[neither, only_labels], [only_reference, both]]
