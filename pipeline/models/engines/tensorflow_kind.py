"""TensorFlow as an engine, and the reference of all others: it runs whatever it has loaded."""

from dataclasses import replace
from typing import Any

from maskbeam.pipeline.models.engines.engine_kind import EngineKind, Use
from maskbeam.pipeline.models.loading.loaded_model import LoadedModel
from maskbeam.pipeline.models.loading.tensorflow_start import start_tensorflow
from maskbeam.pipeline.models.probing.probe import Probe
from maskbeam.transforms.predict import Engine

# The engine that was compiled to see that its form is sound, for the job that starts it next.
_compiled: dict[tuple[Any, ...], Engine] = {}


class _TensorFlow(EngineKind):
    def make(self, use: Use) -> Engine:
        loaded = use.load()
        start_tensorflow()
        from maskbeam.pipeline.models.engines.tensorflow_engine import KerasEngine

        compiled = None if use.mixed_precision else _compiled.pop(_form_of(loaded, use, use.probe), None)
        return compiled or KerasEngine(
            loaded, use.probe, end=use.end, threshold=use.threshold, mixed_precision=use.mixed_precision
        )


# Its packages loaded the model; what it raises is told when it is warmed up.
ENGINE = _TensorFlow(name="tensorflow", title="TensorFlow", device="all devices", errors=())


def sound_probe(use: Use) -> Probe:
    """The probe in the form in which TensorFlow runs the model: with rewritten layers only where these are sound."""
    start_tensorflow()
    from maskbeam.pipeline.models.engines.as_loaded import sound_form

    loaded = use.load()
    probe, engine = sound_form(loaded, use.probe, end=use.end, threshold=use.threshold)
    _compiled.clear()
    if engine:
        _compiled[_form_of(loaded, use, probe)] = engine
    return probe


def _form_of(loaded: LoadedModel, use: Use, probe: Probe) -> tuple[Any, ...]:
    """All that the compiled form of a model depends on."""
    return loaded, replace(probe, engine="", evidence=(), versions=(), agreement=None), use.end, use.threshold
