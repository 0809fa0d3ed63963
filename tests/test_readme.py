"""The documents are held against the code: whatever they name must be there, and whatever they show must work."""

import ast
import json
import os
import re
import runpy
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image as Pillow

from pipeline.classes.class_files import read_class_table
from pipeline.command_line import check_beam_flags
from pipeline.flags import FLAGS
from pipeline.inputs.ids import encode_id
from pipeline.inputs.manifest import parse_manifest
from pipeline.main import main, run_options
from pipeline.options import PRODUCTS
from pipeline.output.claim import TEXT_KEY
from pipeline.reports.report_files import CLASS_COLUMNS
from tests.numpy_engine import command, run_numpy
from transforms.encode import read_text
from transforms.errors import RunError
from transforms.head import KINDS

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
README, FORMATS = ROOT / "README.md", ROOT / "docs" / "formats.md"
OTHERS = {"--help", "--version"}

FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    page: Path
    language: str
    text: str


def blocks(*pages: Path) -> list[Block]:
    return [Block(page, *found) for page in pages for found in FENCE.findall(page.read_text(encoding="utf-8"))]


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def section(page: Path, title: str) -> str:
    """What stands below a heading, up to the next one of the same depth or less."""
    text = page.read_text(encoding="utf-8")
    hidden = FENCE.sub(lambda fence: re.sub("(?m)^#", "_", fence[0]), text)
    begin = hidden.index(f"\n{title}\n") + len(title) + 2
    end = re.compile(rf"^#{{1,{title.count('#')}}} ", re.MULTILINE).search(hidden, begin)
    return text[begin : end.start() if end else None]


def first_column(text: str) -> list[str]:
    """The words in backticks in the first column of tables."""
    cells = re.findall(r"^\| (`.*?) \|", text, re.MULTILINE)
    return [word for cell in cells for word in re.findall(r"`([^`]+)`", cell)]


def commands() -> Iterator[tuple[str, list[str]]]:
    """Every `maskbeam ...` line of a code block, and the command lines in prose that are whole."""
    for block in blocks(*PAGES):
        joined = block.text.replace("\\\n", " ")
        for line in joined.splitlines():
            words = line.strip().removeprefix("$ ").removeprefix(".venv/bin/")
            if words.startswith("maskbeam ") and block.language in ("sh", "bash", "console"):
                yield block.page.name, shlex.split(words, comments=True)[1:]
    for page in PAGES:
        for span in re.findall(r"`maskbeam (run|inspect|verify|demo) (@?[\w./]+)`", prose(page)):
            yield page.name, list(span)


@pytest.fixture(autouse=True)
def _flags_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (text,) = (block.text for block in blocks(README) if block.language == "flags")
    (tmp_path / "nightly.flags").write_text(text)


def test_there_are_commands_to_test() -> None:
    told = {words[0] for _, words in commands()}
    assert told >= {"run", "inspect", "verify"}


@pytest.mark.parametrize(("page", "words"), list(commands()), ids=lambda value: str(value)[:60])
def test_command_is_understood(page: str, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for function in (
        "pipeline.run.run",
        "pipeline.inspection.inspect_model.inspect",
        "pipeline.output.verify.verify",
        "pipeline.sample.demo.demo",
    ):
        monkeypatch.setattr(function, lambda *_: 0)
    assert main([*words]) == 0, f"{page}: maskbeam {shlex.join(words)}"


def test_wrong_command_would_be_noticed() -> None:
    with pytest.raises(RunError):
        run_options(["--input", "a", "--model", "b", "--output", "c", "--produtcs", "all"])


def test_flags_file_means_what_it_says(tmp_path: Path) -> None:
    options = run_options(["@nightly.flags"])
    assert options.read.patterns == ("gs://my-bucket/photos/",)
    assert (options.model.normalize, options.output.path) == ("-1..1", "gs://my-bucket/masks")
    assert options.output.products == {"color", "overlay"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_flags_exist(page: Path) -> None:
    ours = {f"--{flag.name}": flag for flags in FLAGS.values() for flag in flags}
    for span in re.findall(r"`(--[^`]+)`", prose(page)):
        name, _, value = span.partition(" ")
        name, equals, glued = name.partition("=")
        if name not in ours:
            if name not in OTHERS:
                check_beam_flags([name, *value.split()][:2])
        elif choices := ours[name].choices:
            assert {*(value + glued).split(), *choices} == {*choices}, f"{page.name}: {span}"
        elif value or equals:
            assert ours[name].has_value, f"{page.name}: {span} takes no value"


def test_every_flag_is_told() -> None:
    told = set(re.findall(r"--\w+", "".join(page.read_text(encoding="utf-8") for page in PAGES)))
    assert {f"--{flag.name}" for flags in FLAGS.values() for flag in flags} - told == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{page.name} links to {target}"
        if anchor:
            titles = re.findall(r"^#+ (.*)$", found.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_of_ours_that_are_named_exist(page: Path) -> None:
    for path in re.findall(r"`((?:pipeline|transforms|tests|docs)/[\w./]*)`", prose(page)):
        assert (ROOT / path).exists(), f"{page.name} names {path}"


def test_modules_of_the_house_exist() -> None:
    (house,) = (block.text for block in blocks(ROOT / "docs" / "developing.md") if "transforms/ " in block.text)
    told = set(re.findall(r"^  (\w+)/", house, re.MULTILINE))
    held = {path.parent.name for path in (ROOT / "pipeline").glob("*/__init__.py")}
    assert told == held


class Run(NamedTuple):
    """A tiny run with everything on: two scenes that work and one that does not."""

    out: Path
    files: list[str]

    def json(self, path: str) -> dict[str, Any]:
        (found,) = self.out.glob(path)
        return dict(json.loads(found.read_bytes()))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("documented")
    source, out = folder / "in", folder / "out"
    source.mkdir()
    for number in range(2):
        pixels = np.random.default_rng(number).integers(0, 255, (12, 16, 3), np.uint8)
        Pillow.fromarray(pixels).save(source / f"scene-{number:03}.png")
    (source / "broken.png").write_bytes(b"not an image")
    argv = command(str(source), str(out), "--products", "all", "--parquet", "--max_failures", "1")
    assert run_numpy(argv) == 0
    return Run(out, sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()))


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
    assert tuple(first_column(section(FORMATS, "### classes.csv"))) == CLASS_COLUMNS


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


def raised_codes() -> set[str]:
    """What stands first in `ImageError(...)`, wherever it is raised with a literal."""
    trees = [
        ast.parse(path.read_text()) for folder in ("pipeline", "transforms") for path in (ROOT / folder).rglob("*.py")
    ]
    calls = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    firsts = [call.args[0] for call in calls if getattr(call.func, "id", "") == "ImageError" and call.args]
    return {first.value for first in firsts if isinstance(first, ast.Constant) and isinstance(first.value, str)}


def test_failure_codes_are_the_documented_ones() -> None:
    told = set(first_column(section(FORMATS, "## Failure codes")))
    assert raised_codes() <= told
    paths = [path for folder in ("pipeline", "transforms") for path in (ROOT / folder).rglob("*.py")]
    code = "".join(path.read_text() for path in paths)
    assert {word for word in told if f'"{word}"' not in code} == set()


def test_heads_and_products_are_the_documented_ones() -> None:
    assert tuple(first_column(section(FORMATS, "## From logits to labels"))) == ("--head", *KINDS)
    assert f"`--products {','.join(PRODUCTS)}`" in README.read_text()


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


@pytest.mark.parametrize("block", [b for b in blocks(*PAGES) if b.language == "python"], ids=lambda b: b.text[:20])
def test_python_runs(
    block: Block, finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(finished.out.parent)
    example = tmp_path / "example.py"
    example.write_text(block.text)
    names = runpy.run_path(os.fspath(example))
    if "labels" in names and "water" in names:
        assert names["labels"].shape == (12, 16)
    promised = re.search(r"It prints `(.*?)` and `(.*?)`, in either order", prose(block.page))
    if "beam" in names and promised:
        assert sorted(capsys.readouterr().out.splitlines()) == sorted(promised.groups())


def test_environment_variables_are_the_codes_own() -> None:
    told = {name for page in PAGES for name in re.findall(r"`(MASKBEAM_\w+)`", prose(page))}
    code = "".join(path.read_text() for path in (ROOT / "pipeline").rglob("*.py"))
    assert told
    assert all(name in code for name in told)
