"""Test-time augmentation: scores averaged over flips and turns of what the model sees."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from maskbeam.transforms.confidence import UNIT, confidence
from maskbeam.transforms.elements import Array
from maskbeam.transforms.predict import Engine, Loader, Scores


class View(NamedTuple):
    """One way of looking at a plane: first the axes exchanged, then each reversed, or not."""

    turned: bool = False
    down: bool = False
    across: bool = False

    def of(self, planes: Array) -> Array:
        """Planes `[N, h, w, C]` as this view shows them."""
        seen = planes.swapaxes(1, 2) if self.turned else planes
        return seen[:, :: -1 if self.down else 1, :: -1 if self.across else 1]

    def undone(self, scores: Array) -> Array:
        """Scores `[N, h, w, C]` of this view as those of the planes."""
        back = scores[:, :: -1 if self.down else 1, :: -1 if self.across else 1]
        return back.swapaxes(1, 2) if self.turned else back


_FLIPS = tuple(View(False, down, across) for down in (False, True) for across in (False, True))
#: Views by the name of the set, in the order in which their scores add up; `d4` are all symmetries of a square.
VIEWS: dict[str, tuple[View, ...]] = {
    "none": (View(),),
    "flips": _FLIPS,
    "d4": (*_FLIPS, *(view._replace(turned=True) for view in _FLIPS)),
}


class AugmentedEngine:
    """An engine whose scores are the mean of another's over several views, float32, added up in a fixed order.

    What the head emits is averaged: logits stay logits, probabilities add up to 1 still.
    """

    def __init__(self, engine: Engine, views: str, kind: str) -> None:
        self._engine = engine
        self._views = VIEWS[views]
        self._kind = kind
        self.batch_size = engine.batch_size
        self.callers: int = getattr(engine, "callers", 1)

    def __call__(self, planes: Array) -> Scores:
        mean = self._scores(self._views[0], planes)
        for view in self._views[1:]:
            mean += self._scores(view, planes)
        mean /= len(self._views)
        nan = np.isnan(mean).any(axis=-1)
        return Scores(mean, self._confidence(mean), np.count_nonzero(nan, axis=(1, 2)))

    def _scores(self, view: View, planes: Array) -> Array:
        seen = self._engine(np.ascontiguousarray(view.of(planes))).logits
        return np.array(view.undone(seen), np.float32)

    def _confidence(self, mean: Array) -> Array:
        units = confidence(np.moveaxis(mean, -1, 0), kind=self._kind)
        if self._kind.startswith("multilabel"):
            units = np.rint(units.mean(axis=0))
        return np.asarray(np.minimum(units, UNIT).sum(axis=(1, 2), dtype=np.int64))


@dataclass(frozen=True)
class AugmentedLoader:
    """Gives the engine that averages over views; small enough to be sent to workers."""

    loader: Loader
    views: str
    kind: str

    def __call__(self) -> AugmentedEngine:
        return AugmentedEngine(self.loader(), self.views, self.kind)


def augmented(loader: Loader, views: str, kind: str) -> Loader:
    """A loader of the same engine, averaging over a set of `VIEWS`; with `none` it is the same."""
    return loader if views == "none" else AugmentedLoader(loader, views, kind)
