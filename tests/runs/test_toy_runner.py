"""A runner is one object in the registry: a toy goes through all that Beam's own do."""

import argparse
import logging
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from maskbeam.pipeline.cli.parser import run_options
from maskbeam.pipeline.commands.merge import merge
from maskbeam.pipeline.main import main
from maskbeam.pipeline.models.loading.loaded_model import open_model
from maskbeam.pipeline.options import ModelOptions, RunOptions
from maskbeam.pipeline.output.tree import LOCK
from maskbeam.pipeline.run import run
from maskbeam.pipeline.runners.execute import execute
from maskbeam.pipeline.runners.explain import cause_of
from maskbeam.pipeline.runners.local import LOCAL
from maskbeam.pipeline.runners.registry import RUNNERS
from maskbeam.pipeline.runners.runner import Flags, Runner
from maskbeam.pipeline.terminal.logs import quiet
from maskbeam.pipeline.verify.verify import verify
from maskbeam.pipeline.workers import probe_on_worker
from maskbeam.transforms.errors import RunError
from tests.support.numpy_engine import MODEL, command, numpy_loader, numpy_probe, run_numpy
from tests.support.trees import differing, draw_folder, tree_of


class ToyOptions(PipelineOptions):
    """Flags that Beam does not know."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--toy_console", help="where a job goes on alone")
        parser.add_argument("--toy_cubes", type=int, default=0, help="workers")
        parser.add_argument("--toy_box", help="what must not be missing")


def toy(flags: Flags) -> ToyOptions:
    return PipelineOptions(list(flags)).view_as(ToyOptions)


def check(options: RunOptions) -> None:
    if toy(options.beam).toy_box == "missing":
        raise RunError("--toy_box missing: bring the box")


started: list[int] = []


def hand_over(flags: Flags, result: Any) -> str | None:
    return f"job {result.state} at {toy(flags).toy_console}" if toy(flags).toy_console else None


def defaults(flags: Flags) -> dict[str, str]:
    started.append(toy(flags).toy_cubes)
    return {"toy_cubes": "3"}


TOY = Runner(
    names=("toyrunner",),
    beam_class=LOCAL.beam_class,
    defaults=defaults,
    check=check,
    outlives_command=lambda flags: True,
    hand_over=hand_over,
    one_worker=("--toy_cubes=1",),
    errors=((r"ToyError: the (\w+) fell", "the toy's {} fell over: build it again"),),
    quiet=("toy_module",),
)


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    RUNNERS.append(TOY)
    yield
    RUNNERS.remove(TOY)


@pytest.fixture
def images(tmp_path: Path) -> str:
    return str(draw_folder(tmp_path / "in", 5))


def run_toy(images: str, out: Path, *flags: str) -> int:
    return run_numpy(command(images, str(out), "--runner=toy", "--products", "all", *flags))


def test_a_run_a_rerun_and_verify_are_the_local_runner_s(images: str, tmp_path: Path) -> None:
    assert run_numpy(command(images, str(tmp_path / "local"), "--products", "all")) == 0
    out = tmp_path / "out"
    for _ in range(2):
        assert run_toy(images, out) == 0
        assert differing(tree_of(tmp_path / "local"), tree_of(out)) == []
        # A job that outlives its command leaves the lease only to the job.
        assert not (out / LOCK).exists()
    assert verify(str(out)) == 0


def test_parts_and_their_merge(images: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for part in ("1/2", "2/2"):
        assert run_toy(images, out, "--part", part) == 0
    again = partial(run, find_probe=numpy_probe, make_loader=numpy_loader)
    assert merge(str(out), RunOptions(beam=("--runner=ToyRunner", "--toy_cubes=2")), run=again) == 0
    assert started[-1] == 2
    assert run_numpy(command(images, str(tmp_path / "whole"), "--products", "all")) == 0
    assert differing(tree_of(tmp_path / "whole"), tree_of(out)) == []


def test_its_flags_are_known_beside_beam_s(images: str, capsys: pytest.CaptureFixture[str]) -> None:
    argv = command(images, "out", "--runner=toy")
    assert run_options([*argv, "--toy_cubes=2"]).beam == ("--runner=toy", "--toy_cubes=2")
    with pytest.raises(RunError, match="unknown flag --toy_cube=2; did you mean --toy_cubes"):
        run_options([*argv, "--toy_cube=2"])
    with pytest.raises(RunError, match="--toy_cubes: invalid int value"):
        run_options([*argv, "--toy_cubes=many"])
    RUNNERS.remove(TOY)
    with pytest.raises(RunError, match="--runner toy: Unexpected pipeline runner"):
        run_options(argv)
    RUNNERS.append(TOY)
    assert main(["run", "--help"]) == 0
    assert "--runner" in capsys.readouterr().out


def test_what_it_checks_stops_a_run_before_work_starts(images: str, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="bring the box"):
        run_toy(images, tmp_path / "out", "--toy_box=missing")
    assert not (tmp_path / "out").exists()


def test_a_model_is_tried_on_one_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ModelOptions(path=MODEL)
    file, flags = open_model(options), ("--runner=toy", "--toy_console=there")
    monkeypatch.setattr(probe_on_worker, "probe_and_start", lambda options, digest: numpy_probe(options, file))
    (tmp_path / "sign").touch()
    names = {"output": str(tmp_path), "sign": str(tmp_path / "sign"), "answer": str(tmp_path / "answer")}
    # Its answer is needed: such a job is waited for.
    assert probe_on_worker.probe_on_worker(options, file, flags=flags, **names) == numpy_probe(options, file)
    assert started[-1] == 1


def test_a_job_that_was_handed_over_is_left_alone(
    images: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run_toy(images, out, "--toy_console=toys.example") == 0
    told = capsys.readouterr()
    assert "The job goes on without this command: job DONE at toys.example" in told.err
    assert told.out == ""
    with pytest.raises(RunError, match="is writing to this output"):
        run_toy(images, out)
    (out / LOCK).unlink()
    assert run_toy(images, out) == 0
    assert verify(str(out)) == 0


def test_its_errors_are_explained() -> None:
    pages = "pages\nToyError: the tower fell\npages"
    assert cause_of(RuntimeError(pages)) == "the toy's tower fell over: build it again"


def test_what_it_says_to_itself_is_dropped(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before, root.handlers = root.handlers, []
    try:
        quiet()
        execute(["--runner=toy"], lambda pipeline: pipeline | beam.Create([1]))
        for module in ("toy_module.py", "other_module.py"):
            root.handle(logging.LogRecord("root", logging.ERROR, module, 1, f"said by {module}", None, None))
    finally:
        root.handlers = before
    assert capsys.readouterr().err == "maskbeam: said by other_module.py\n"


def test_no_other_room_names_a_runner() -> None:
    names = {name.removesuffix("runner") for runner in RUNNERS for name in runner.names} - {"", "toy"}
    assert {"flink", "prism", "direct", "portable"} <= names
    named = re.compile(rf"\b_?({'|'.join(names)})(?=_|\b|runner|options)", re.IGNORECASE)
    # The help shows one as an example.
    apart = Path("pipeline/cli/help_pages.py")
    files = [path for path in Path("pipeline").rglob("*.py") if "runners" not in path.parts and path != apart]
    assert named.search("FlinkRunnerOptions")
    assert [path for path in files if named.search(path.read_text())] == []
