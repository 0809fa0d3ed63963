"""How runners cut the work does not matter: one huge bundle for each worker, or many small ones."""

from pathlib import Path

import pytest

from maskbeam.pipeline.verify.verify import verify
from maskbeam.transforms.lookahead import ELEMENTS_AHEAD
from soak.inputs import shard
from tests.cluster.conftest import FLAGS
from tests.cluster.flink import Cluster, Run, last_run
from tests.cluster.recording_engine import calls, peak_memory
from tests.support.numpy_engine import BATCH
from tests.support.trees import differing, draw, tree_of

IN_SHARD = 5
#: In Flink's batch mode a bundle is all that a subtask gets; in its streaming mode it is as small as one asks for.
SMALL = ("--streaming", "--max_bundle_size=1")
#: Those ahead of the model and those behind it; and of batches one that fills, one that waits and one that computes.
IN_FLIGHT = 2 * ELEMENTS_AHEAD + 3 * BATCH
#: By how much more MB a run of 10,000 images may take than one of 1,000: while a worker segments 4,500 more, whose
#: planes alone are 55 MB; and with the reports, of which one worker writes all 9,000 rows more.
WORKING_MB, WHOLE_MB = 20.0, 35.0


def draw_shards(folder: Path, *, shards: int, in_shard: int, size: tuple[int, int] = (16, 16)) -> list[str]:
    """Shards of images that recur under new names, and the command that segments them."""
    folder.mkdir()
    drawn = [draw(folder / "spare.png", number, size).read_bytes() for number in range(20)]
    (folder / "spare.png").unlink()
    for number in range(shards):
        named = ((f"{number:03}/{place}.png", drawn[(number + place) % 20]) for place in range(in_shard))
        (folder / f"{number:03}.tfrecord").write_bytes(shard(named))
    return ["--input", str(folder), *FLAGS[:2]]


@pytest.fixture(scope="module")
def small_shards(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return draw_shards(tmp_path_factory.mktemp("bundles") / "in", shards=160, in_shard=IN_SHARD)


@pytest.fixture(scope="module")
def expected(small_shards: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What the local runner makes of the small shards."""
    output = tmp_path_factory.mktemp("expected") / "out"
    Run.start(small_shards, output).must_succeed()
    return tree_of(output)


@pytest.mark.parametrize(
    ("flags", "batch", "least", "most"),
    [((), BATCH, 3 * BATCH, IN_FLIGHT), (SMALL, IN_SHARD, IN_SHARD, IN_SHARD)],
    ids=["one huge bundle for each worker", "many small ones"],
)
def test_the_size_of_bundles_changes_nothing_and_what_is_in_flight_is_bounded(
    cluster: Cluster,
    small_shards: list[str],
    expected: dict[str, bytes],
    tmp_path: Path,
    flags: tuple[str, ...],
    batch: int,
    least: int,
    most: int,
) -> None:
    output = tmp_path / "out"
    argv = [*small_shards, *cluster.flags, *flags]
    Run.start(argv, output, module="tests.cluster.recording_engine").must_succeed()
    assert differing(expected, tree_of(output)) == []
    assert verify(str(output)) == 0
    # What a bundle ends with is a batch of its own: it tells how large bundles were.
    assert max(call.given for call in calls(output)) == batch
    assert least <= max(call.held for call in calls(output)) <= most


def peaks(cluster: Cluster, folder: Path, shards: int) -> tuple[float, float]:
    """The most MB that a worker had while it segmented shards of 100 images, and until its reports were written."""
    argv = draw_shards(folder / f"in{shards}", shards=shards, in_shard=100, size=(64, 64))
    kept = "--environment_cache_millis=60000"
    run = Run.start([*argv, *cluster.flags, kept], folder / f"out{shards}", module="tests.cluster.recording_engine")
    run.must_succeed()
    ended = last_run(run.output)
    assert ended["written"] == 100 * shards
    workers = [int(name.rpartition("-")[2]) for name in ended["workers"]]
    return max(call.peak for call in calls(run.output)) / 1000, max(map(peak_memory, workers)) / 1000


def test_the_memory_of_a_worker_stays_flat_over_a_run_ten_times_as_long(cluster: Cluster, tmp_path: Path) -> None:
    (working, whole), (ten_working, ten_whole) = (peaks(cluster, tmp_path, shards) for shards in (10, 100))
    assert ten_working - working < WORKING_MB
    assert ten_whole - whole < WHOLE_MB
