"""Options of a comparison with references: the truth, or old labels."""

import argparse
import math
import re
from dataclasses import dataclass
from functools import partial

from maskbeam.pipeline.options.flag import Decides, option
from maskbeam.pipeline.options.values import names

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,59}")
#: The meanings of numbers in references that a person may choose.
VALUES = ("ids", "binary", "colors")

_option = partial(option, group="compare", also=("compare",), decides=Decides.NOTHING, kept=False)


@dataclass(frozen=True)
class CompareOptions:
    """Options of a comparison: where references are, and what their pixels mean."""

    truth: str | None = _option(
        None, "truth to measure masks by: a folder of <id>.png, or t/{id}.png", metavar="WHERE"
    )
    truth_classes: str | None = _option(
        None,
        "class table of the truth, paired with the model's by names [ids are the model's]",
        metavar="FILE",
        place=True,
    )
    truth_values: str | None = _option(None, "what numbers in the truth mean [told by content]", choices=VALUES)
    truth_upright: bool = _option(
        False, "the truth of a photo with an EXIF orientation was drawn on it as it is shown"
    )
    old: str | None = _option(None, "old labels, to see what changed; as --truth", metavar="WHERE")
    old_classes: str | None = _option(
        None, "class table of the old labels; as --truth_classes", metavar="FILE", place=True
    )
    old_values: str | None = _option(None, "what numbers in the old labels mean; as --truth_values", choices=VALUES)
    old_upright: bool = _option(False, "as --truth_upright, of the old labels")


def comparison_name(text: str) -> str:
    """A name that is a folder everywhere."""
    if not _NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no name: write letters, digits, - and _, 60 at most")
    return text


def required_scores(text: str) -> tuple[tuple[str, float], ...]:
    """`miou=0.8,coverage=0.99` as pairs; which scores there are the command knows."""
    pairs = []
    for word in names(text):
        name, equals, value = word.partition("=")
        try:
            least = float(value)
        except ValueError:
            least = math.nan
        if not equals or not 0 <= least <= 1:
            raise argparse.ArgumentTypeError(f"{word!r} is no score and its lowest value, as in miou=0.8")
        pairs.append((name.strip(), least))
    return tuple(pairs)
