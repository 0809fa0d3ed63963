"""Workers that lack what the command has: told in a person's words, and nothing is done."""

import socket
from pathlib import Path

import keras
import pytest

from maskbeam import __version__
from tests.cluster.conftest import FLAGS
from tests.cluster.flink import Cluster, Run, masks
from tests.cluster.starter import workers_with
from tests.support.models import save, unet
from tests.support.trees import draw_folder

#: What is wrong stays wrong: Flink need not try again. In its batch mode Beam's job server does not hand that on.
ONCE = ("--streaming", "--number_of_execution_retries=0")
#: A folder that each process sees in another place: the command where it runs, its workers where they do.
OWN = Path("/proc/self/cwd")


@pytest.fixture
def images(tmp_path: Path) -> str:
    return str(draw_folder(tmp_path / "in", 3))


def refused(
    argv: list[str], output: Path, *, module: str = "maskbeam.pipeline.main", folder: Path | None = None
) -> str:
    """What is said by a run that does nothing, without the two lines around it; with its exit code before it."""
    words = ["run", *argv] if module == "maskbeam.pipeline.main" else argv
    code, said = Run.start(words, output, module=module, folder=folder).end()
    assert "Traceback" not in said
    seen = output if folder is None else folder / output.name
    assert masks(seen) == 0
    assert not (seen / "_SUCCESS").exists()
    (told,) = [line for line in said.splitlines() if line.startswith("maskbeam: ") and "what is done" not in line]
    return f"{code} {told.removeprefix('maskbeam: ')}"


def test_a_model_that_only_the_command_sees(cluster: Cluster, images: str, tmp_path: Path) -> None:
    save(unet(keras), tmp_path / "unet.keras")
    model = OWN / "unet.keras"
    argv = ["--input", images, "--model", str(model), "--normalize", "0..1", *cluster.flags]
    told = refused(argv, tmp_path / "out", folder=tmp_path)
    assert told.startswith(f"2 --model {model}: there is no such file or folder on this machine. Workers on other")
    assert told.endswith(f"(on {socket.gethostname()})")


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (True, "--model {} on {} is not the file that this run began with"),
        (False, "--model {}: there is no such file or folder on this machine."),
    ],
    ids=["another model", "none"],
)
def test_a_worker_that_has_not_the_model_of_the_one_that_tried_it(
    cluster: Cluster, images: str, tmp_path: Path, other: bool, told: str
) -> None:
    model = save(unet(keras), tmp_path / "unet.keras")
    if other:
        save(unet(keras, seed=1), tmp_path / "other.keras").rename(tmp_path / "unet.other")
    argv = ["--input", images, "--model", str(model), "--normalize", "0..1", *cluster.flags, *ONCE]
    said = refused(argv, tmp_path / "out", module="tests.cluster.changing_model")
    assert said.startswith("1 the run failed: " + told.format(model, socket.gethostname()))


def test_an_output_on_a_disk_that_only_the_command_sees(cluster: Cluster, images: str, tmp_path: Path) -> None:
    output = OWN / "out"
    said = refused(
        ["--input", images, *FLAGS[:1], str(Path(FLAGS[1]).absolute()), *cluster.flags, *ONCE],
        output,
        folder=tmp_path,
    )
    assert said.startswith(f"2 the worker on {socket.gethostname()} does not see the output {output}: choose an")


def test_workers_without_maskbeam(cluster: Cluster, images: str, tmp_path: Path) -> None:
    lacking = workers_with([], tmp_path / "start")
    said = refused(["--input", images, *FLAGS[:2], *cluster.flags, *ONCE, *lacking], tmp_path / "out")
    assert said.startswith("2 the workers do not have maskbeam: install it in their image or environment")


def test_workers_with_another_maskbeam(cluster: Cluster, images: str, tmp_path: Path) -> None:
    other = tmp_path / "maskbeam"
    other.mkdir()
    (other / "__init__.py").write_text('__version__ = "0.0.9"\n')
    for name in ("pipeline", "transforms"):
        (other / name).symlink_to(Path(name).absolute())
    older = workers_with([tmp_path, Path.cwd()], tmp_path / "start")
    said = refused(["--input", images, *FLAGS[:2], *cluster.flags, *older], tmp_path / "out")
    here = f"the worker on {socket.gethostname()} runs maskbeam 0.0.9 and the command maskbeam {__version__}"
    assert said.startswith(f"2 {here}: install the same")
