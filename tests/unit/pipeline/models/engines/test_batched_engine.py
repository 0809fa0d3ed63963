"""The batches that a model sees, whatever number of planes an engine is given."""

import numpy as np
import pytest

from maskbeam.pipeline.models.engines.batched_engine import BatchedEngine
from maskbeam.pipeline.models.loading.cores import CALL_BYTES, Sharing
from maskbeam.pipeline.models.probing.probe import Probe
from maskbeam.transforms.elements import Array
from maskbeam.transforms.head import Head
from maskbeam.transforms.normalize import Normalization
from maskbeam.transforms.resampling.prepare import InputSpec

SIDE = 4
HEAD = Head("logits", "channels_last", 2, 2)
PROBE = Probe(InputSpec(SIDE, SIDE, 1), Normalization(), "rgb", False, HEAD, (SIDE, SIDE), (SIDE, SIDE), ())


class Noting(BatchedEngine):
    """Notes the sizes of batches, and gives each plane back."""

    def __init__(self, most: int, *, batch_size: int, only: int | None = None) -> None:
        super().__init__(PROBE, Sharing(1, 1), only=only, batch_size=batch_size)
        # As if planes were so large that `most` of them fill a call.
        self._bytes_per_pixel = CALL_BYTES // (most * SIDE * SIDE)
        self.seen: list[int] = []

    def run(self, planes: Array) -> tuple[Array, Array, Array]:
        self.seen.append(len(planes))
        zeros = np.zeros((len(planes), 1))
        return planes, zeros, zeros[:, 0]


@pytest.mark.parametrize("batch_size", [2, 7, 12, 32])
@pytest.mark.parametrize("most", [1, 2, 3, 5, 20])
def test_a_full_batch_that_is_split_comes_in_parts_of_one_size(batch_size: int, most: int) -> None:
    engine = Noting(most, batch_size=batch_size)
    planes = np.arange(batch_size * SIDE * SIDE).reshape(batch_size, SIDE, SIDE, 1)
    assert np.array_equal(engine(planes).logits, planes)
    assert len(set(engine.seen)) == 1
    # No more than the next power of two of what fits.
    assert engine.seen[0] <= 1 << (most - 1).bit_length()
