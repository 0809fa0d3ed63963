"""All measures: a new one is a file beside this one and a line here."""

from typing import Any

from maskbeam.transforms.measures.area import AREA
from maskbeam.transforms.measures.confidence import CONFIDENCE
from maskbeam.transforms.measures.measure import Measure
from maskbeam.transforms.measures.nonfinite import NONFINITE
from maskbeam.transforms.measures.pixels import PIXELS
from maskbeam.transforms.measures.rasters import RASTERS
from maskbeam.transforms.measures.two_readings import TWO_READINGS

#: In the order of their columns in the reports.
MEASURES: list[Measure[Any, Any]] = [CONFIDENCE, PIXELS, NONFINITE, TWO_READINGS, RASTERS, AREA]


def reported(*, on_earth: bool) -> list[Measure[Any, Any]]:
    """The measures that are in the reports of a run: of images with a place on the earth, or of plain pictures."""
    return [measure for measure in MEASURES if on_earth or not measure.on_earth]
