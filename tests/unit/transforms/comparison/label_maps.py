"""Label maps for tests of comparisons, and the plain way to count them."""

import numpy as np
from hypothesis import strategies as st

from maskbeam.transforms.elements import Array


def pair_of_maps(seed: int, count: int, height: int, width: int, block: int) -> tuple[Array, Array]:
    """A reference and labels of squares of one class each, some of none; noise with squares of one pixel."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, count + 1, (2, -(-height // block), -(-width // block)))
    small[1] = np.where(rng.random(small[1].shape) < 0.5, small[0], small[1])
    large = small.repeat(block, axis=1).repeat(block, axis=2)[:, :height, :width]
    kind = np.uint8 if count <= 255 else np.uint16
    return large[0].astype(kind), large[1].astype(kind)


#: Arguments of `pair_of_maps`.
MAPS = {
    "seed": st.integers(0, 2**32),
    "count": st.sampled_from([1, 2, 5, 150, 255, 256, 300, 65535]),
    "height": st.integers(1, 40),
    "width": st.integers(1, 40),
    "block": st.sampled_from([1, 2, 7, 16]),
}
