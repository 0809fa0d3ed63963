"""Means over images of each image's own IoU: sums of integers, so that the order of work does not show."""

import numpy as np

from maskbeam.transforms.elements import Array


def own_shares(shares: Array) -> Array:
    """The mean of each image's IoUs over its classes, rounded down.

    Args:
        shares: Int64 `[N, C]` in whole numbers of 1e-9, as `scores.shares` gives them; -1 where an image has no such
            class.

    Returns:
        Int64 `[N]`; -1 of an image without any class.
    """
    number = (shares >= 0).sum(axis=1)
    return np.where(number > 0, np.maximum(shares, 0).sum(axis=1) // np.maximum(number, 1), -1)


def image_sums(shares: Array) -> Array:
    """Sums that add up to means over images.

    Args:
        shares: As of `own_shares`.

    Returns:
        Int64 `[C + 1, 2]`: of each class the sum over the images that have it, and their number; last, the same of
        the images' own means. A mean is the one by the other, in whole numbers of 1e-9.
    """
    every = np.concatenate([shares, own_shares(shares)[:, np.newaxis]], axis=1)
    return np.stack([np.maximum(every, 0).sum(axis=0), (every >= 0).sum(axis=0)], axis=1)
