"""Names must survive the way into a CSV file and back, and never become formulas on the way."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskbeam.pipeline.text.csv_text import csv_line, guard, unguard

# Python's reader drops nothing of these, so it serves as the oracle for the quoting.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.text("'=+-@ ,;\"\r\n\tab", max_size=8)


@given(st.lists(TEXT, min_size=2, max_size=4))
def test_cells_come_back_from_another_reader(texts: list[str]) -> None:
    line = csv_line(texts)
    rows = list(csv.reader(io.StringIO(line, newline=""), strict=True))
    assert [[unguard(cell) for cell in row] for row in rows] == [texts]


@given(TEXT)
def test_guarding_is_reversible(text: str) -> None:
    assert unguard(guard(text)) == text


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n", " =1", "\uff1d1"])
def test_no_cell_begins_a_formula(text: str) -> None:
    assert guard(text) == "'" + text
    assert csv_line([text]).lstrip('"').startswith("'")


@pytest.mark.parametrize("text", ["a=1", "'sand'", "sub/a-1", "1.5", "caf\u00e9", "<b>"])
def test_other_names_stay_as_they_are(text: str) -> None:
    assert csv_line([text]) == text + "\n"


def test_what_people_use_as_separators_is_quoted() -> None:
    assert csv_line(["a,b", "a;b", 'a"b', "a\nb", " a"]) == '"a,b","a;b","a""b","a\nb"," a"\n'


def test_numbers_and_gaps() -> None:
    assert csv_line([3, 1 / 3, 0.1, 1e-12, None, -0.5, ""]) == "3,0.333333333,0.1,1e-12,,-0.5,\n"


def test_names_that_are_no_text_can_be_written() -> None:
    assert csv_line(["a\udcff"]).encode() == b"a\\udcff\n"
