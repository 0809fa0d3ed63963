"""An engine that maskbeam does not have: models of one convolution of 1 x 1 pixels, in plain numpy."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from maskbeam.pipeline.models.engines.engine_kind import EngineKind, Keeping, Use
from maskbeam.pipeline.models.probing.probe import Probe
from maskbeam.transforms.elements import Array
from maskbeam.transforms.normalize import normalize
from maskbeam.transforms.predict import Scores

batches: list[int] = []


@dataclass(frozen=True)
class ToyEngine:
    weights: list[Array]
    probe: Probe
    end: str
    batch_size: int = 3

    def __call__(self, planes: Array) -> Scores:
        assert len(planes) <= self.batch_size
        batches.append(len(planes))
        kernel, bias = self.weights
        fed = normalize(planes.astype(np.float32), self.probe.normalization, self.probe.channel_order)
        logits = (fed @ kernel[0, 0] + bias).astype(np.float32)
        likely = np.exp(logits - logits.max(-1, keepdims=True))
        confidence = np.rint(65535 * likely.max(-1) / likely.sum(-1)).astype(np.int64).sum((1, 2))
        ending = logits.argmax(-1) if self.end == "labels" else logits
        return Scores(ending, confidence, np.isnan(logits).any(-1).sum((1, 2)))


@dataclass(frozen=True, kw_only=True, eq=False)
class ToyKind(EngineKind):
    faults: dict[str, Any] = field(default_factory=dict)
    kept_in: Path | None = None

    @property
    def versions(self) -> tuple[tuple[str, str], ...]:
        return (("toy", "1.2"),)

    def cannot(self, use: Use) -> str | None:
        return None if use.probe.head.kind == "logits" else f"Toy computes no {use.probe.head.kind}"

    def keeping(self) -> Keeping | None:
        return Keeping(self.kept_in, 1, "any") if self.kept_in else None

    def make(self, use: Use) -> ToyEngine:
        kernel, bias = use.load().model.get_weights()
        if kernel.shape[:2] != (1, 1):
            raise NotImplementedError(f"a convolution of {kernel.shape[:2]}")
        return ToyEngine([kernel * self.faults.get("sign", 1), bias], use.probe, use.end)


ENGINE = ToyKind(name="toy", title="Toy", merit="is small", install="pip install toy")
