"""All of an image at once, by the functions of the graph: for what is tried out before a run."""

from collections.abc import Iterator
from itertools import islice

from maskbeam.transforms.argmax import Labeling
from maskbeam.transforms.elements import EmptyWindow, FailedWindow, Failure, Image, Labels, LogitsBatch, ModelInput
from maskbeam.transforms.errors import Code, ImageError
from maskbeam.transforms.predict import Engine, predict
from maskbeam.transforms.tiling.blend import Mosaic
from maskbeam.transforms.tiling.decide import decided
from maskbeam.transforms.tiling.join import joined
from maskbeam.transforms.tiling.layout import Layout, Span
from maskbeam.transforms.tiling.tile import Cutter


def whole_labels(image: Image, cutter: Cutter, labeling: Labeling, engine: Engine) -> Labels:
    """The labels of an image that is cut into windows.

    Raises:
        ImageError: As in a run.
    """
    layout = cutter.tiling.layout(image.region.size)
    whole = joined(
        block for span in layout.spans() for block in _blocks(image, layout, span, cutter, labeling, engine)
    )
    assert whole is not None  # noqa: S101 - each image has a block
    return whole


def _blocks(
    image: Image, layout: Layout, span: Span, cutter: Cutter, labeling: Labeling, engine: Engine
) -> Iterator[Labels]:
    mosaic = Mosaic(image.origin, layout, span, labeling)
    for element in _predicted(cutter.windows(image, [span]), engine):
        window = element.window if isinstance(element, EmptyWindow) else element.images[0].window
        for rows in mosaic.add(window, element) if window else ():
            block = mosaic.put(decided(rows, labeling))
            if block:
                yield block


def _predicted(windows: Iterator[ModelInput | EmptyWindow], engine: Engine) -> Iterator[LogitsBatch | EmptyWindow]:
    while some := list(islice(windows, engine.batch_size)):
        yield from (each for each in some if isinstance(each, EmptyWindow))
        full = [each for each in some if isinstance(each, ModelInput)]
        for result in predict(full, engine, limit=engine.batch_size) if full else []:
            if isinstance(result, Failure | FailedWindow):
                raise ImageError(Code[result.code], result.reason)
            yield result
