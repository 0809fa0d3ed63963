"""The lines that a person reads at the end of a run: ten lines, give or take what failed."""

import shlex
import unicodedata
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from maskbeam.pipeline.reports.summary_file import InputCounts
from maskbeam.pipeline.text.wording import by_kind, duration, percent, plural, printable, rate
from maskbeam.transforms.errors import Code
from maskbeam.transforms.measures.class_summary import ClassSummary

_CLASSES = 10
_CODES = 3
_REASONS = 3
# Codes that another try may mend: those that every run tries again, and those that --retry_failed does.
_TRIED_AGAIN = (Code.SOURCE_MISSING, Code.SOURCE_CHANGED, Code.ID_FREED, Code.OUT_OF_MEMORY, Code.OUTPUT_BLOCKED)
_RETRIED = (Code.MODEL_FAILED, Code.HANG, Code.CRASH)
_NAME_WIDTH = 24
_REASON_WIDTH = 160
_INDENT = " " * 9


@dataclass(frozen=True)
class Ending:
    """The end of a run.

    Attributes:
        output: The output folder.
        folders: What was written below it, such as `masks` and `color`; without `reports` it was a part's run.
        counts: What became of the inputs.
        left_out: Number of files that were no inputs, by kind.
        skipped: How many of those done were found done.
        seconds: How long it took.
        failures: Number of failures by code.
        reasons: By code, reasons and how many inputs failed for them, most first.
        warnings: What looks wrong about the predictions.
        max_failures: The limit as the user gave it.
        too_many: Whether more inputs failed than it allows.
        refused: Whether the warnings make the run a failure.
        independent: Whether classes overlap, so that shares may add up to more than 100%.
        other_masks: Masks in the output that are of no input of this run; None where that cannot be told.
        km2: Square kilometres by class id; empty where they cannot be told.
    """

    output: str
    folders: Sequence[str]
    counts: InputCounts
    left_out: Mapping[str, int] = field(default_factory=dict)
    skipped: int = 0
    seconds: float = 0.0
    failures: Mapping[str, int] = field(default_factory=dict)
    reasons: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    max_failures: str = ""
    too_many: bool = False
    refused: bool = False
    independent: bool = False
    other_masks: int | None = None
    km2: Mapping[int, float] = field(default_factory=dict)


def closing_summary(ending: Ending, classes: Sequence[ClassSummary]) -> str:
    """The closing lines, without a newline at the end: how many, how fast, the classes' shares, what failed, where.

    Control characters of names and reasons are shown as escapes; no image is named.
    """
    lines = [
        "Images   " + _images(ending),
        *_titled("Classes", _class_lines(classes, ending)),
        *_titled("Left out", [by_kind(ending.left_out)] if ending.left_out else []),
        *_titled("Failed", _failure_lines(ending)),
        *_titled("Warning", ending.warnings),
        "Output   " + f"{ending.output.rstrip('/')}/ with {', '.join(ending.folders)}",
        *_titled("", _other_lines(ending)),
        _verdict(ending),
    ]
    return "\n".join(map(printable, lines))


def _images(ending: Ending) -> str:
    counts = ending.counts
    parts = [f"{counts.done:,} of {plural(counts.inputs, 'input')} done"]
    new = counts.done - ending.skipped
    parts += [f"{ending.skipped:,} of them before" if new else "all of them before"] if ending.skipped else []
    parts += [f"{counts.failed:,} failed"] if counts.failed else []
    parts += [plural(counts.duplicate, "duplicate")] if counts.duplicate else []
    speed = f", {rate(new, ending.seconds)}" if new else ""
    return f"{', '.join(parts)}; {duration(ending.seconds)}{speed}"


def _titled(title: str, lines: Sequence[str]) -> list[str]:
    return [(_INDENT if i else title.ljust(len(_INDENT))) + line for i, line in enumerate(lines)]


def _other_lines(ending: Ending) -> list[str]:
    if not ending.other_masks:
        return []
    masks = plural(ending.other_masks, "mask")
    of_them = "it" if ending.other_masks == 1 else "them"
    return [
        f"besides {masks} of no input of this run, as of inputs that are gone: "
        f"`maskbeam clean {shlex.quote(ending.output.rstrip('/'))}` lists {of_them}"
    ]


def _class_lines(classes: Sequence[ClassSummary], ending: Ending) -> list[str]:
    if not any(c.pixels for c in classes):
        return []
    largest = sorted(classes, key=lambda c: (-c.pixels, c.info.channel))
    cells = _cells(largest[:_CLASSES], ending.km2)
    rows = (len(cells) + 1) // 2 if len(cells) > _CLASSES // 2 else len(cells)
    lines = ["   ".join(cells[row::rows]) for row in range(rows)]
    if len(classes) > _CLASSES:
        lines.append(f"... and {len(classes) - _CLASSES:,} more, {_see('classes.csv', ending)}")
    if ending.independent:
        lines.append("(classes overlap, so shares may add up to more than 100%)")
    return lines


def _cells(classes: Sequence[ClassSummary], km2: Mapping[int, float]) -> list[str]:
    names = [_shown(c.info.name) for c in classes]
    width = max(map(_width, names))
    shares = [percent(c.share or 0.0) for c in classes]
    cells = [f"{name}{' ' * (width - _width(name))}  {share:>6}" for name, share in zip(names, shares, strict=True)]
    areas = [_area(km2[c.info.id]) if c.info.id in km2 else "" for c in classes]
    longest = max(map(len, areas))
    return [f"{cell}  {area:>{longest}}" if longest else cell for cell, area in zip(cells, areas, strict=True)]


def _area(km2: float) -> str:
    return f"{km2:,.0f} km2" if km2 >= 100 else f"{km2:.3g} km2"


def _shown(name: str) -> str:
    shown = printable(name)
    ends = list(accumulate(map(_columns, shown), initial=0))
    if ends[-1] <= _NAME_WIDTH:
        return shown
    return shown[: bisect_right(ends, _NAME_WIDTH - 1) - 1] + "\u2026"


def _width(text: str) -> int:
    """Columns that a text takes on a terminal."""
    return sum(map(_columns, text))


def _columns(letter: str) -> int:
    return 0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def _failure_lines(ending: Ending) -> list[str]:
    codes = sorted(ending.failures, key=lambda code: (-ending.failures[code], code))
    lines = [line for code in codes[:_CODES] for line in _code_lines(code, ending)]
    if len(codes) > _CODES:
        lines.append(f"... and {sum(ending.failures[code] for code in codes[_CODES:]):,} more of other kinds")
    return lines


def _code_lines(code: str, ending: Ending) -> list[str]:
    number, reasons = ending.failures[code], ending.reasons.get(code, {})
    if len(reasons) < 2:
        return [f"{number:,} {code}: {_shortened(next(iter(reasons), ''))}"]
    shown = dict(list(reasons.items())[:_REASONS])
    width = len(f"{max(shown.values()):,}")
    lines = [f"  {times:>{width},} {_shortened(reason)}" for reason, times in shown.items()]
    rest = number - sum(shown.values())
    return [f"{number:,} {code}:", *lines, *([f"  {rest:>{width},} for other reasons"] if rest else [])]


def _shortened(reason: str) -> str:
    return reason if len(reason) <= _REASON_WIDTH else reason[: _REASON_WIDTH - 1] + "\u2026"


def _see(report: str, ending: Ending) -> str:
    is_there = "reports" in ending.folders
    return f"see reports/{report}" if is_there else f"`maskbeam merge` writes reports/{report} after the last part"


def _second_tries(ending: Ending) -> list[str]:
    """Of which failures another try may help; all others need the help that their reasons name."""
    offers = (("the same command", _TRIED_AGAIN), ("--retry_failed", _RETRIED))
    counted = [(what, sum(ending.failures.get(code, 0) for code in codes)) for what, codes in offers]
    return [f"{what} tries {number:,} of them again" for what, number in counted if number]


def _verdict(ending: Ending) -> str:
    counts = ending.counts
    failed = f"{counts.failed:,} of {plural(counts.inputs, 'input')} failed"
    again = "; ".join([_see("failures.jsonl", ending), *_second_tries(ending)])
    if not counts.reconciles:
        return "NOT DONE: some inputs came to no end, so there is no _SUCCESS; run the same command again"
    if unread := ending.failures.get(Code.SHARD_UNREAD, 0):
        parts = f"{plural(unread, 'part')} of shards could not be read to the end"
        missing = f"an unknown number of records is missing: no _SUCCESS; {_see('failures.jsonl', ending)}"
        return f"NOT DONE: {parts}, so {missing}; correct that, and run the same command again"
    if ending.too_many:
        return f"NOT DONE: {failed}, more than --max_failures {ending.max_failures} allows: no _SUCCESS; {again}"
    if ending.refused:
        return "NOT DONE: the predictions look wrong (--fail_on_degenerate): no _SUCCESS; try `maskbeam inspect`"
    if counts.failed:
        return f"Done, though {failed}, which --max_failures {ending.max_failures} allows; {again}"
    return "Done." if counts.inputs else "Done: there was nothing to do."
