from pathlib import Path

import pytest

from soak.inputs import draw_inputs
from tests.cluster.flink import Cluster, Run, call

#: Flags of every run here: some inputs are broken on purpose.
FLAGS = ("--model", "pipeline/commands/demo/sample_model/unet.keras", "--products", "all", "--max_failures", "100%")


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """Left running for the next session; `make cluster-down` stops it."""
    return Cluster.start()


@pytest.fixture(scope="session")
def prism() -> tuple[str, ...]:
    return ("--runner=PrismRunner", f"--prism_location={call('prism')}")


@pytest.fixture(scope="session")
def argv(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A command without its output: images of several sizes and shards, one of each broken, and two of one id."""
    folder = tmp_path_factory.mktemp("in")
    patterns = draw_inputs(folder, images=1200, records=300)
    (folder / "images/twice").mkdir()
    (folder / "images/twice/img.png").write_bytes((folder / "images/part1/img0001.png").read_bytes())
    (folder / "images/twice/img.jpg").write_bytes((folder / "images/part0/img0000.png").read_bytes())
    return ["--input", *patterns, *FLAGS]


@pytest.fixture(scope="session")
def local(argv: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the local runner makes of the command."""
    output = tmp_path_factory.mktemp("local") / "out"
    Run.start(argv, output).must_succeed()
    return output
