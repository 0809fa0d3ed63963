"""Reading of rasters in the graph: each as a whole or by reference, and the windows of references on workers."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import TaggedOutput

from maskbeam.pipeline.inputs.area import check_place
from maskbeam.pipeline.inputs.scenes import Scene, Scenes, SceneSpan, is_raster, spans_of
from maskbeam.pipeline.output.blocks import Blocks
from maskbeam.pipeline.process.memory import asking_for_memory
from maskbeam.transforms.elements import EncodedImage, FailedImage, Image, ModelInput, Region
from maskbeam.transforms.errors import ImageError
from maskbeam.transforms.tiling.layout import Tiling
from maskbeam.transforms.tiling.tile import Cutter, Read
from maskbeam.transforms.tiling.work import Work, emitted, stored_bytes

# Windows that are read before their turn, by the pool's threads.
_AHEAD = 32


@dataclass(frozen=True)
class ReadRasters:
    """Rasters by their own reader, other images as they always are: see `Scenes`.

    Attributes:
        scenes: Reads rasters.
        pictures: The steps that fetch and decode other images.
    """

    scenes: Scenes
    pictures: tuple[Callable[[Any], Any], ...]

    def __call__(self, image: EncodedImage) -> Any:
        if is_raster(image):
            with asking_for_memory():
                return self.scenes(image)
        check_place(image.origin, self.scenes.aoi)
        result: Any = image
        for step in self.pictures:
            result = step(result)
        return result


class CutScene(beam.DoFn):
    """`Scene` -> its `SceneSpan`s that are to be done; itself, and blocks that are done, go to the tag `saved`.

    `spread` as of `spans_of`.
    """

    def __init__(self, blocks: Blocks, tiling: Tiling, *, spread: bool) -> None:
        self._blocks, self._tiling, self._spread = blocks, tiling, spread

    def process(self, scene: Scene) -> Iterator[Any]:
        layout = self._tiling.layout(scene.origin.size)
        saved = self._blocks.saved(scene.origin, layout)
        yield TaggedOutput("saved", scene)
        yield from (TaggedOutput("saved", each) for each in saved.values())
        spans = spans_of(scene, layout, frozenset(saved), spread=self._spread)
        yield from (SceneSpan(scene.origin, span) for span in spans)


class TileScenes(beam.PTransform[Any, Any]):
    """`SceneSpan` -> `ModelInput`, one for each window; blocks that are saved, and what fails, go to `saved`.

    Of each bundle its `Work` goes to the tag `work`.
    """

    def __init__(self, cutter: Cutter, scenes: Scenes, blocks: Blocks) -> None:
        super().__init__()
        self._parts = cutter, scenes, blocks

    def expand(self, spans: Any) -> Any:
        run = beam.ParDo(_TileScenes(*self._parts)).with_output_types(ModelInput)
        return spans | "Read windows" >> run.with_outputs("failed", "saved", "work", main="main")


class _TileScenes(beam.DoFn):
    def __init__(self, cutter: Cutter, scenes: Scenes, blocks: Blocks) -> None:
        self._cutter, self._scenes, self._blocks = cutter, scenes, blocks

    def start_bundle(self) -> None:
        self._turn = 0
        self._work = Work()

    def finish_bundle(self) -> Iterator[Any]:
        yield emitted(self._work)

    def process(self, element: SceneSpan) -> Iterator[Any]:
        self._turn += 1
        origin = replace(element.origin, turn=self._turn)
        layout = self._cutter.tiling.layout(origin.size)
        mine = range(element.span.first, element.span.last + 1)
        # An earlier attempt at this bundle may have done some.
        saved = self._blocks.saved(origin, layout, mine)
        yield from (TaggedOutput("saved", each) for each in saved.values())
        others = {block.number for block in layout.blocks} - set(mine)
        spans = list(layout.spans(others | set(saved)))
        sizes: list[int] = []
        try:
            with self._scenes.reading(origin) as read:
                yield from self._cutter.read(origin.size, spans, partial(_noting, read, sizes), ahead=_AHEAD)
        except ImageError as error:
            yield TaggedOutput("saved", FailedImage(origin, error.code, error.reason))
        finally:
            self._work = self._work.plus(bytes=sum(sizes))


def _noting(read: Read, sizes: list[int], region: Region) -> Image:
    """Reads a region, from any thread, and notes how many bytes it was."""
    image = read(region)
    sizes.append(stored_bytes(image))
    return image
