"""Facts found out about a model, kept beside its form for its engine: the next job starts without TensorFlow.

Loading TensorFlow and the model, the probe batch and comparing both engines are most of such a job's start. An engine
that loads the model in any case, as TensorFlow itself, has no place for it, so there nothing is kept.
"""

import hashlib
import json
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

from maskbeam.pipeline.models.engines.choose_engine import reason_against
from maskbeam.pipeline.models.engines.engine_kind import Keeping
from maskbeam.pipeline.models.engines.registry import candidates, engine_kind
from maskbeam.pipeline.models.engines.sealed import read_sealed, write_sealed
from maskbeam.pipeline.models.files.model_file import ModelFile
from maskbeam.pipeline.models.probing.probe import Probe, other_versions
from maskbeam.pipeline.options import ModelOptions, RunOptions

# Raised when probing finds other things, so that probes are not taken from older versions.
PROBE_VERSION = 4
# Said, and not kept as evidence: reports are the same whoever found it out.
TOLD = "found out by an earlier job with this model, these options and this kind of processor"


def recall_probe(options: RunOptions, model: ModelFile) -> Probe | None:
    """The probe of an earlier local job with this model and these options and versions; None if none can be used."""
    if not _may_keep(options.model):
        return None
    asked = options.model.engine
    # Only the first one that would be tried: it was wrong for the model, if an earlier job has chosen another.
    kind = next((kind for kind in candidates(asked) if not reason_against(kind, asked, local=True)), None)
    if kind is None:
        return None
    try:
        keeping = kind.keeping()
        probe = Probe.from_json(read_sealed(_place(keeping, options, model.digest))) if keeping else None
    except Exception:
        # Not there, not whole, of another shape, a broken engine: the model is probed, and what is wrong shows then.
        return None
    fits = probe and probe.digest == model.digest and probe.engine == kind.name and not other_versions(probe)
    return probe if fits else None


def keep_probe(options: RunOptions, probe: Probe) -> None:
    """Keeps what a local job has found out and settled; a disk that takes no more files is no reason to fail."""
    if not probe.engine or not _may_keep(options.model):
        return
    with suppress(OSError):
        keeping = engine_kind(probe.engine).keeping()
        if keeping:
            write_sealed(_place(keeping, options, probe.digest), probe.to_json())


def _may_keep(options: ModelOptions) -> bool:
    # A digest of the model says nothing of code that lies elsewhere; mixed precision is TensorFlow's.
    return not options.custom_objects and not options.mixed_precision


def _place(keeping: Keeping, options: RunOptions, digest: str) -> Path:
    decisive = {
        "model": digest,
        "options": asdict(replace(options.model, path="")),
        "label": asdict(options.label),
        "tile": asdict(options.tile),
        "products": sorted(options.output.products),
        "versions": [PROBE_VERSION, keeping.graph],
        # Folders may be shared, and last bits differ between processors.
        "processor": keeping.processor,
    }
    name = hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:32]
    return keeping.folder / "probes" / f"{name}.json"
