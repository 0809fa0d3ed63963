import os
from dataclasses import replace
from pathlib import Path

import pytest

from maskbeam.pipeline.job.check_options import check_options
from maskbeam.pipeline.options import (
    DecodeOptions,
    LabelOptions,
    ModelOptions,
    OutputOptions,
    ReadOptions,
    RunOptions,
)
from maskbeam.transforms.errors import RunError

GOOD = RunOptions(read=ReadOptions(("/data/in",)), output=OutputOptions("/data/out"))


def refused(options: RunOptions) -> str:
    """Why options are refused; "" where they are not."""
    try:
        check_options(options)
    except RunError as error:
        return str(error)
    return ""


def test_what_fits_passes() -> None:
    assert refused(GOOD) == ""
    several = ReadOptions(("/data/*.png", "gs://a/b/*"))
    assert refused(replace(GOOD, read=several, output=OutputOptions("/data/out"))) == ""


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (
            {"output": OutputOptions("/o", frozenset({"overlay"})), "label": LabelOptions(upsample="none")},
            "--upsample",
        ),
        (
            {"output": OutputOptions("/o", binary_classes=("a",)), "label": LabelOptions(multilabel="argmax")},
            "--binary_classes",
        ),
        ({"model": ModelOptions(custom_objects=("a.b",))}, "--trust_model"),
        ({"decode": DecodeOptions(fast_decode=True), "model": ModelOptions(resize="native")}, "--fast_decode"),
        ({"model": ModelOptions(mixed_precision=True, engine="openvino")}, "--mixed_precision"),
        ({"output": OutputOptions("gs://bucket")}, "whole bucket"),
        ({"output": OutputOptions("/")}, "--output is the root of the file system"),
    ],
)
def test_options_that_contradict_each_other(wrong: dict[str, object], named: str) -> None:
    assert named in refused(replace(GOOD, **wrong))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("pattern", "output"),
    [
        ("/data", "/data/out"),
        ("/data/", "/data/out"),
        ("/data", "/data"),
        ("/data/**/*.png", "/data/out"),
        ("/data/*/masks/*.png", "/data/out"),
        ("/data/{out/*/*_a,b}.png", "/data/out"),
        ("/data/{a,*}/*/*.png", "/data/out"),
        ("gs://b/x", "gs://b/x/out"),
        ("gs://b/**", "gs://b/x/out"),
    ],
)
def test_an_output_that_the_next_run_would_read(pattern: str, output: str) -> None:
    options = replace(GOOD, read=ReadOptions((pattern,)), output=OutputOptions(output))
    assert "lies inside the input" in refused(options)


@pytest.mark.parametrize(
    ("pattern", "output"),
    [
        ("/data/*.tfrecord", "/data/out"),
        ("/data/*/*.jpg", "/data/out"),
        ("/data/{a,b}/*/*.jpg", "/data/out"),
        ("/data/*_{a,b}.png", "/data/out"),
        ("/data", "/data2"),
        ("/data/images", "/data"),
        ("gs://b/x", "gs://b/xy"),
    ],
)
def test_an_output_beside_the_input(pattern: str, output: str) -> None:
    assert refused(replace(GOOD, read=ReadOptions((pattern,)), output=OutputOptions(output))) == ""


def test_masks_are_no_input_of_the_run_that_writes_them() -> None:
    for pattern in ("/data/out/masks", "/data/out/masks/*.png", "/data/out/color/a.png"):
        assert "writes into" in refused(replace(GOOD, read=ReadOptions((pattern,))))


def test_an_output_must_be_a_folder(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for output in (file, file / "below" / "it"):
        assert "is no folder" in refused(replace(GOOD, output=OutputOptions(os.fspath(output))))
    check_options(replace(GOOD, output=OutputOptions(os.fspath(tmp_path / "new" / "one"))))
