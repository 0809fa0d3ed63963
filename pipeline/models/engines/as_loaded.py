"""Holds a model whose layers were rewritten for a CPU against the model as it was loaded."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from maskbeam.pipeline.models.engines.agreement import (
    LEAST_AGREEMENT,
    MOST_DRIFT,
    agreement_beyond_ties,
    confidence_drift,
)
from maskbeam.pipeline.models.engines.keras_cpu.fold import LeanModel
from maskbeam.pipeline.models.engines.tensorflow_engine import KerasEngine
from maskbeam.pipeline.models.loading.loaded_model import LoadedModel
from maskbeam.pipeline.models.loading.model_errors import model_failure
from maskbeam.pipeline.models.probing.fed_model import synthetic_planes
from maskbeam.pipeline.models.probing.probe import PROBE_IMAGES, Probe
from maskbeam.pipeline.process.watchdog import step
from maskbeam.transforms.predict import Scores


class AsLoaded(KerasEngine):
    """A model as it was loaded, called without compiling it: its first call is quick, the others are slow."""

    def __init__(self, loaded: LoadedModel, probe: Probe, *, end: str, threshold: float) -> None:
        """Takes two planes at once, as a probe does; arguments as of `KerasEngine`."""
        as_loaded = replace(probe, plain=True)
        super().__init__(loaded, as_loaded, end=end, threshold=threshold, batch_size=PROBE_IMAGES)

    def _compile(self, dtype: str, signature: tuple[int | None, ...]) -> Callable[[Any], Any]:
        return self._score


def sound_form(loaded: LoadedModel, probe: Probe, *, end: str, threshold: float) -> tuple[Probe, KerasEngine | None]:
    """Says in which form TensorFlow runs a model: with layers rewritten, or as it was loaded where labels differ.

    Args:
        loaded: The model.
        probe: How it is fed and read.
        end: Which end of the model the job uses.
        threshold: Probability above which a sigmoid's second class is there.

    Returns:
        The probe; and the compiled engine, where the rewritten form is sound, for the job to take.

    Raises:
        RunError: The model fails.
    """
    if probe.plain or not LeanModel(loaded.model).rewrites:
        return probe, None
    planes = synthetic_planes(PROBE_IMAGES, *probe.plane_size, probe.spec.channels)
    engine = KerasEngine(loaded, probe, end=end, threshold=threshold)
    with step("compared"):
        try:
            known = AsLoaded(loaded, probe, end="logits", threshold=threshold)(planes)
        except Exception as error:
            raise model_failure(error) from error
        try:
            reason = _difference(engine(planes), known, probe, threshold)
        except Exception as error:
            # As it was loaded the model has just run; if it cannot be compiled at all, that is said at its start.
            reason = f"rewritten for a CPU they fail ({type(error).__name__})"
    return (probe, engine) if reason is None else (probe.as_loaded(reason), None)


def _difference(mine: Scores, known: Scores, probe: Probe, threshold: float) -> str | None:
    """The reason against rewritten layers; None where they give labels and confidence of the model's own."""
    agreement = agreement_beyond_ties(mine, known, probe.head, threshold)
    if agreement < LEAST_AGREEMENT:
        return f"rewritten for a CPU they give only {100 * agreement:.4f}% of the labels on a probe batch"
    drift = confidence_drift(mine, known, probe)
    if drift > MOST_DRIFT:
        return f"rewritten for a CPU they give a mean confidence of an image that is {drift:.4f} off"
    return None
