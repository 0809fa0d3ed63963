"""Images become windows: of each image one after the other, in the order in which their scores are to be added."""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import TaggedOutput

from maskbeam.transforms.elements import EmptyWindow, FailedImage, Image, ModelInput, Origin, Region, Window
from maskbeam.transforms.errors import ImageError
from maskbeam.transforms.lookahead import pool
from maskbeam.transforms.resampling.prepare import InputSpec, drawable, part_of, prepare
from maskbeam.transforms.tiling.layout import Layout, Span, Tiling
from maskbeam.transforms.tiling.work import Work, emitted, stored_bytes

# Spans of images of several blocks that are at work in a process at once: each holds up to 256 MB of scores, a third
# of that where windows overlap as they usually do.
_AT_ONCE = threading.BoundedSemaphore(2)

# The blocks of an image that are saved already: by number, what stands for each in the work that follows.
Saved = Callable[[Origin, Layout], Mapping[int, Any]]


def nothing_saved(origin: Origin, layout: Layout) -> Mapping[int, Any]:
    """The blocks of an image that nobody began."""
    return {}


Read = Callable[[Region], Image]


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

    def windows(self, image: Image, spans: Sequence[Span]) -> Iterator[ModelInput | EmptyWindow]:
        """The windows of spans of an image, in order; the last one keeps the image, if it is to be kept.

        Raises:
            ImageError: As `prepare` does.
        """
        for window in self.read(image.region.size, spans, partial(part_of, image)):
            ends = self.keep_image and window.window is not None and window.window.is_last
            is_last = ends and window.window is not None and window.window.span == spans[-1]
            yield replace(window, image=drawable(image)) if is_last else window

    def read(
        self, size: tuple[int, int], spans: Sequence[Span], read: Read, *, ahead: int = 0
    ) -> Iterator[ModelInput | EmptyWindow]:
        """The windows of spans of an image of this size, each read by its region, in order.

        Args:
            size: Height and width of the image.
            spans: Spans of its layout.
            read: Gives a region of it.
            ahead: How many windows are read in the process's pool before their turn.

        Raises:
            ImageError: As `prepare` does, and `read`.
        """
        layout = self.tiling.layout(size)
        for span in spans:
            with nullcontext() if layout.is_one_block else _AT_ONCE:
                regions = layout.windows_of(span)
                for number, (region, image) in enumerate(zip(regions, _read_all(read, regions, ahead), strict=True)):
                    window = Window(span, number, len(regions), is_alone=not layout.is_one_block)
                    yield cut(image, region, self.spec, window)


def cut(image: Image, region: Region, spec: InputSpec, window: Window) -> ModelInput | EmptyWindow:
    """A window as the model takes it, of its pixels `[h, w, C]`; an `EmptyWindow` where no pixel has data."""
    if image.valid is not None and not image.valid.any():
        return EmptyWindow(image.origin, region, window)
    valid = None if image.valid is None or image.valid.all() else image.valid
    return replace(prepare(image, spec), window=window, valid=valid)


def _read_all(read: Read, regions: Sequence[Region], ahead: int) -> Iterator[Image]:
    """Regions in order, some of them read ahead; what is read ahead and not wanted any more is not begun."""
    reading: deque[Future[Image]] = deque()
    try:
        for region in regions:
            if not ahead:
                yield read(region)
                continue
            reading.append(pool().submit(read, region))
            if len(reading) > ahead:
                yield reading.popleft().result()
        while reading:
            yield reading.popleft().result()
    finally:
        for each in reading:
            each.cancel()


class Tile(beam.PTransform[Any, Any]):
    """`Image` -> `ModelInput`, one for each window; failures go to the tag `failed`, what is saved to `saved`.

    Images of several blocks that fail go to `saved`, too, as `FailedImage`. Of each bundle its `Work` goes to `work`.

    It is a generator that the model's step pulls at: no more windows are cut than fit into its batches.
    """

    def __init__(self, cutter: Cutter, saved: Saved = nothing_saved) -> None:
        super().__init__()
        self._cutter = cutter
        self._saved = saved

    def expand(self, images: Any) -> Any:
        run = beam.ParDo(_Tile(self._cutter, self._saved)).with_output_types(ModelInput)
        return images | "Cut windows" >> run.with_outputs("failed", "saved", "work", main="main")


class _Tile(beam.DoFn):
    def __init__(self, cutter: Cutter, saved: Saved) -> None:
        self._cutter = cutter
        self._saved = saved

    def start_bundle(self) -> None:
        self._turn = 0
        self._work = Work()

    def finish_bundle(self) -> Iterator[Any]:
        yield emitted(self._work)

    def process(self, image: Image) -> Iterator[Any]:
        self._turn += 1
        self._work = self._work.plus(bytes=stored_bytes(image))
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
