"""Images become windows: of each image one after the other, in the order in which their scores are to be added."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import TaggedOutput

from maskbeam.transforms.elements import FailedImage, Image, ModelInput, Origin, Window
from maskbeam.transforms.errors import ImageError
from maskbeam.transforms.resampling.prepare import InputSpec, drawable, part_of, prepare
from maskbeam.transforms.tiling.layout import Layout, Span, Tiling

# Spans of images of several blocks that are at work in a process at once: each holds scores of up to 256 MB.
_AT_ONCE = threading.BoundedSemaphore(2)

# The blocks of an image that are saved already: by number, what stands for each in the work that follows.
Saved = Callable[[Origin, Layout], Mapping[int, Any]]


def nothing_saved(origin: Origin, layout: Layout) -> Mapping[int, Any]:
    """The blocks of an image that nobody began."""
    return {}


@dataclass(frozen=True)
class Cutter:
    """Cuts images into windows.

    Attributes:
        tiling: Where windows lie.
        spec: How the model takes them.
        keep_image: Whether a product draws on the image.
    """

    tiling: Tiling
    spec: InputSpec
    keep_image: bool = False

    def windows(self, image: Image, spans: Sequence[Span]) -> Iterator[ModelInput]:
        """The windows of spans of an image, in order; the last one keeps the image, if it is to be kept.

        Raises:
            ImageError: As `prepare` does.
        """
        layout = self.tiling.layout(image.region.size)
        for span in spans:
            with self._permit(layout):
                yield from self._of_span(image, layout, span, is_last=span is spans[-1])

    def _permit(self, layout: Layout) -> AbstractContextManager[Any]:
        """The context in which a span is computed."""
        return nullcontext() if layout.is_one_block else _AT_ONCE

    def _of_span(self, image: Image, layout: Layout, span: Span, *, is_last: bool) -> Iterator[ModelInput]:
        regions = layout.windows_of(span)
        for number, region in enumerate(regions):
            window = Window(span, number, len(regions), is_alone=not layout.is_one_block)
            made = replace(prepare(part_of(image, region), self.spec), window=window)
            keeps = self.keep_image and is_last and window.is_last
            yield replace(made, image=drawable(image)) if keeps else made


class Tile(beam.PTransform[Any, Any]):
    """`Image` -> `ModelInput`, one for each window; failures go to the tag `failed`, what is saved to `saved`.

    Images of several blocks that fail go to `saved`, too, as `FailedImage`.

    It is a generator that the model's step pulls at: no more windows are cut than fit into its batches.
    """

    def __init__(self, cutter: Cutter, saved: Saved = nothing_saved) -> None:
        super().__init__()
        self._cutter = cutter
        self._saved = saved

    def expand(self, images: Any) -> Any:
        run = beam.ParDo(_Tile(self._cutter, self._saved)).with_output_types(ModelInput)
        return images | "Cut windows" >> run.with_outputs("failed", "saved", main="main")


class _Tile(beam.DoFn):
    def __init__(self, cutter: Cutter, saved: Saved) -> None:
        self._cutter = cutter
        self._saved = saved

    def start_bundle(self) -> None:
        self._turn = 0

    def process(self, image: Image) -> Iterator[Any]:
        self._turn += 1
        yield from self._cut(replace(image, origin=replace(image.origin, turn=self._turn)))

    def _cut(self, image: Image) -> Iterator[Any]:
        layout = self._cutter.tiling.layout(image.region.size)
        try:
            saved = {} if layout.is_one_block else dict(self._saved(image.origin, layout))
            if len(saved) == len(layout.blocks):
                # Somebody died before they were put together: that is done by whoever does the last one.
                del saved[len(saved) - 1]
            yield from (TaggedOutput("saved", each) for each in saved.values())
            yield from self._cutter.windows(image, list(layout.spans(saved)))
        except ImageError as error:
            failed = FailedImage(image.origin, error.code, error.reason)
            yield TaggedOutput("failed", failed.failure) if layout.is_one_block else TaggedOutput("saved", failed)
