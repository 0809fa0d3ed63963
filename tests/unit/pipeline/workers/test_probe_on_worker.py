"""A worker says of a model what a command says that loads it itself."""

import json
import socket
from pathlib import Path

import keras
import pytest

from maskbeam import __version__
from maskbeam.pipeline.cli.parser import run_options
from maskbeam.pipeline.job.plan import check_command, make_plan
from maskbeam.pipeline.models.loading.loaded_model import open_model
from maskbeam.pipeline.models.probing.probe import Probe
from maskbeam.pipeline.options import ModelOptions
from maskbeam.pipeline.run import engine_loader
from maskbeam.pipeline.workers.probe_on_worker import AskWorker, probe_on_worker
from maskbeam.transforms.errors import RunError
from tests.support.models import save, unet
from tests.support.numpy_engine import command
from tests.support.trees import draw_folder

FLAGS = ("--normalize", "0..1", "--engine", "tensorflow")


def asking(model: Path, output: Path, *, version: str = "", digest: str = "", normalize: str = "0..1") -> AskWorker:
    options = ModelOptions(path=str(model), normalize=normalize)
    answer = output / ".tmp/probe.json"
    version = version or __version__
    digest = digest or open_model(options).digest
    return AskWorker(options, digest, version, str(output), str(output / "sign"), str(answer))


def answer_to(ask: AskWorker) -> str:
    Path(ask.sign).parent.mkdir(exist_ok=True)
    Path(ask.sign).touch()
    ask()
    return str(json.loads(Path(ask.answer).read_text()).get("error"))


def asked(ask: AskWorker) -> Probe:
    file = open_model(ask.options)
    return probe_on_worker(ask.options, file, flags=(), output=ask.output, sign=ask.sign, answer=ask.answer)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save(unet(keras), tmp_path / "unet.keras")


@pytest.mark.parametrize("head", ["logits", "ids"])
def test_a_worker_finds_what_a_command_finds_itself(head: str, tmp_path: Path) -> None:
    out, model = tmp_path / "out", save(unet(keras, head=head), tmp_path / "unet.keras")
    classes = () if head == "logits" else ("--classes", "voc")
    argv = command(str(draw_folder(tmp_path / "in", 3)), str(out), *FLAGS, *classes, "--model", str(model))
    options = run_options(argv)
    found = check_command(options)
    ask = AskWorker(options.model, "", "", str(out), str(out / "sign"), str(out / "answer"))
    out.mkdir()
    (out / "sign").touch()
    there = make_plan(options, found, "1", find_probe=lambda *_: asked(ask)).job
    _, here = engine_loader(make_plan(options, found, "1").job)
    assert there == here
    assert there.probe.batch_size > 0
    # Nothing is loaded for a probe that has all.
    assert engine_loader(there)[1] is there
    assert [path.name for path in out.iterdir()] == ["sign"]


def test_what_a_worker_finds_wrong_is_an_answer_and_no_failure_that_a_runner_tries_again(
    model: Path, tmp_path: Path
) -> None:
    out, here = tmp_path / "out", socket.gethostname()
    ask = asking(model, out, normalize="")
    assert "--normalize" in answer_to(ask)
    Path(ask.answer).unlink()
    assert f"on {here} is not the file that this run began with" in answer_to(asking(model, out, digest="x"))
    Path(ask.answer).unlink()
    assert f"{here} runs maskbeam {__version__} and the command maskbeam 99.0" in answer_to(
        asking(model, out, version="99.0")
    )
    # A runner may begin again what has ended.
    assert "99.0" in answer_to(asking(model, out, version="98.0"))


def test_the_command_says_what_the_worker_found_wrong(model: Path, tmp_path: Path) -> None:
    ask = asking(model, tmp_path, normalize="")
    Path(ask.sign).touch()
    with pytest.raises(RunError, match="--normalize"):
        asked(ask)


def test_a_worker_that_does_not_see_the_output_leaves_nothing_there(model: Path, tmp_path: Path) -> None:
    ask = asking(model, tmp_path / "out")
    with pytest.raises(RunError, match=f"does not see the output {tmp_path}/out"):
        ask()
    assert not (tmp_path / "out").exists()
    with pytest.raises(RunError, match=f"does not see the output {tmp_path}/out"):
        asked(ask)
