"""Scores of windows become labels: of whole images, or block by block of those that have several."""

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import TaggedOutput

from maskbeam.transforms.argmax import Labeling
from maskbeam.transforms.elements import (
    Array,
    EmptyWindow,
    FailedImage,
    FailedWindow,
    Labels,
    LogitsBatch,
    ModelInput,
    Origin,
    Region,
    Window,
)
from maskbeam.transforms.errors import Code, ImageError
from maskbeam.transforms.lookahead import InFlight, emit, pool
from maskbeam.transforms.tiling.canvas import Canvas, Rows
from maskbeam.transforms.tiling.decide import Decided, decided
from maskbeam.transforms.tiling.join import Joined
from maskbeam.transforms.tiling.layout import Layout, Span, Tiling
from maskbeam.transforms.tiling.work import Work, emitted

# Parts that are decided in the pool while further windows add up.
_ROWS_AHEAD = 4


class Mosaic:
    """A span at work: windows go in, rows come out and go back in when they are decided, and blocks come out."""

    def __init__(self, origin: Origin, layout: Layout, span: Span, labeling: Labeling) -> None:
        self._canvas = Canvas(layout, span)
        self._origin = origin
        self._labeling = labeling
        self._regions = [block.region for block in layout.blocks[span.first : span.last + 1]][::-1]
        self._block = Joined(origin, self._regions[-1])
        # The first one of each of the rows that have any.
        self._nonfinite: list[tuple[int, int]] = []
        self._image: Array | None = None

    def add(self, window: Window, element: LogitsBatch | EmptyWindow) -> Iterator[Rows]:
        """Adds the scores of a window, or none, and gives the rows that are complete by it."""
        if window.is_last:
            self._image = (element if isinstance(element, EmptyWindow) else element.images[0]).image
        yield from self._canvas.add(window.number, None if isinstance(element, EmptyWindow) else element)

    def put(self, part: Decided) -> Labels | None:
        """Takes rows in their order, and gives the block that they complete.

        Raises:
            ImageError: `NONFINITE`, where NaN among scores is a failure.
        """
        if part.first_nonfinite:
            self._nonfinite.append(part.first_nonfinite)
        self._block.add(part)
        if not self._block.is_whole:
            return None
        self._check_finite(self._block.nonfinite, self._regions.pop())
        done = self._block
        if self._regions:
            self._block = Joined(self._origin, self._regions[-1])
        return done.labels(None if self._regions else self._image)

    @property
    def is_done(self) -> bool:
        """True once all of its blocks came out."""
        return not self._regions

    def _check_finite(self, count: int, block: Region) -> None:
        if count and self._labeling.nonfinite == "fail":
            row, column = min(self._nonfinite)
            raise ImageError(
                Code.NONFINITE,
                f"{count} of {block.height * block.width} pixels have a NaN among their scores, the first one at row "
                f"{row}, column {column}",
            )


class Blend(beam.PTransform[Any, Any]):
    """`LogitsBatch` of one window each -> `Labels` of whole images; those of blocks go to the tag `block`.

    An image of which a window has failed is one `Failure`, at the tag `failed`; one of several blocks is a
    `FailedImage`, at the tag `block`, behind those of its blocks that were done before. All windows of an image come
    in one bundle, of which the `Work` goes to the tag `work`.
    """

    def __init__(self, tiling: Tiling, labeling: Labeling) -> None:
        super().__init__()
        self._tiling = tiling
        self._labeling = labeling

    def expand(self, windows: Any) -> Any:
        run = beam.ParDo(_Blend(self._tiling, self._labeling)).with_output_types(Labels)
        return windows | "Add up windows" >> run.with_outputs("failed", "block", "work", main="main")


class _Blend(beam.DoFn):
    def __init__(self, tiling: Tiling, labeling: Labeling) -> None:
        self._tiling = tiling
        self._labeling = labeling

    def start_bundle(self) -> None:
        self._in_flight = InFlight()
        self._work = Work()
        # By the image's turn in the bundle.
        self._open: dict[tuple[int, Span], Mosaic] = {}
        self._failed: set[int] = set()

    def process(
        self,
        element: LogitsBatch | EmptyWindow | FailedWindow,
        timestamp: Any = beam.DoFn.TimestampParam,
        beam_window: Any = beam.DoFn.WindowParam,
    ) -> Iterator[Any]:
        place = (timestamp, beam_window)
        if isinstance(element, FailedWindow):
            yield from self._fail(element.origin, element.code, element.reason, place)
            return
        is_empty = isinstance(element, EmptyWindow)
        self._work = self._work.plus(windows=not is_empty, empty=is_empty)
        image = element if isinstance(element, EmptyWindow) else element.images[0]
        if image.origin.turn in self._failed or (window := image.window) is None:
            return
        for rows in self._mosaic(image, window).add(window, element):
            key = (window.span, image.origin, place)
            size = 0 if rows.scores is None else rows.scores.nbytes
            self._in_flight.submit(pool(), key, decide_rows, rows, self._labeling, size=size)
        yield from self._results(leaving=0 if window.is_alone and window.is_last else _ROWS_AHEAD)

    def finish_bundle(self) -> Iterator[Any]:
        yield from self._results(leaving=0)
        if self._open:
            raise RuntimeError(f"{len(self._open)} images wait for windows that never came")
        yield emitted(self._work)

    def _mosaic(self, image: ModelInput | EmptyWindow, window: Window) -> Mosaic:
        key = (image.origin.turn, Span(*window.span))
        if key not in self._open:
            layout = self._tiling.layout(image.origin.size)
            self._open[key] = Mosaic(image.origin, layout, key[1], self._labeling)
        return self._open[key]

    def _results(self, *, leaving: int) -> Iterator[Any]:
        for (span, origin, place), result in self._in_flight.take(leaving=leaving):
            if origin.turn in self._failed:
                continue
            key = (origin.turn, span)
            try:
                if isinstance(result, ImageError):
                    raise result
                labels = self._open[key].put(result)
            except ImageError as error:
                yield from self._fail(origin, error.code, error.reason, place)
                continue
            if self._open[key].is_done:
                del self._open[key]
            if labels is not None:
                yield emit(self._tagged(labels), *place)

    def _tagged(self, labels: Labels) -> Any:
        whole = labels.region.size == labels.origin.size
        return labels if whole else TaggedOutput("block", labels)

    def _fail(self, origin: Origin, code: str, reason: str, place: Any) -> Iterator[Any]:
        """Gives an image up: what comes of it after that is dropped."""
        if origin.turn in self._failed:
            return
        self._failed.add(origin.turn)
        for key in [key for key in self._open if key[0] == origin.turn]:
            del self._open[key]
        failed = FailedImage(origin, code, reason)
        is_one = self._tiling.layout(origin.size).is_one_block
        yield emit(failed.failure if is_one else TaggedOutput("block", failed), *place)


def decide_rows(rows: Rows, labeling: Labeling) -> Decided | ImageError:
    """Decides about rows of scores `[R, W, C]` as `decided` does; an error is given and not raised."""
    try:
        return decided(rows, labeling)
    except ImageError as error:
        return error
