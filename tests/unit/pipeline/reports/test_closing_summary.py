"""The closing lines, by their exact text."""

from dataclasses import replace

import pytest

from maskbeam.pipeline.reports.closing_summary import Ending, _shown, closing_summary
from maskbeam.pipeline.reports.summary_file import InputCounts
from maskbeam.transforms.classes.class_table import ClassInfo
from maskbeam.transforms.measures.class_summary import ClassSummary, summarize
from maskbeam.transforms.measures.pixels import PIXELS
from tests.support.report_inputs import BOTH, TABLE

CLEAN = Ending("out/", ["masks", "color", "reports"], InputCounts(1000, 1000, 0, 0), seconds=20.0)
CLASSES = summarize(TABLE, BOTH[PIXELS])


def many(count: int) -> list[ClassSummary]:
    """Classes of growing size."""
    total = count * (count + 1) / 2
    infos = [ClassInfo(i, i, f"class {i}", (i, 0, 0)) for i in range(count)]
    return [replace(CLASSES[0], info=info, pixels=i + 1, share=(i + 1) / total) for i, info in enumerate(infos)]


def test_a_clean_run() -> None:
    assert (
        closing_summary(CLEAN, CLASSES)
        == """\
Images   1,000 of 1,000 inputs done; 20 s, 50.0/s
Classes  field   75.0%
         water   25.0%
         never    0.0%
Output   out/ with masks, color, reports
Done."""
    )


def test_masks_of_no_input_are_told() -> None:
    told = "besides 3 masks of no input of this run, as of inputs that are gone: `maskbeam clean out` lists them"
    lines = closing_summary(replace(CLEAN, other_masks=3), CLASSES).splitlines()
    assert lines[-2] == f"         {told}"
    assert closing_summary(replace(CLEAN, other_masks=0), CLASSES) == closing_summary(CLEAN, CLASSES)


def test_ten_lines_with_failures_and_ten_classes() -> None:
    ending = replace(
        CLEAN,
        counts=InputCounts(12345, 12340, 4, 1),
        skipped=200,
        seconds=200.0,
        failures={"UNREADABLE": 4},
        reasons={"UNREADABLE": {"the bytes are no image": 4}},
        max_failures="0.1%",
    )
    assert (
        closing_summary(ending, many(10))
        == """\
Images   12,340 of 12,345 inputs done, 200 of them before, 4 failed, 1 duplicate; 3 min 20 s, 60.7/s
Classes  class 9   18.2%   class 4    9.1%
         class 8   16.4%   class 3    7.3%
         class 7   14.5%   class 2    5.5%
         class 6   12.7%   class 1    3.6%
         class 5   10.9%   class 0    1.8%
Failed   4 UNREADABLE: the bytes are no image
Output   out/ with masks, color, reports
Done, though 4 of 12,345 inputs failed, which --max_failures 0.1% allows; see reports/failures.jsonl"""
    )


def test_more_classes_are_counted() -> None:
    assert "         ... and 140 more, see reports/classes.csv\n" in closing_summary(CLEAN, many(150))


def test_codes_by_frequency() -> None:
    ending = replace(
        CLEAN,
        counts=InputCounts(100, 90, 10, 0),
        failures={"A": 1, "B": 1, "C": 5, "D": 2, "E": 1},
        reasons={"C": {"x" * 300: 5}},
        too_many=True,
        max_failures="5",
    )
    lines = closing_summary(ending, CLASSES).splitlines()
    assert lines[4:8] == [
        f"Failed   5 C: {'x' * 159}\u2026",
        "         2 D: ",
        "         1 A: ",
        "         ... and 2 more of other kinds",
    ]
    assert lines[-1].startswith(
        "NOT DONE: 10 of 100 inputs failed, more than --max_failures 5 allows: no _SUCCESS; see"
    )


def test_reasons_of_one_code_are_told_apart_with_their_counts() -> None:
    reasons = {"UNREADABLE": {"damaged": 34, "a checksum": 5, "no image": 2, "empty": 1, "cut": 1}, "BAD_SHAPE": {}}
    ending = replace(
        CLEAN, counts=InputCounts(100, 57, 43, 0), failures={"UNREADABLE": 43, "BAD_SHAPE": 0}, reasons=reasons
    )
    assert closing_summary(ending, CLASSES).splitlines()[4:9] == [
        "Failed   43 UNREADABLE:",
        "           34 damaged",
        "            5 a checksum",
        "            2 no image",
        "            2 for other reasons",
    ]


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("UNREADABLE", "see reports/failures.jsonl"),
        ("DUPLICATE_ID", "see reports/failures.jsonl"),
        ("SOURCE_MISSING", "see reports/failures.jsonl; the same command tries 2 of them again"),
        ("HANG", "see reports/failures.jsonl; --retry_failed tries 2 of them again"),
    ],
)
def test_another_try_is_offered_where_it_can_help(code: str, says: str) -> None:
    ending = replace(CLEAN, counts=InputCounts(9, 7, 2, 0), failures={code: 2}, max_failures="5")
    assert closing_summary(ending, CLASSES).splitlines()[-1].endswith(f"--max_failures 5 allows; {says}")


def test_a_part_names_no_report_that_only_the_merge_writes() -> None:
    failed = replace(CLEAN, counts=InputCounts(100, 90, 10, 0), failures={"C": 10}, max_failures="50")
    for ending in (failed, replace(failed, too_many=True)):
        text = closing_summary(replace(ending, folders=["masks"]), many(150))
        assert "see reports/" not in text
        assert "; `maskbeam merge` writes reports/failures.jsonl after the last part" in text
        assert "more, `maskbeam merge` writes reports/classes.csv after the last part" in text


def test_records_that_nobody_has_seen_are_no_success_whatever_the_limit() -> None:
    ending = replace(CLEAN, counts=InputCounts(1000, 998, 2, 0), failures={"SHARD_UNREAD": 2}, max_failures="100%")
    assert closing_summary(ending, CLASSES).splitlines()[-1] == (
        "NOT DONE: 2 parts of shards could not be read to the end, so an unknown number of records is missing: "
        "no _SUCCESS; see reports/failures.jsonl; correct that, and run the same command again"
    )


def test_a_dead_model_does_not_look_good() -> None:
    ending = replace(CLEAN, warnings=["class 'field' holds 100%"], refused=True)
    text = closing_summary(ending, CLASSES)
    assert "\nWarning  class 'field' holds 100%\n" in text
    assert text.endswith(
        "NOT DONE: the predictions look wrong (--fail_on_degenerate): no _SUCCESS; try `maskbeam inspect`"
    )


def test_what_does_not_add_up_is_not_done() -> None:
    text = closing_summary(replace(CLEAN, counts=InputCounts(10, 5, 0, 0)), CLASSES)
    assert text.splitlines()[-1].startswith("NOT DONE: some inputs came to no end")


def test_an_empty_night() -> None:
    ending = replace(CLEAN, counts=InputCounts(0, 0, 0, 0), seconds=0.0)
    assert (
        closing_summary(ending, [replace(c, pixels=0) for c in CLASSES])
        == """\
Images   0 of 0 inputs done; 0 s
Output   out/ with masks, color, reports
Done: there was nothing to do."""
    )


def test_names_cannot_paint_on_the_terminal_and_keep_the_columns() -> None:
    names = ["\x1b[31mred\n", "\u6c34\u57df", "a very long name that would break the table"]
    classes = [replace(c, info=replace(c.info, name=name)) for c, name in zip(CLASSES, names, strict=True)]
    assert closing_summary(CLEAN, classes).splitlines()[1:4] == [
        r"Classes  \x1b[31mred\n              75.0%",
        "         \u6c34\u57df                       25.0%",
        "         a very long name that w\u2026    0.0%",
    ]


def test_a_name_of_any_length_is_cut_at_its_columns() -> None:
    for name, shown in [
        ("x" * 10**6, "x" * 23 + "\u2026"),
        ("\u6c34" * 10**5, "\u6c34" * 11 + "\u2026"),
        ("e\u0301" * 24, "e\u0301" * 24),
        ("e\u0301" * 25, "e\u0301" * 23 + "\u2026"),
    ]:
        assert _shown(name) == shown


def test_overlapping_classes_are_remarked() -> None:
    assert "(classes overlap, so shares" in closing_summary(replace(CLEAN, independent=True), CLASSES)


def test_square_kilometres_stand_beside_shares_where_there_are_any() -> None:
    classes = many(3)
    km2 = {each.info.id: area for each, area in zip(classes, (1234567.8, 21.44, 0.000123), strict=True)}
    plain, told = (closing_summary(replace(CLEAN, km2=areas), classes).splitlines() for areas in ({}, km2))
    assert plain == closing_summary(CLEAN, classes).splitlines()
    beside = [line for line in told if line.endswith(" km2")]
    assert [line.rsplit("  ", 1)[1].strip() for line in beside] == ["0.000123 km2", "21.4 km2", "1,234,568 km2"]
    assert len({len(line) for line in beside}) == 1
    assert [line.rsplit("  ", 1)[0].rstrip() for line in beside] == [line for line in plain if "%" in line]
