"""The closing lines of a comparison, for a person: without paths, so that they stand in its summary, too."""

from collections.abc import Iterator

from maskbeam.pipeline.compare.compare_files import Found, Interval
from maskbeam.pipeline.text.wording import by_kind, percent, plural, printable
from maskbeam.transforms.comparison.scores import ClassScores

_SHOWN = 3


def closing_lines(found: Found) -> Iterator[str]:
    """The closing lines: ten or so."""
    comparison, scores = found.comparison, found.scores
    yield _images(found)
    if not scores.known:
        yield "Scores   none: no reference knows a pixel of these images"
        return
    interval = _interval(found.miou_interval) or f" (no interval: {found.without_intervals})"
    yield f"mIoU     {_number(scores.miou)}{interval}, mean of {plural(scores.seen, 'class', 'classes')}"
    image_mean = found.values["miou_image_mean"]
    yield f"         {_number(image_mean)} as mean over images; Dice {_number(scores.mdice)}"
    if found.comparison.boundary:
        yield f"Boundary {_number(found.values['boundary_miou'])} is the mean Boundary IoU"
    yield f"Pixels   {percent(scores.pixel_accuracy or 0.0)} as in the reference{_abstained(found)}"
    if comparison.flag == "--old":
        yield f"Changed  {percent(1 - (scores.pixel_accuracy or 0.0))} of pixels have another class than before"
    yield from _worst_classes(found)
    yield from _confusions(found)


def _images(found: Found) -> str:
    totals, told = found.totals, []
    if totals.without_reference:
        told.append(f"{totals.without_reference:,} without reference")
    if totals.compared > totals.known:
        told.append(f"{totals.compared - totals.known:,} without a known pixel")
    if totals.failed:
        told.append(f"{by_kind(totals.failed)} failed")
    if found.unused_references:
        told.append(f"{plural(found.unused_references, 'reference')} of no image")
    more = f" ({'; '.join(told)})" if told else ""
    return f"Compared {totals.compared:,} of {plural(totals.images, 'image')}{more}"


def _worst_classes(found: Found) -> Iterator[str]:
    known = [(scores.iou, at) for at, scores in enumerate(found.scores.classes) if scores.iou is not None]
    for number, (_, at) in enumerate(sorted(known)[:_SHOWN]):
        yield f"{'Worst   ' if not number else ' ' * 8} {_class(found, at, found.scores.classes[at])}"


def _class(found: Found, at: int, scores: ClassScores) -> str:
    name = printable(found.comparison.output.classes.names[at])
    told = f"precision {_number(scores.precision)}, recall {_number(scores.recall)}"
    return f"{name}: IoU {_number(scores.iou)}{_interval(found.iou_interval(at))}, {told}"


def _confusions(found: Found) -> Iterator[str]:
    """The pairs of different classes that most pixels are of."""
    flow, count = found.totals.flow, found.comparison.count
    names = [*map(printable, found.comparison.output.classes.names), "no class"]
    pairs = zip((-flow.pixels).tolist(), flow.pairs.tolist(), strict=True)
    wrong = sorted((pixels, pair) for pixels, pair in pairs if pair // (count + 1) != pair % (count + 1))
    told = [
        f"{names[pair // (count + 1)]} as {names[pair % (count + 1)]} ({percent(-pixels / found.scores.known)})"
        for pixels, pair in wrong[:_SHOWN]
    ]
    if told:
        yield f"Confused {', '.join(told)}"


def _abstained(found: Found) -> str:
    return f"; {percent(found.scores.abstained / found.scores.known)} of no class" if found.scores.abstained else ""


def _interval(interval: Interval | None) -> str:
    return f" [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else ""


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
