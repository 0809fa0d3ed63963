"""Saved blocks become their image: gathered in the bundle that made them, put together, and their files removed.

A scene's blocks may come from many workers. Who saves the last one puts the scene together at once; the grouping of
all its blocks makes sure that it was done, and gives the scene's one end.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import prod
from typing import Any, TypeVar

import apache_beam as beam
from apache_beam.pvalue import TaggedOutput

from maskbeam.pipeline.output.blocks import Blocks, SavedBlock, SavedImage, folder_of_blocks
from maskbeam.pipeline.output.failures import known_code
from maskbeam.pipeline.output.outcome import Outcome
from maskbeam.pipeline.tally import WHOLE, tally
from maskbeam.transforms.elements import FailedImage, Failure, OfImage
from maskbeam.transforms.errors import ImageError

Ended = TypeVar("Ended", Outcome, Failure)


class Gather(beam.PTransform[Any, Any]):
    """`SavedBlock`, and `FailedImage` -> `SavedImage`; or one `Failure`, at the tag `failed`.

    All blocks of an image come in one bundle.
    """

    def expand(self, blocks: Any) -> Any:
        run = beam.ParDo(_Gather()).with_output_types(SavedImage)
        return blocks | "Gather blocks" >> run.with_outputs("failed", main="main")


class _Gather(beam.DoFn):
    def __init__(self) -> None:
        # By the image's turn in the bundle.
        self._waiting: dict[int, list[SavedBlock]] = {}
        self._failed: set[int] = set()

    def start_bundle(self) -> None:
        self._waiting, self._failed = {}, set()

    def process(self, element: SavedBlock | FailedImage) -> Iterator[Any]:
        turn = element.origin.turn
        if turn in self._failed:
            return
        if isinstance(element, FailedImage):
            self._failed.add(turn)
            self._forget(self._waiting.pop(turn, []))
            yield TaggedOutput("failed", element.failure)
            return
        blocks = self._waiting.setdefault(turn, [])
        blocks.append(element)
        more = _parts(len(blocks), element.of) - _parts(len(blocks) - 1, element.of)
        tally.add(parts=more, pixels=prod(element.region.size))
        if len(blocks) == element.of:
            yield SavedImage(element.origin, tuple(self._waiting.pop(turn)))

    def _forget(self, blocks: list[SavedBlock]) -> None:
        if blocks:
            tally.add(parts=-_parts(len(blocks), blocks[0].of))


def _parts(count: int, of: int) -> int:
    """So many of an image's blocks, as `Counts.parts`."""
    return WHOLE * count // of


def count_block(element: OfImage) -> OfImage:
    """Adds a block of a scene to `Counts.parts`, and its pixels."""
    if isinstance(element, SavedBlock):
        tally.add(parts=WHOLE // element.of, pixels=prod(element.region.size))
    return element


def count_no_more(ended: Ended) -> Ended:
    """Takes an image all of whose blocks were done out of parts and pixels, for it is counted as a whole."""
    tally.add(parts=-WHOLE, pixels=-ended.height * ended.width if isinstance(ended, Outcome) else 0)
    return ended


@dataclass(frozen=True)
class RemoveBlocks:
    """Removes the blocks of what has ended: an image that has its mask, or has failed for good."""

    blocks: Blocks

    def __call__(self, ended: Ended) -> Ended:
        code = known_code(ended.code) if isinstance(ended, Failure) else None
        if code is None or not code.passing:
            self.blocks.remove(ended.image_id, ended.source)
        return ended


@dataclass(frozen=True, eq=False)
class LastBlock(SavedBlock):
    """The block with which a scene was whole, and the end of that scene."""

    outcome: Outcome | None = None


# Scenes that a thread of this process puts together, or could not put together: their ends come by the grouping.
_begun: set[str] = set()
_lock = threading.Lock()


@dataclass(frozen=True)
class AssembleAtOnce:
    """Puts a scene together when all its blocks are saved, so that it appears while others are at work.

    What fails here is tried once more after the grouping, and fails there.

    Attributes:
        blocks: Where blocks are saved.
        write: Writes the scene, and does all else that its end asks for.
    """

    blocks: Blocks
    write: Callable[[SavedImage], Outcome]

    def __call__(self, element: SavedBlock | FailedImage) -> SavedBlock | FailedImage:
        """A `LastBlock` for the block that made its scene whole; all else as it came."""
        image = self.blocks.all_saved(element.origin) if isinstance(element, SavedBlock) else None
        if image is None or isinstance(element, FailedImage):
            return element
        name = folder_of_blocks(image.image_id, image.source.place)
        with _lock:
            if name in _begun:
                return element
            _begun.add(name)
        try:
            outcome = self.write(image)
        except ImageError:
            return element
        with _lock:
            _begun.discard(name)
        return LastBlock(element.origin, element.region, element.of, outcome=outcome)


class GatherScenes(beam.PTransform[Any, Any]):
    """The same of blocks from all workers, by scene; each scene itself is among them, as often as it came.

    The `Outcome` of a scene that was put together already goes to the tag `outcome`.
    """

    def expand(self, blocks: Any) -> Any:
        keyed = blocks | "By source" >> beam.Map(_keyed) | "Group" >> beam.GroupByKey()
        return keyed | "Gather" >> beam.ParDo(_gather).with_outputs("failed", "outcome", main="main")


def _keyed(element: OfImage) -> tuple[tuple[str, str], OfImage]:
    return (element.image_id, element.source.place), element


def _gather(group: tuple[Any, Iterable[OfImage]]) -> Iterator[Any]:
    held = list(group[1])
    failures = [each for each in held if isinstance(each, FailedImage)]
    # A bundle that is run again saves a block again, or finds it saved.
    blocks = {each.region: each for each in held if isinstance(each, SavedBlock)}
    times = sum(not isinstance(each, FailedImage | SavedBlock) for each in held)
    if failures:
        first = min(failures, key=lambda each: (each.code, each.reason))
        yield from (TaggedOutput("failed", first.failure) for _ in range(times))
        return
    ends = [each.outcome for each in held if isinstance(each, LastBlock) and each.outcome]
    if ends:
        # Whoever did it again found it done, and knows no more what its mask replaced.
        outcome = max(ends, key=lambda end: end.updated)
        yield from (TaggedOutput("outcome", outcome) for _ in range(times))
        return
    ordered = sorted(blocks.values(), key=lambda each: (each.region.left, each.region.top))
    if len(ordered) != ordered[0].of:
        raise RuntimeError(f"{ordered[0].of - len(ordered)} blocks of a scene are missing")
    yield from (SavedImage(ordered[0].origin, tuple(ordered)) for _ in range(times))
