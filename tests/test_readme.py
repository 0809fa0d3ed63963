"""The documents are held against the code: whatever they name must be there, and whatever they show must work."""

import os
import re
import runpy
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from maskbeam.pipeline.cli.flags import FLAGS
from maskbeam.pipeline.cli.flags_file import KNOWN
from maskbeam.pipeline.cli.parser import check_beam_flags, run_options
from maskbeam.pipeline.main import main
from maskbeam.transforms.errors import RunError
from tests.support.documents import PAGES, README, ROOT, Block, Run, blocks, prose, tiny_run


def commands() -> Iterator[tuple[str, list[str]]]:
    """Every `maskbeam ...` line of a code block, and the command lines in prose that are whole."""
    for block in blocks(*PAGES):
        joined = block.text.replace("\\\n", " ")
        for line in joined.splitlines():
            words = line.strip().removeprefix("$ ").removeprefix(".venv/bin/")
            if words.startswith("maskbeam ") and block.language in ("sh", "bash", "console"):
                yield block.page.name, shlex.split(words, comments=True)[1:]
    for page in PAGES:
        for span in re.findall(r"`maskbeam (run|inspect|verify|clean|demo) (@?[\w./]+)`", prose(page)):
            yield page.name, list(span)


# Nothing leaves an output yet.
OTHERS = {"--help", "--version", "--to"}


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
        "maskbeam.pipeline.run.run",
        "maskbeam.pipeline.commands.inspect.inspect_model.inspect",
        "maskbeam.pipeline.verify.verify.verify",
        "maskbeam.pipeline.commands.clean.clean",
        "maskbeam.pipeline.commands.demo.demo.demo",
        "maskbeam.pipeline.compare.compare.compare",
    ):
        monkeypatch.setattr(function, lambda *_, **__: 0)
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
    ours = {f"--{name}": flag for name, flag in KNOWN.items()}
    for span in re.findall(r"`(--[^`]+)`", prose(page)):
        name, _, value = span.partition(" ")
        name, equals, glued = name.partition("=")
        # Dashes are accepted for underscores.
        name = name if (own := "--" + name[2:].replace("-", "_")) not in ours else own
        if name not in ours:
            if name not in OTHERS:
                word = "DirectRunner" if name == "--runner" else "1"
                check_beam_flags([f"{name}={glued}"] if equals else [name, *(value.split() or [word])][:2])
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
    tops = (ROOT / "pipeline", ROOT / "transforms")
    held = {path.parent.name for top in tops for path in top.glob("*/__init__.py")}
    assert told == held


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return tiny_run(tmp_path_factory.mktemp("documented"))


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
