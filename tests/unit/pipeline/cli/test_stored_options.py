"""What a part leaves of its command, and what somebody else may have put in its place."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from maskbeam.pipeline.cli.flags import ALL
from maskbeam.pipeline.cli.parser import run_options
from maskbeam.pipeline.cli.stored_options import (
    flags_that_differ,
    from_stored,
    options_of_merge,
    read_stored,
    to_stored,
)
from maskbeam.pipeline.commands import merge as merge_module
from maskbeam.pipeline.commands.merge import merge
from maskbeam.pipeline.main import main
from maskbeam.pipeline.options import ModelOptions, Part, RunOptions
from maskbeam.pipeline.options.flag import Flag
from maskbeam.pipeline.output.parts import write_ended
from maskbeam.pipeline.output.tree import Tree
from maskbeam.transforms.errors import RunError
from tests.support.option_words import another

#: What parts left of many commands when it was words by flag.
OLDER = json.loads((Path(__file__).parent / "frozen_parts.json").read_text())


@pytest.mark.parametrize("flag", [flag for flag in ALL if flag.kept], ids=lambda flag: flag.name)
def test_every_flag_comes_back_as_it_was(flag: Flag) -> None:
    words = another(flag) if flag.name not in ("input", "model") else []
    options = run_options(["--input", "in", "a b/*.png", "--model", "m", "--output", "out", *words])
    stored = json.loads(json.dumps(to_stored(options)))
    assert from_stored(stored) == replace(options, output=replace(options.output, path=""))
    if words:
        assert flag.target in stored["fields"]


def test_whose_code_runs_is_not_kept() -> None:
    words = ["--trust_model", "--custom_objects", "mine", "--overwrite", "--environment_type=PROCESS"]
    options = run_options(["--input", "in", "--model", "m.keras", "--output", "out", *words])
    assert to_stored(options) == {"fields": {"read.patterns": [os.path.abspath("in")]}, "trusted": True}


@pytest.mark.parametrize(
    "held",
    [
        {"flags": {"trust_model": True}},
        {"flags": {"custom_objects": "evil"}},
        {"flags": {"environment_type": "PROCESS"}},
        {"flags": {"overwrite": True}},
        {"flags": {"input": "in"}},
        {"flags": {"input": [1]}},
        {"flags": {"upsample": "sideways"}},
        {"flags": {"limit": "many"}},
        {"flags": {"limit": 3}},
        {"flags": {"parquet": "yes"}},
        {"fields": {"model.trust": True}},
        {"fields": {"model.custom_objects": ["evil"]}},
        {"fields": {"run.beam": ["--environment_type=PROCESS"]}},
        {"fields": {"output.overwrite": True}},
        {"fields": {"read.patterns": "in"}},
        {"fields": {"read.patterns": [1]}},
        {"fields": {"label.upsample": "sideways"}},
        {"fields": {"read.limit": "3"}},
        {"fields": {"read.limit": True}},
        {"fields": {"label.threshold": None}},
        {"fields": {"output.products": "color"}},
        {"fields": {"output.parquet": "yes"}},
    ],
    ids=str,
)
def test_what_a_part_does_not_write_is_refused(held: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_stored({**held, "trusted": False})


@pytest.mark.parametrize("held", OLDER, ids=lambda held: " ".join(held["words"]))
def test_what_parts_of_an_older_version_left_is_understood(held: dict[str, Any]) -> None:
    options = run_options(
        ["--input", "/in/a b/*.png", "/c,d", "--model", "/m.keras", "--output", "/out", *held["words"]]
    )
    now = json.loads(json.dumps(to_stored(options)))
    assert read_stored(held["stored"]) == now
    assert from_stored(held["stored"]) == from_stored(now)
    assert flags_that_differ([read_stored(held["stored"]), now]) == []


def test_flags_that_parts_do_not_agree_on_are_named() -> None:
    one = {"fields": {"read.patterns": ["/a"], "model.path": "/m"}, "trusted": False}
    other = {"fields": {"read.patterns": ["/b"], "label.threshold": 0.25}, "trusted": True}
    assert flags_that_differ([one, one, other]) == ["--input", "--model", "--threshold", "--trust_model"]


def test_words_that_look_like_flags_or_files_of_flags_are_plain_values() -> None:
    words = ["--trust_model", "@evil.flags", "--custom_objects=evil"]
    options = from_stored({"fields": {"read.patterns": words, "model.path": "@evil.flags"}, "trusted": False})
    assert options == RunOptions(
        read=replace(RunOptions().read, patterns=tuple(words)), model=ModelOptions(path="@evil.flags")
    )


TRUSTED = {"fields": {"read.patterns": ["in"], "model.normalize": "0..1"}, "trusted": True}


@pytest.mark.parametrize("typed", [ModelOptions(), ModelOptions(trust=True), ModelOptions(path="m")])
def test_parts_that_trusted_their_model_are_merged_by_who_says_so_again(typed: ModelOptions) -> None:
    with pytest.raises(RunError, match="maskbeam merge out --model MODEL --trust_model"):
        options_of_merge(TRUSTED, RunOptions(model=typed), "out")


@pytest.mark.parametrize("trusted", [True, None, 1, "no"])
def test_what_was_typed_is_joined_with_what_was_kept(trusted: Any) -> None:
    typed = RunOptions(
        model=ModelOptions(path="m", trust=True, custom_objects=("mine",)), beam=("--direct_num_workers=2",)
    )
    options = options_of_merge({**TRUSTED, "trusted": trusted}, typed, "out")
    assert options.model == ModelOptions(path="m", trust=True, custom_objects=("mine",), normalize="0..1")
    assert (options.beam, options.output.path, options.read.patterns) == (typed.beam, "out", ("in",))


def part_file(out: Path, content: dict[str, Any]) -> Path:
    path = out / "parts/1-of-1.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(content))
    return path


def test_a_command_in_an_output_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "evil.py").write_text("raise AssertionError('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    told = f"maskbeam run --input in --model m --trust_model --custom_objects evil --output {tmp_path}"
    part_file(tmp_path, {"part": "1/1", "command": told})
    with pytest.raises(RunError, match=r"left by an older maskbeam, .* run that part again"):
        merge(str(tmp_path), run=lambda _: 0)


@pytest.mark.parametrize(
    "options",
    [
        {"flags": {"trust_model": True}, "trusted": False},
        {"fields": {"model.trust": True}, "trusted": False},
        *({}, [], {"flags": {}}, {"fields": {}}, {"flags": [], "trusted": False}),
    ],
    ids=str,
)
def test_a_part_that_was_tampered_with_is_damaged(options: Any, tmp_path: Path) -> None:
    part_file(tmp_path, {"part": "1/1", "options": options})
    with pytest.raises(RunError, match="is damaged"):
        merge(str(tmp_path), run=lambda _: 0)


def test_a_merge_takes_what_is_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[RunOptions] = []

    def noted(output: str, options: RunOptions) -> int:
        seen.append(options)
        return 0

    monkeypatch.setattr(merge_module, "merge", noted)
    words = ["--model", "m", "--trust_model", "--custom_objects", "mine", "--direct_num_workers=2"]
    assert main(["merge", "out", *words]) == 0
    assert seen[0].model == ModelOptions(path=os.path.abspath("m"), trust=True, custom_objects=("mine",))
    assert seen[0].beam == ("--direct_num_workers=2",)
    assert main(["merge", "out", "--normalize", "0..1"]) == 2


def test_other_files_in_the_folder_are_no_parts(tmp_path: Path) -> None:
    tree = Tree(str(tmp_path), f"{tmp_path}/.tmp/run", "masks/{}.png", "", "")
    write_ended(tree, Part(1, 1), {"fields": {"read.patterns": ["in"]}, "trusted": False})
    (tmp_path / "parts/plan.json").write_text("mine")
    seen: list[RunOptions] = []

    def noted(options: RunOptions) -> int:
        seen.append(options)
        return 0

    assert merge(str(tmp_path), run=noted) == 0
    assert seen[0].read.patterns == ("in",)
