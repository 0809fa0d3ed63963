"""The summary reconciles, and its bytes depend on nothing but its values."""

import json
from typing import Any

import pytest

from maskbeam.pipeline.reports.summary_file import InputCounts
from maskbeam.pipeline.reports.summary_file import summary as summary_of
from maskbeam.pipeline.text.json_text import json_text
from tests.support.report_inputs import BOTH, TABLE

COUNTS = InputCounts(inputs=5, done=2, failed=2, duplicate=1)


def summary(**changed: Any) -> str:
    values: dict[str, Any] = {
        "versions": {"maskbeam": "0.1.0", "keras": "3"},
        "options": {"resize": {"filter": "tf", "b": frozenset({"z", "a"})}, "a": (1, 2)},
        "model": {"sha256": "ab"},
        "counts": COUNTS,
        "left_out": {"DICOM": 1, ".avif": 15},
        "failures": {"UNREADABLE": 1, "BAD_CHANNELS": 1},
        "table": TABLE,
        "sums": BOTH,
        "warnings": ["class never predicted"],
    }
    return json_text(summary_of(**{**values, **changed}), indent=2) + "\n"


def test_content() -> None:
    content = json.loads(summary())
    assert content["inputs"] == content["done"] + content["failed"] + content["duplicate"]
    assert content["reconciles"] is True
    assert content["degenerate"] is True
    assert content["pixels"] == {"total": 10, "labelled": 8, "ignored": 2, "nonfinite_model_pixels": 0}
    assert sum(row["pixels"] for row in content["classes"]) == content["pixels"]["labelled"]
    assert content["classes"][0]["weight_inverse_frequency"] == 0.666666667
    assert content["classes"][2]["weight_inverse_frequency"] is None
    assert content["mean_confidence"] == 0.7
    assert content["options"] == {"a": [1, 2], "resize": {"b": ["a", "z"], "filter": "tf"}}
    assert list(content["failures"]) == ["BAD_CHANNELS", "UNREADABLE"]
    assert "ignore" not in content["definitions"]["share"]
    assert summary().endswith("}\n")


def test_the_order_in_which_values_come_does_not_matter() -> None:
    assert (
        summary(versions={"keras": "3", "maskbeam": "0.1.0"}, failures={"BAD_CHANNELS": 1, "UNREADABLE": 1})
        == summary()
    )


def test_what_does_not_add_up_is_said() -> None:
    assert json.loads(summary(counts=InputCounts(6, 2, 2, 1)))["reconciles"] is False


def test_a_number_that_json_lacks_is_refused() -> None:
    with pytest.raises(ValueError, match="nan"):
        summary(model={"x": float("nan")})


def test_floats_have_nine_digits() -> None:
    assert json_text({"a": [1 / 3, 0.1, 1e-20, 2.0]}) == '{"a": [0.333333333, 0.1, 1e-20, 2.0]}'
