"""The text of `reports/summary.json`: a pure function of inputs, model and options."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from maskbeam.pipeline.reports.report_files import CLASS_COLUMNS, class_values
from maskbeam.pipeline.text.json_text import in_order, json_text
from maskbeam.transforms.classes.class_table import ClassTable
from maskbeam.transforms.measures.class_summary import ClassSummary, mean_confidence, summarize
from maskbeam.transforms.measures.statistics import PixelStatistics

_DEFINITIONS = {
    "share": "pixels of the class / labelled pixels; labelled are all pixels but those that no class owns",
    "mean_share_where_present": "mean, over the images that hold the class, of its share of their labelled pixels",
    "imbalance_ratio": "pixels of the most frequent class / pixels of the class",
    "weight_inverse_frequency": "n / (C n_c) over the C classes seen; the mean weight over all pixels is 1",
    "weight_median_frequency": "median(f) / f_c, f_c = pixels of the class / labelled pixels of images with it",
    "weight_effective_number": "(1 - beta) / (1 - beta^n_c), beta = (N - 1) / N, N = all pixels; scaled so "
    "that the mean weight over the classes seen is 1",
    "mean_confidence": "mean over model pixels of the probability of what was decided for",
}


@dataclass(frozen=True)
class InputCounts:
    """What became of the inputs."""

    inputs: int
    done: int
    failed: int
    duplicate: int

    @property
    def reconciles(self) -> bool:
        """Whether every input came to exactly one end."""
        return self.inputs == self.done + self.failed + self.duplicate


def summary_json(
    *,
    versions: Mapping[str, str],
    options: Mapping[str, Any],
    model: Mapping[str, Any],
    counts: InputCounts,
    left_out: Mapping[str, int],
    failures: Mapping[str, int],
    table: ClassTable,
    statistics: PixelStatistics,
    warnings: Sequence[str],
    input_warnings: Sequence[str] = (),
) -> str:
    """The report of the whole run.

    Args:
        versions: Of this package and of what else decides about pixels.
        options: What the result depends on.
        model: Its path, its digest and what was found out about it.
        counts: What became of the inputs.
        left_out: Number of files that were no inputs, by kind.
        failures: Number of failures by code.
        table: The model's classes.
        statistics: Sums over all images that are done.
        warnings: What looks wrong about the predictions.
        input_warnings: What is to be known of the images; no reason to take the model for dead.

    Raises:
        ValueError: A number that JSON does not have, such as NaN.
    """
    content = {
        **asdict(counts),
        "reconciles": counts.reconciles,
        "left_out": in_order(left_out),
        "failures": in_order(failures),
        "warnings": [*warnings, *input_warnings],
        "degenerate": bool(warnings),
        "pixels": pixels_summary(statistics),
        "images": images_summary(statistics),
        "mean_confidence": mean_confidence(statistics),
        "classes": [_class(summary) for summary in summarize(table, statistics)],
        "shares_may_exceed_1": statistics.independent,
        "class_table": {"source": table.source, "notes": list(table.notes)},
        "definitions": _DEFINITIONS,
        "model": in_order(model),
        "options": in_order(options),
        "versions": in_order(versions),
    }
    return json_text(content, indent=2) + "\n"


def pixels_summary(statistics: PixelStatistics) -> dict[str, int]:
    """The number of pixels of a run by what became of them."""
    return {
        "total": statistics.total,
        "labelled": statistics.total - statistics.ignored,
        "ignored": statistics.ignored,
        "nonfinite_model_pixels": statistics.nonfinite,
    }


def images_summary(statistics: PixelStatistics) -> dict[str, int]:
    """The number of images that can be read in two ways: with transparency, with an EXIF orientation other than 1."""
    return {"transparent": statistics.transparent, "turned": statistics.turned}


def _class(summary: ClassSummary) -> dict[str, Any]:
    return {"channel": summary.info.channel, **dict(zip(CLASS_COLUMNS, class_values(summary), strict=True))}
