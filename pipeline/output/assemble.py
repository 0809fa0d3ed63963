"""Saved blocks become their image: gathered in the bundle that made them, put together, and their files removed."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import apache_beam as beam
from apache_beam.pvalue import TaggedOutput

from maskbeam.pipeline.output.blocks import Blocks, SavedBlock, SavedImage
from maskbeam.pipeline.output.failures import known_code
from maskbeam.pipeline.output.outcome import Outcome
from maskbeam.transforms.elements import Failure, Source

Ended = TypeVar("Ended", Outcome, Failure)


class Gather(beam.PTransform[Any, Any]):
    """`SavedBlock`, and a `Failure` of any of them, -> `SavedImage`; or one `Failure`, at the tag `failed`.

    All blocks of an image come in one bundle.
    """

    def expand(self, blocks: Any) -> Any:
        run = beam.ParDo(_Gather()).with_output_types(SavedImage)
        return blocks | "Gather blocks" >> run.with_outputs("failed", main="main")


class _Gather(beam.DoFn):
    def __init__(self) -> None:
        self._waiting: dict[Source, list[SavedBlock]] = {}
        self._failed: set[Source] = set()

    def start_bundle(self) -> None:
        self._waiting, self._failed = {}, set()

    def process(self, element: SavedBlock | Failure) -> Iterator[Any]:
        if element.source in self._failed:
            return
        if isinstance(element, Failure):
            self._failed.add(element.source)
            self._waiting.pop(element.source, None)
            yield TaggedOutput("failed", element)
            return
        blocks = self._waiting.setdefault(element.source, [])
        blocks.append(element)
        if len(blocks) == element.of:
            yield SavedImage(element.origin, tuple(self._waiting.pop(element.source)))


@dataclass(frozen=True)
class RemoveBlocks:
    """Removes the blocks of what has ended: an image that has its mask, or has failed for good."""

    blocks: Blocks

    def __call__(self, ended: Ended) -> Ended:
        code = known_code(ended.code) if isinstance(ended, Failure) else None
        if code is None or not code.passing:
            self.blocks.remove(ended.source.place)
        return ended
