"""docs/formats.md is held against the code: trees, columns, keys, codes and examples."""

import json
import re

import pytest

from maskbeam.pipeline.classes.class_files import read_class_table
from maskbeam.pipeline.inputs.ids import encode_id
from maskbeam.pipeline.inputs.manifest import parse_manifest
from maskbeam.pipeline.output.claim import TEXT_KEY
from maskbeam.pipeline.reports.report_files import class_columns
from maskbeam.transforms.codecs.encode import read_text
from maskbeam.transforms.head import KINDS
from maskbeam.transforms.products.registry import product_names
from tests.support.documents import FORMATS, README, Run, blocks, first_column, section, tiny_run


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return tiny_run(tmp_path_factory.mktemp("documented"))


def tree() -> list[str]:
    (found,) = (block.text for block in blocks(FORMATS) if block.language == "tree")
    return [line.split("  ")[0] for line in found.splitlines()]


def test_output_tree_is_the_documented_one(finished: Run) -> None:
    patterns = {path: re.compile(re.sub(r"<\w+>", r"[^/]+", path).replace(".", r"\.")) for path in tree()}
    for path, pattern in patterns.items():
        assert any(map(pattern.fullmatch, finished.files)), f"{path} is documented, but was not written"
    for file in finished.files:
        assert any(pattern.fullmatch(file) for pattern in patterns.values()), f"{file} is not documented"


def test_readme_tree_is_part_of_it(finished: Run) -> None:
    (found,) = (block.text for block in blocks(README) if block.text.startswith("out/masks"))
    for path in (line.split("  ")[0].removeprefix("out/") for line in found.splitlines()):
        assert path in {*tree(), "reports/"}


def test_class_columns_are_the_documented_ones() -> None:
    assert first_column(section(FORMATS, "### classes.csv")) == class_columns()


def test_image_columns_are_the_documented_ones(finished: Run) -> None:
    header = (finished.out / "reports" / "images.csv").read_text().splitlines()[0].split(",")
    told = first_column(section(FORMATS, "### images.csv"))
    assert [re.sub("pixels_.*", "pixels_<class>", name) for name in header][: len(told)] == told
    assert all(name.startswith("pixels_") for name in header[len(told) :])


@pytest.mark.parametrize(
    ("title", "path"), [("### summary.json", "reports/summary.json"), ("### runs/<run>.json", "runs/*.json")]
)
def test_keys_are_the_documented_ones(title: str, path: str, finished: Run) -> None:
    assert sorted(first_column(section(FORMATS, title))) == sorted(finished.json(path))


def test_keys_in_sentences_are_the_files_own(finished: Run) -> None:
    told = section(FORMATS, "### failures.jsonl")
    assert all(f"`{key}`" in told for key in finished.json("reports/failures.jsonl"))
    told = section(FORMATS, "### _SUCCESS")
    assert all(f"`{key}`" in told for key in finished.json("_SUCCESS"))
    told = section(FORMATS, "### summary.json")
    assert all(f"`{key}`" in told for key in finished.json("reports/summary.json")["pixels"])


def test_records_are_as_documented(finished: Run) -> None:
    told = section(FORMATS, "### What an image file says of itself")
    record = json.loads(read_text((finished.out / "masks" / "scene-000.png").read_bytes())[TEXT_KEY])
    claim = json.loads(read_text((finished.out / "overlay" / "scene-000.jpg").read_bytes())[TEXT_KEY])
    assert sorted(first_column(told)) == sorted(claim) == sorted(record["claim"])
    assert all(f"`{key}`" in told for key in record)


def test_heads_and_products_are_the_documented_ones() -> None:
    assert tuple(first_column(section(FORMATS, "## From logits to labels"))) == ("--head", *KINDS)
    assert f"`--products {','.join(product_names())}`" in README.read_text()


def test_ids_become_the_documented_paths() -> None:
    rows = re.findall(r"^\| `(.*)` \| `masks/(.*)\.png` \|$", section(FORMATS, "## Ids"), re.MULTILINE)
    assert len(rows) >= 5
    for image_id, path in rows:
        assert encode_id(image_id) == path


def named_blocks(title: str) -> list[tuple[str, str]]:
    """File name and content of each example: a name in bold, then a code block."""
    found = re.findall(
        r"\*\*`([\w.]+)`\*\*[^`]*(?:`[^`]+`[^`]*)*\n\n```\w+\n(.*?)^```", section(FORMATS, title), re.M | re.S
    )
    assert len(found) >= 3
    return found


@pytest.mark.parametrize(("name", "text"), named_blocks("## Class tables"), ids=lambda value: str(value)[:20])
def test_class_tables_load(name: str, text: str) -> None:
    table = read_class_table(name, channels=3, read=lambda _: text.encode())
    assert (table.ids, table.names) == ((0, 1, 2), ("background", "road", "water"))


def test_readme_class_table_loads() -> None:
    (text,) = (block.text for block in blocks(README) if block.language == "csv")
    assert read_class_table("labels.csv", read=lambda _: text.encode()).names == ("background", "road", "water")


def test_tables_known_by_name_have_the_documented_sizes() -> None:
    told = re.findall(r"`(\w+)` \((\d+)", section(FORMATS, "## Class tables"))
    assert {name: len(read_class_table(name, read=lambda _: b"")) for name, _ in told} == {
        name: int(size) for name, size in told
    }
    assert len(told) >= 3


@pytest.mark.parametrize(("name", "text"), named_blocks("## Inputs"), ids=lambda value: str(value)[:20])
def test_manifests_parse(name: str, text: str) -> None:
    lines = list(parse_manifest(f"/lists/{name}", text.encode()))
    assert lines[0].uri == "/lists/day-1/a.jpg"
    assert len(lines) == 2
