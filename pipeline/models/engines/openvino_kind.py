"""OpenVINO as an engine: nothing here imports it before it is used."""

import shutil
from functools import partial
from pathlib import Path

from maskbeam.pipeline.models.engines.engine_kind import EngineKind, Keeping, Use
from maskbeam.transforms.predict import Engine


class _OpenVino(EngineKind):
    def keeping(self) -> Keeping:
        from maskbeam.pipeline.models.engines.openvino_engine import GRAPH_VERSION, cache_folder, processor

        return Keeping(cache_folder(), GRAPH_VERSION, processor())

    def make(self, use: Use) -> Engine:
        from maskbeam.pipeline.models.engines.openvino_engine import OpenVinoEngine, kept

        find = partial(kept, use.load, use.probe, end=use.end, threshold=use.threshold, folder=use.folder)
        found = find()
        try:
            return OpenVinoEngine(found, use.probe)
        except RuntimeError:
            if not isinstance(found, Path):
                raise
            # What is kept may have been damaged since. Made anew it is as good as its model, or fails once more.
            shutil.rmtree(found.parent, ignore_errors=True)
            return OpenVinoEngine(find(), use.probe)


ENGINE = _OpenVino(
    name="openvino",
    title="OpenVINO",
    merit="is faster for some models",
    module="openvino",
    install="pip install openvino scipy",
    packages=("openvino",),
)
