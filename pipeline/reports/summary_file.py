"""The text of `reports/summary.json`: a pure function of inputs, model and options."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from maskbeam.pipeline.reports.report_files import Measures, class_columns, class_values
from maskbeam.pipeline.text.json_text import in_order
from maskbeam.transforms.classes.class_table import ClassTable
from maskbeam.transforms.measures.counted import Sums
from maskbeam.transforms.measures.registry import reported

# Where these stand in the file; what other measures say comes after.
_ORDER = ("pixels", "images", "mean_confidence", "classes", "shares_may_exceed_1")


@dataclass(frozen=True)
class InputCounts:
    """Numbers of inputs by what became of them."""

    inputs: int
    done: int
    failed: int
    duplicate: int

    @property
    def reconciles(self) -> bool:
        """True if every input came to exactly one end."""
        return self.inputs == self.done + self.failed + self.duplicate


def summary(
    *,
    versions: Mapping[str, str],
    options: Mapping[str, Any],
    model: Mapping[str, Any],
    counts: InputCounts,
    left_out: Mapping[str, int],
    failures: Mapping[str, int],
    table: ClassTable,
    sums: Sums,
    warnings: Sequence[str],
    input_warnings: Sequence[str] = (),
    on_earth: bool = False,
) -> dict[str, Any]:
    """The report of the whole run, as JSON values.

    Args:
        versions: Of this package and of what else decides about pixels.
        options: What the result depends on.
        model: Its path, its digest and what was found out about it.
        counts: What became of the inputs.
        left_out: Number of files that were no inputs, by kind.
        failures: Number of failures by code.
        table: The model's classes.
        sums: Over all images that are done.
        warnings: What looks wrong about the predictions.
        input_warnings: What is to be known of the images; no reason to take the model for dead.
        on_earth: Whether it is of images that have a place on the earth.
    """
    return {
        **asdict(counts),
        "reconciles": counts.reconciles,
        "left_out": in_order(left_out),
        "failures": in_order(failures),
        "warnings": [*warnings, *input_warnings],
        "degenerate": bool(warnings),
        **_measured(table, sums, reported(on_earth=on_earth)),
        "class_table": {"source": table.source, "notes": list(table.notes)},
        "definitions": _definitions(reported(on_earth=on_earth)),
        "model": in_order(model),
        "options": in_order(options),
        "versions": in_order(versions),
    }


def measured_summary(sums: Sums, measures: Measures) -> dict[str, Any]:
    """The parts of these measures, by name; what several say under one name is one object."""
    found: dict[str, Any] = {}
    for measure in measures:
        for name, value in measure.summary(sums[measure]).items():
            found[name] = found[name] | value if name in found else value
    return found


def _measured(table: ClassTable, sums: Sums, measures: Measures) -> dict[str, Any]:
    columns = ["channel", *class_columns(measures)]
    rows = [
        [info.channel, *cells] for info, cells in zip(table.classes, class_values(table, sums, measures), strict=True)
    ]
    found = measured_summary(sums, measures) | {"classes": [dict(zip(columns, row, strict=True)) for row in rows]}
    return {name: found[name] for name in (*_ORDER, *(name for name in found if name not in _ORDER))}


def _definitions(measures: Measures) -> dict[str, str]:
    """Definitions of the columns of classes first."""
    ordered = sorted(measures, key=lambda measure: not measure.class_columns)
    return {name: said for measure in ordered for name, said in measure.definitions.items()}
