"""Which engine runs a model: TensorFlow, or OpenVINO where it is installed, right and of use."""

import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from glob import glob
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from maskbeam.pipeline.models.engines.agreement import LEAST_AGREEMENT, MOST_DRIFT, confidence_drift, labels_of
from maskbeam.pipeline.models.engines.batched_engine import BatchedEngine, warm_up
from maskbeam.pipeline.models.loading.loaded_model import LoadedModel
from maskbeam.pipeline.models.loading.tensorflow_start import start_tensorflow
from maskbeam.pipeline.models.probing.fed_model import synthetic_planes
from maskbeam.pipeline.models.probing.probe import Probe
from maskbeam.pipeline.process.watchdog import step
from maskbeam.transforms.errors import RunError

Load = Callable[[], LoadedModel]

# The engine that was compiled to see that its form is sound, for the job that starts it next.
_compiled: dict[tuple[Any, ...], BatchedEngine] = {}
COMPARED_IMAGES = 8
# Of NVIDIA's cards and its boards, of AMD, and of any below Windows.
GPU_DEVICES = ("/dev/nvidia*", "/dev/nvhost*", "/dev/kfd", "/dev/dxg")
_INSTALL = "pip install openvino scipy"


def choose_engine(
    asked: str,
    load: Load,
    probe: Probe,
    *,
    end: str,
    local: bool,
    threshold: float = 0.5,
    folder: Path | None = None,
    plain: bool = False,
) -> Probe:
    """Decides for an output, once, what runs its model and in which form; a probe that knows is returned as it is.

    Args:
        asked: `tensorflow`, `openvino`, or `auto`: OpenVINO, if it is installed, there is no GPU, the job is local,
            the model converts, and its labels are TensorFlow's.
        load: Loads the model.
        probe: How it is fed and read.
        end: Which end of the model the job uses.
        local: Whether the job runs on this machine only; other machines may lack what is installed here.
        threshold: Probability above which a sigmoid's second class is there.
        folder: Where converted models are kept; the user's cache unless told.
        plain: Whether the model is to run as it was loaded, see `LeanModel`; else only where its labels would differ.

    Raises:
        RunError: OpenVINO was asked for by name, and cannot run this model or gives other labels.
    """
    if probe.engine:
        return probe
    probe = probe.as_loaded("--plain_model") if plain else probe
    against = reason_against(asked, local=local)
    reason, found = (against, probe) if against else _tried(load, probe, end, threshold, folder)
    if reason and (asked != "openvino" or not against):
        form = _sound_form(load, probe, end, threshold)
        if form is not probe and not against:
            # OpenVINO may be right, and only the layers that it was given wrong.
            reason, found = _tried(load, form, end, threshold, folder)
        probe = form
    if reason is None:
        return found
    if asked == "openvino":
        raise RunError(f"--engine openvino: {reason}; use --engine tensorflow.")
    told = () if asked == "tensorflow" else (f"engine tensorflow: {reason}",)
    return replace(probe, engine="tensorflow", evidence=(*probe.evidence, *told))


def reason_against(asked: str, *, local: bool) -> str | None:
    """What speaks against OpenVINO before any model is looked at; None if nothing does. Arguments as above."""
    if asked == "tensorflow":
        return "TensorFlow was asked for"
    if find_spec("openvino") is None:
        return f"OpenVINO, which is faster for some models, is not installed ({_INSTALL})"
    if asked == "openvino":
        return None
    if not local:
        return "the job runs on other machines, where OpenVINO is used only if it is named"
    return "there is a GPU" if has_gpu() else None


def has_gpu() -> bool:
    """Whether TensorFlow would find a GPU here; it is loaded only where one could be."""
    # It takes seconds to load, and on Linux there is no GPU without one of these.
    if sys.platform == "linux" and not any(glob(pattern) for pattern in GPU_DEVICES):
        return False
    return bool(start_tensorflow().config.list_physical_devices("GPU"))


def _tried(load: Load, probe: Probe, end: str, threshold: float, folder: Path | None) -> tuple[str | None, Probe]:
    """Converts and compares: what speaks against OpenVINO, or None and the probe that uses it."""
    try:
        with step("compared"):
            agreement, drift = compare_engines(load, probe, end=end, threshold=threshold, folder=folder)
    except Exception as error:  # whatever a converter raises for a model that it does not know
        return f"OpenVINO cannot run this model ({type(error).__name__})", probe
    told = f"{100 * agreement:.4f}% of labels on a probe batch are TensorFlow's"
    if agreement < LEAST_AGREEMENT:
        return f"with OpenVINO only {told}", probe
    if drift > MOST_DRIFT:
        return f"with OpenVINO the mean confidence of an image is {drift:.4f} off TensorFlow's", probe
    name = version("openvino")
    evidence = (*probe.evidence, f"engine openvino {name}: {told}")
    versions = (*probe.versions, ("openvino", name))
    return None, replace(probe, engine="openvino", agreement=agreement, evidence=evidence, versions=versions)


def compare_engines(
    load: Load, probe: Probe, *, end: str, threshold: float, folder: Path | None
) -> tuple[float, float]:
    """Compares all that a run takes from an engine: OpenVINO's, and TensorFlow's of the model as it was loaded.

    Returns:
        The share of labels that are the same, those of a plane with another number of NaN apart; and the largest
        difference of a plane's mean confidence, 0..1.
    """
    start_tensorflow()
    from maskbeam.pipeline.models.engines.as_loaded import AsLoaded

    planes = synthetic_planes(COMPARED_IMAGES, *probe.plane_size, probe.spec.channels)
    mine = _openvino(load, probe, end, threshold, folder)(planes)
    other = AsLoaded(load(), probe, end=end, threshold=threshold)(planes)
    same = labels_of(mine.logits, probe.head, threshold) == labels_of(other.logits, probe.head, threshold)
    same[mine.nonfinite != other.nonfinite] = False
    return float(same.mean()), confidence_drift(mine, other, probe)


def _sound_form(load: Load, probe: Probe, end: str, threshold: float) -> Probe:
    start_tensorflow()
    from maskbeam.pipeline.models.engines.as_loaded import sound_form

    loaded = load()
    form, engine = sound_form(loaded, probe, end=end, threshold=threshold)
    _compiled.clear()
    if engine:
        _compiled[_use_of(loaded, form, end, threshold)] = engine
    return form


def _use_of(loaded: LoadedModel, probe: Probe, end: str, threshold: float) -> tuple[Any, ...]:
    """All that the compiled form of a model depends on."""
    return loaded, replace(probe, engine="", evidence=(), versions=(), agreement=None), end, threshold


def start_engine(
    load: Load,
    probe: Probe,
    *,
    end: str,
    threshold: float = 0.5,
    folder: Path | None = None,
    mixed_precision: bool = False,
) -> tuple[BatchedEngine, Probe]:
    """Compiles and warms up the probe's engine.

    Args:
        load: Loads the model; not called where OpenVINO has it converted already.
        probe: How it is fed, read and run.
        end: `logits` or `labels`, see `make_scoring`.
        threshold: Probability above which a sigmoid's second class is there.
        folder: Where converted models are kept; the user's cache unless told.
        mixed_precision: Whether TensorFlow may compute in float16 on GPUs.

    Returns:
        The engine, and the probe with its batch size.

    Raises:
        RunError: The model does not fit into memory, or its engine cannot run it or is not installed here.
    """
    if probe.engine == "openvino":
        try:
            engine = _openvino(load, probe, end, threshold, folder)
        except RuntimeError as error:
            kind = type(error).__name__
            raise RunError(f"OpenVINO cannot run this model here ({kind}); use --engine tensorflow.") from error
    else:
        engine = _keras(load(), probe, end, threshold, mixed_precision=mixed_precision)
    return engine, warm_up(engine, probe)


def _keras(loaded: LoadedModel, probe: Probe, end: str, threshold: float, *, mixed_precision: bool) -> BatchedEngine:
    start_tensorflow()
    from maskbeam.pipeline.models.engines.tensorflow_engine import KerasEngine

    compiled = None if mixed_precision else _compiled.pop(_use_of(loaded, probe, end, threshold), None)
    return compiled or KerasEngine(loaded, probe, end=end, threshold=threshold, mixed_precision=mixed_precision)


def _openvino(load: Load, probe: Probe, end: str, threshold: float, folder: Path | None) -> BatchedEngine:
    if find_spec("openvino") is None:
        raise RunError(f"This output was begun with OpenVINO, which is not installed here: {_INSTALL}.")
    from maskbeam.pipeline.models.engines.openvino_engine import OpenVinoEngine, kept

    find = partial(kept, load, probe, end=end, threshold=threshold, folder=folder)
    found = find()
    try:
        return OpenVinoEngine(found, probe)
    except RuntimeError:
        if not isinstance(found, Path):
            raise
        # What is kept may have been damaged since. Made anew it is as good as its model, or fails once more.
        shutil.rmtree(found.parent, ignore_errors=True)
        return OpenVinoEngine(find(), probe)
