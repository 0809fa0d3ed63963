"""The model as TensorFlow runs it: compiled once, with all that goes around it in its own graph."""

import threading
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import tensorflow as tf

from maskbeam.pipeline.models.engines.batched_engine import BatchedEngine
from maskbeam.pipeline.models.engines.scoring import make_scoring
from maskbeam.pipeline.models.loading.cores import Sharing, share_cores
from maskbeam.pipeline.models.loading.loaded_model import LoadedModel
from maskbeam.pipeline.models.probing.probe import Probe
from maskbeam.transforms.elements import Array
from maskbeam.transforms.errors import RunError


class KerasEngine(BatchedEngine):
    """A model of any framework, compiled by TensorFlow."""

    def __init__(
        self,
        loaded: LoadedModel,
        probe: Probe,
        *,
        end: str,
        threshold: float = 0.5,
        mixed_precision: bool = False,
        batch_size: int = 0,
    ) -> None:
        """Compiles nothing yet: the first call does.

        Args:
            loaded: The model.
            probe: How it is fed and read.
            end: `logits` or `labels`, see `make_scoring`.
            threshold: Probability above which a sigmoid's second class is there.
            mixed_precision: Whether a GPU may compute in float16.
            batch_size: Images to take at once; when 0, what the probe says, or what suits its planes.
        """
        # A SavedModel may have been exported for one size of batch only.
        super().__init__(probe, _sharing(probe), only=loaded.inputs[0].shape[0], batch_size=batch_size)
        if mixed_precision:
            tf.config.optimizer.set_experimental_options({"auto_mixed_precision": True})
        self._signature = (self.only, probe.spec.height, probe.spec.width, probe.spec.channels)
        self._score = make_scoring(loaded, probe, end=end, threshold=threshold)
        self._compiling = threading.Lock()
        self._compiled: dict[tuple[str, tuple[int | None, ...]], Callable[[Any], Any] | None] = {}

    def run(self, planes: Array) -> tuple[Array, Array, Array]:
        if planes.dtype != np.uint8:
            planes = planes.astype(np.float32, copy=False)
        try:
            ending, sureness, nonfinite = self._function(planes)(tf.constant(planes))
        except tf.errors.ResourceExhaustedError as error:
            raise MemoryError(f"the model has no room for {len(planes)} planes of {planes.shape[1:]}") from error
        return ending.numpy(), sureness.numpy(), nonfinite.numpy()

    def _function(self, planes: Array) -> Callable[[Any], Any]:
        """The compiled function for planes of this type, and this size where one for all does not compile."""
        dtype, sides = planes.dtype.name, planes.shape[1:3]
        for signature in (self._signature, (self.only, *sides, planes.shape[3])):
            # Calls side by side need it at once, and one of them compiles it for all.
            with self._compiling:
                if (dtype, signature) not in self._compiled:
                    self._compiled[dtype, signature] = self._compile(dtype, signature)
            compiled = self._compiled[dtype, signature]
            if compiled is not None:
                return compiled
        raise RunError(f"The model does not compile for images of {sides[0]} x {sides[1]} pixels.")

    def _compile(self, dtype: str, signature: tuple[int | None, ...]) -> Callable[[Any], Any] | None:
        function = tf.function(self._score, autograph=False)
        try:
            return cast("Callable[[Any], Any]", function.get_concrete_function(tf.TensorSpec(signature, dtype)))
        except Exception:
            # Some layers (Keras's bilinear UpSampling2D for one) cannot be traced for sizes that are not known yet.
            if None not in signature[1:]:
                raise
            return None


def _sharing(probe: Probe) -> Sharing:
    if tf.config.list_physical_devices("GPU"):
        return Sharing(1, 0)
    sharing = share_cores(probe.spec.pixels)
    # Whoever started TensorFlow may not have known the planes; then its operations take all cores.
    started_so = tf.config.threading.get_intra_op_parallelism_threads() == sharing.threads
    return sharing if started_so else share_cores(None)
