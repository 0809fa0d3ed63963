"""Signs that a model sees nothing in its images, though every mask was written: a dead model must not look good."""

from maskbeam.transforms.classes.class_table import ClassTable
from maskbeam.transforms.measures.class_summary import summarize
from maskbeam.transforms.measures.confidence import CONFIDENCE
from maskbeam.transforms.measures.counted import Sums
from maskbeam.transforms.measures.pixel_statistics import PixelStatistics
from maskbeam.transforms.measures.pixels import PIXELS

# A class that holds more than this share of all labelled pixels.
ONE_CLASS = 0.99
# More pixels than this with the ignore label mean that next to nothing came out.
_IGNORED = 0.99
# How far from 1/C, on the way to 1, the mean confidence of a model that has learnt something is at least.
_LEARNT = 0.1
_LISTED = 5
_CAUSES = (
    "if that is not so in the images, likely causes are another input scaling (--normalize) or channel order "
    "(--channel_order) than in training, or weights that were never trained; `maskbeam inspect` shows a few images "
    "under each"
)


def find_warnings(table: ClassTable, sums: Sums, *, choices: int | None = None) -> list[str]:
    """Finds what looks wrong about a run's predictions; empty when nothing does, or when there are no pixels.

    Args:
        table: The model's classes.
        sums: Sums over the run.
        choices: Among how many alternatives the confidence decides: the number of classes when None; 2 for
            sigmoids, which decide between yes and no.

    Returns:
        Sentences for a person; where they have causes in common, the last one names these and what to try.
    """
    statistics, confidence = sums[PIXELS], sums[CONFIDENCE].mean
    if not statistics.total:
        return []
    hidden = _nearly_all_ignored(statistics)
    if statistics.total == statistics.ignored:
        return [hidden]
    signs = [
        _one_class(table, statistics),
        _never_predicted(table, statistics),
        _near_chance(confidence, choices or (2 if statistics.independent else len(table))),
    ]
    found = [sign for sign in signs if sign]
    return [*([hidden] if hidden else []), *found, *([_CAUSES] if found else [])]


def _nearly_all_ignored(statistics: PixelStatistics) -> str:
    share = statistics.ignored / statistics.total
    if share <= _IGNORED:
        return ""
    return (
        f"{_percent(share)} of all pixels have the ignore label, so next to nothing was labelled; likely causes: "
        "--min_confidence is higher than this model ever is, --head says logits where the values are none, or "
        "--nonfinite ignore hides that the model emits NaN"
    )


def _one_class(table: ClassTable, statistics: PixelStatistics) -> str:
    shares = [(summary.share or 0.0, summary.info.name) for summary in summarize(table, statistics)]
    share, name = max(shares)
    if share <= ONE_CLASS:
        return ""
    return f"class {name!r} holds {_percent(share)} of all labelled pixels"


def _never_predicted(table: ClassTable, statistics: PixelStatistics) -> str:
    unseen = [c.name for c in table.classes if not statistics.pixels[c.id]]
    if not unseen:
        return ""
    listed = ", ".join(map(repr, unseen[:_LISTED]))
    more = f" and {len(unseen) - _LISTED} more" if len(unseen) > _LISTED else ""
    noun = "class" if len(unseen) == 1 else "classes"
    return f"{noun} never predicted: {listed}{more}"


def _near_chance(confidence: float | None, choices: int) -> str:
    if confidence is None or choices < 2 or confidence >= 1 / choices + _LEARNT * (1 - 1 / choices):
        return ""
    return f"mean confidence is {confidence:.3f}, near the 1/{choices} of a model that only guesses"


def _percent(share: float) -> str:
    # Rounded down: "100%" is only what is all.
    return f"{int(share * 10_000) / 100:g}%"
