"""The choice of the engine that runs a model: the first that is installed, of use and right, else the reference."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from maskbeam.pipeline.models.engines.agreement import LEAST_AGREEMENT, MOST_DRIFT, confidence_drift, labels_of
from maskbeam.pipeline.models.engines.batched_engine import warm_up
from maskbeam.pipeline.models.engines.engine_kind import EngineKind, Load, Use
from maskbeam.pipeline.models.engines.registry import REFERENCE, candidates, engine_kind
from maskbeam.pipeline.models.engines.tensorflow_kind import sound_probe
from maskbeam.pipeline.models.loading.tensorflow_start import start_tensorflow
from maskbeam.pipeline.models.probing.fed_model import synthetic_planes
from maskbeam.pipeline.models.probing.probe import Probe
from maskbeam.pipeline.process.watchdog import step
from maskbeam.transforms.elements import Array
from maskbeam.transforms.errors import RunError
from maskbeam.transforms.predict import Engine, Scores

COMPARED_IMAGES = 8


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
        asked: An engine's name, or `auto`: the first that is installed and suits this machine, if the job is local,
            it can run the model, and its labels are TensorFlow's; else TensorFlow.
        load: Loads the model.
        probe: How it is fed and read.
        end: Which end of the model the job uses.
        local: Whether the job runs on this machine only; other machines may lack what is installed here.
        threshold: Probability above which a sigmoid's second class is there.
        folder: Where converted models are kept; the user's cache unless told.
        plain: Whether the model is to run as it was loaded, see `LeanModel`; else only where its labels would differ.

    Raises:
        RunError: An engine was asked for by name, and cannot run this model or gives other labels.
    """
    if probe.engine:
        return probe
    use = Use(load, probe.as_loaded("--plain_model") if plain else probe, end, threshold, folder)
    kinds = candidates(asked)
    against = {kind.name: why for kind in kinds if (why := reason_against(kind, asked, local=local, use=use))}
    able = [kind for kind in kinds if kind.name not in against]
    if asked in against:
        raise _refusal(asked, against[asked])
    found, wrong = _in_a_sound_form(able, use)
    if found.engine:
        return found
    if asked in wrong:
        raise _refusal(asked, wrong[asked])
    told = (f"engine {REFERENCE}: {(against | wrong)[kind.name]}" for kind in kinds)
    return replace(found, engine=REFERENCE, evidence=(*found.evidence, *told))


def _refusal(asked: str, reason: str) -> RunError:
    return RunError(f"--engine {asked}: {reason}; use --engine {REFERENCE}.")


def reason_against(kind: EngineKind, asked: str, *, local: bool, use: Use | None = None) -> str | None:
    """The reason against an engine before it is tried; None if there is none.

    Args:
        kind: Its kind.
        asked: As above.
        local: As above.
        use: The model, where that has been looked at.
    """
    if not kind.is_installed:
        merit = f", which {kind.merit}," if kind.merit else ""
        return f"{kind.title}{merit} is not installed ({kind.install})"
    if asked != kind.name and not local:
        return f"the job runs on other machines, where {kind.title} is used only if it is named"
    unfit = kind.unfit_here() if asked != kind.name else None
    return unfit or (kind.cannot(use) if use else None)


def _in_a_sound_form(kinds: Sequence[EngineKind], use: Use) -> tuple[Probe, dict[str, str]]:
    """As `_first_right`; where none is right, the probe is in the form in which the reference runs the model."""
    found, wrong = _first_right(kinds, use)
    form = found if found.engine else sound_probe(use)
    # Where the form is another one, an engine may be right, and only the layers that it was given wrong.
    return (found, wrong) if form is found else _first_right(kinds, use._replace(probe=form))


def _first_right(kinds: Sequence[EngineKind], use: Use) -> tuple[Probe, dict[str, str]]:
    """The probe, with the first engine of these that is right, if one is; and what speaks against those before it."""
    wrong: dict[str, str] = {}
    for kind in kinds:
        reason, probe = _tried(kind, use)
        if reason is None:
            return probe, wrong
        wrong[kind.name] = reason
    return use.probe, wrong


def _tried(kind: EngineKind, use: Use) -> tuple[str | None, Probe]:
    """Makes and compares an engine: what speaks against it, or None and the probe that uses it."""
    try:
        with step("compared"):
            agreement, drift = compare_engines(kind, use)
    except Exception as error:  # whatever a converter raises for a model that it does not know
        return f"{kind.title} cannot run this model ({type(error).__name__})", use.probe
    reference = engine_kind(REFERENCE).title
    told = f"{100 * agreement:.4f}% of labels on a probe batch are {reference}'s"
    if agreement < LEAST_AGREEMENT:
        return f"with {kind.title} only {told}", use.probe
    if drift > MOST_DRIFT:
        return f"with {kind.title} the mean confidence of an image is {drift:.4f} off {reference}'s", use.probe
    name = " ".join([kind.name, *(number for _, number in kind.versions[:1])])
    evidence = (*use.probe.evidence, f"engine {name}: {told}")
    versions = (*use.probe.versions, *kind.versions)
    return None, replace(use.probe, engine=kind.name, agreement=agreement, evidence=evidence, versions=versions)


def compare_engines(kind: EngineKind, use: Use) -> tuple[float, float]:
    """Compares all that a run takes from an engine: this one's, and TensorFlow's of the model as it was loaded.

    Returns:
        The share of labels that are the same, those of a plane with another number of NaN apart; and the largest
        difference of a plane's mean confidence, 0..1.
    """
    start_tensorflow()
    from maskbeam.pipeline.models.engines.as_loaded import AsLoaded

    probe, threshold = use.probe, use.threshold
    planes = synthetic_planes(COMPARED_IMAGES, *probe.plane_size, probe.spec.channels)
    mine = _scores(kind.make(use), planes)
    other = AsLoaded(use.load(), probe, end=use.end, threshold=threshold)(planes)
    same = labels_of(mine.logits, probe.head, threshold) == labels_of(other.logits, probe.head, threshold)
    same[mine.nonfinite != other.nonfinite] = False
    return float(same.mean()), confidence_drift(mine, other, probe)


def _scores(engine: Engine, planes: Array) -> Scores:
    """An engine's output for any number of planes."""
    parts = [engine(planes[start : start + engine.batch_size]) for start in range(0, len(planes), engine.batch_size)]
    return Scores(*map(np.concatenate, zip(*parts, strict=True)))


def start_engine(
    load: Load,
    probe: Probe,
    *,
    end: str,
    threshold: float = 0.5,
    folder: Path | None = None,
    mixed_precision: bool = False,
) -> tuple[Engine, Probe]:
    """Compiles and warms up the probe's engine.

    Args:
        load: Loads the model; not called where the engine has kept it in its own form.
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
    kind = engine_kind(probe.engine or REFERENCE)
    if not kind.is_installed:
        raise RunError(f"This output was begun with {kind.title}, which is not installed here: {kind.install}.")
    try:
        engine = kind.make(Use(load, probe, end, threshold, folder, mixed_precision))
    except kind.errors as error:
        name = type(error).__name__
        raise RunError(f"{kind.title} cannot run this model here ({name}); use --engine {REFERENCE}.") from error
    return engine, warm_up(engine, probe)
