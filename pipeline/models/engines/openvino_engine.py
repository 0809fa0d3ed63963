"""The model as OpenVINO runs it on a CPU: converted once, kept by its digest, in full float32."""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import openvino

from maskbeam.pipeline.models.engines.batched_engine import CALL_PIXELS, BatchedEngine
from maskbeam.pipeline.models.engines.sealed import is_whole, seal
from maskbeam.pipeline.models.loading.cores import available_cores, share_cores
from maskbeam.pipeline.models.loading.loaded_model import LoadedModel
from maskbeam.pipeline.models.probing.probe import Probe
from maskbeam.pipeline.process.temporary import temporary_folder
from maskbeam.transforms.elements import Array

_log = logging.getLogger(__name__)

# Raised when the graph around the model changes, so that converted models are not taken from older versions.
GRAPH_VERSION = 6
# Its own default for precision is bfloat16 where the processor has it, which changed 0.7% of a model's labels; its
# other hint, throughput, was half as fast.
SETTINGS = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
# What a scoring gives. The model's own tensors are in the same graph, under names that are its author's to choose.
_NAMES = ("maskbeam_ending", "maskbeam_sureness", "maskbeam_nonfinite")


class OpenVinoEngine(BatchedEngine):
    """A converted model, compiled by OpenVINO."""

    # It gains little from batches, and their memory is what they cost.
    call_pixels = CALL_PIXELS // 4

    def __init__(self, model: Any, probe: Probe, *, batch_size: int = 0) -> None:
        """Compiles the model.

        Args:
            model: What `convert` made, or the path where it is kept.
            probe: How the model is fed and read.
            batch_size: Images to take at once; when 0, what the probe says, or what suits its planes.
        """
        sharing = share_cores(probe.spec.pixels)
        streams = {"NUM_STREAMS": str(sharing.callers), "INFERENCE_NUM_THREADS": available_cores()}
        compiled = openvino.Core().compile_model(model, "CPU", {**SETTINGS, **streams})
        batch = compiled.inputs[0].get_partial_shape()[0]
        super().__init__(probe, sharing, only=batch.get_length() if batch.is_static else None, batch_size=batch_size)
        self._requests: SimpleQueue[Any] = SimpleQueue()
        for _ in range(self.callers):
            self._requests.put(compiled.create_infer_request())

    def run(self, planes: Array) -> tuple[Array, Array, Array]:
        request = self._requests.get()
        try:
            results = request.infer([planes.astype(np.float32, copy=False)])
        except RuntimeError as error:
            if "alloc" in str(error):
                raise MemoryError(f"the model has no room for {len(planes)} planes of {planes.shape[1:]}") from error
            raise
        finally:
            self._requests.put(request)
        ending, sureness, nonfinite = (results[name] for name in _NAMES)
        return ending, sureness, nonfinite


def convert(loaded: LoadedModel, probe: Probe, *, end: str, threshold: float = 0.5) -> Any:
    """Converts a model with all that goes around it in its graph.

    Goes to OpenVINO's front end itself: `openvino.convert_model` reports its use to a server on the way there.

    Args:
        loaded: The model.
        probe: How it is fed and read.
        end: `logits` or `labels`, see `make_scoring`.
        threshold: Probability above which a sigmoid's second class is there.

    Raises:
        RuntimeError: OpenVINO does not know an operation of the model.
    """
    import tensorflow as tf
    from openvino.frontend import FrontEndManager
    from openvino.frontend.tensorflow.graph_iterator import GraphIteratorTFGraph

    from maskbeam.pipeline.models.engines.scoring import make_scoring

    spec = probe.spec
    signature = tf.TensorSpec((loaded.inputs[0].shape[0], spec.height, spec.width, spec.channels), tf.float32)
    score = make_scoring(loaded, probe, end=end, threshold=threshold)

    @partial(tf.function, autograph=False)
    def named(planes: Any) -> tuple[Any, ...]:
        # What TensorFlow calls them, `Identity_1` and so on, functions inside the model call theirs, too.
        return tuple(tf.identity(tensor, name=name) for tensor, name in zip(score(planes), _NAMES, strict=True))

    traced = named.get_concrete_function(signature)
    names = {f"{name}:0": name for name in _NAMES}
    graph = GraphIteratorTFGraph(traced.graph, True, False, None, names)
    front_end = FrontEndManager().load_by_framework("tf")
    return front_end.convert(front_end.load(graph, True))


def kept(
    load: Callable[[], LoadedModel], probe: Probe, *, end: str, threshold: float = 0.5, folder: Path | None = None
) -> Any:
    """A model's converted form on disk, converted now if it is not there yet, or damaged since.

    Args:
        load: Loads the model; only called when it has to be converted.
        probe: How it is fed and read; its `digest` names the model.
        end: `logits` or `labels`, see `make_scoring`.
        threshold: Probability above which a sigmoid's second class is there.
        folder: Where converted models are kept; the user's cache unless told.

    Returns:
        Its path; or the model itself where no folder takes it, which is said and costs the next job its conversion.

    Raises:
        RuntimeError: OpenVINO does not know an operation of the model.
    """
    model = None
    try:
        place = (folder or cache_folder()) / _key(probe, end, threshold)
        if not is_whole(place):
            model = convert(load(), probe, end=end, threshold=threshold)
            _keep(model, place)
        return place / "model.xml"
    except OSError as error:
        _say_once(f"the converted model is not kept for later jobs: {error}")
        return model or convert(load(), probe, end=end, threshold=threshold)


@cache
def _say_once(text: str) -> None:
    _log.warning("%s", text)


def _keep(model: Any, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    with temporary_folder(prefix=".making-", within=place.parent) as made:
        try:
            openvino.save_model(model, made / "model.xml", compress_to_fp16=False)
            seal(made)
            _put(made, place)
        except RuntimeError as error:
            raise OSError(f"{place} cannot be written") from error


def _put(made: Path, place: Path) -> None:
    """Gives a whole folder its name, which a damaged one may have."""
    try:
        made.rename(place)
    except OSError:
        if not is_whole(place):  # else another process was faster
            place.rename(f"{made}-damaged")
            made.rename(place)
    shutil.rmtree(f"{made}-damaged", ignore_errors=True)


def cache_folder() -> Path:
    """Where converted models are kept: below `XDG_CACHE_HOME`, or `~/.cache`.

    Raises:
        OSError: This user has neither, as in a container that is started as any number.
    """
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "maskbeam" / "openvino"
    except RuntimeError as error:
        raise OSError("this user has no home folder; XDG_CACHE_HOME names one to use") from error


def processor() -> str:
    """The kind of this machine's processor, and what it can do, as OpenVINO names them."""
    names = ("FULL_DEVICE_NAME", "OPTIMIZATION_CAPABILITIES")
    return str([openvino.Core().get_property("CPU", name) for name in names])


def _key(probe: Probe, end: str, threshold: float) -> str:
    """A digest of all that decides about the graph."""
    graph = {
        "model": probe.digest,
        "fed": [asdict(probe.spec), asdict(probe.normalization), probe.channel_order, probe.channels_first],
        "read": [asdict(probe.head), probe.output_stride, end, threshold],
        "versions": sorted({*probe.versions, *((name, version(name)) for name in ("openvino", "tensorflow"))}),
        "graph": GRAPH_VERSION,
        **({"plain": True} if probe.plain else {}),
    }
    return hashlib.sha256(json.dumps(graph, sort_keys=True).encode()).hexdigest()[:32]
