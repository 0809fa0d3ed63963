"""The same command on a Flink cluster of two TaskManagers: the same tree, whatever dies on the way."""

import random
import re
import signal
import socket
import time
from collections import Counter
from pathlib import Path

import keras
import pytest

from maskbeam.pipeline.output.lease_file import LEASE_SECONDS
from maskbeam.pipeline.output.tree import LOCK
from maskbeam.pipeline.verify.verify import verify
from soak.inputs import shard
from tests.cluster.conftest import FLAGS
from tests.cluster.counting_layer import Counting
from tests.cluster.flink import Cluster, Run, call, last_run, masks, wait_until
from tests.cluster.starter import workers_with
from tests.support.trees import differing, draw, draw_folder, tree_of
from tests.support.waiting_engine import go_file


def assert_same(local: Path, output: Path) -> None:
    """The trees are the same, and the output's own reports add up."""
    assert differing(tree_of(local), tree_of(output)) == []
    assert verify(str(output)) == 0


def test_the_tree_is_the_local_runner_s_and_a_rerun_changes_nothing(
    cluster: Cluster, argv: list[str], local: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    Run.start([*argv, *cluster.flags], output).must_succeed()
    assert_same(local, output)
    first = last_run(output)
    assert first["failed"] > 0
    Run.start([*argv, *cluster.flags], output).must_succeed()
    assert_same(local, output)
    again = last_run(output)
    assert (again["skipped"], again["written"]) == (first["done"], 0)


def test_flink_s_own_runner_takes_an_address_and_asks_how_many_slots_there_are(
    cluster: Cluster, tmp_path: Path
) -> None:
    draw_folder(tmp_path / "in", 60)
    address = [f"--flink_master={call('master')}", f"--flink_job_server_jar={call('jar')}"]
    workers = [flag for flag in cluster.flags if flag.startswith("--environment_")]
    flags = ["--input", str(tmp_path / "in"), *FLAGS[:2], "--runner=FlinkRunner", *address, *workers]
    Run.start(flags, tmp_path / "out").must_succeed()
    assert len(last_run(tmp_path / "out")["workers"]) == 2


def test_workers_may_be_processes_that_task_managers_start(cluster: Cluster, tmp_path: Path) -> None:
    own = workers_with([Path.cwd()], tmp_path / "start")
    argv = ["--input", str(draw_folder(tmp_path / "in", 60)), *FLAGS[:2]]
    Run.start([*argv, *cluster.flags, *own], tmp_path / "out").must_succeed()
    Run.start(argv, tmp_path / "local").must_succeed()
    assert_same(tmp_path / "local", tmp_path / "out")
    assert len(last_run(tmp_path / "out")["workers"]) == 2


@pytest.mark.parametrize(
    ("victim", "seed"),
    [
        ("taskmanager-1", 1),
        pytest.param("taskmanager-2", 2, marks=pytest.mark.slow),
        pytest.param("taskmanager-1", 3, marks=pytest.mark.slow),
        pytest.param("workers-1", 4, marks=pytest.mark.slow),
        pytest.param("workers-2", 5, marks=pytest.mark.slow),
    ],
)
def test_a_part_that_is_killed_and_replaced_changes_nothing(
    cluster: Cluster, argv: list[str], local: Path, tmp_path: Path, victim: str, seed: int
) -> None:
    output = tmp_path / "out"
    run = Run.start([*argv, *cluster.flags], output)
    run.wait_for_masks(random.Random(seed).randrange(1, masks(local) - 100))
    assert run.process.poll() is None, "the run was over before anything was killed"
    cluster.kill(victim)
    cluster.up()
    run.must_succeed()
    assert_same(local, output)


@pytest.mark.slow
def test_a_command_that_is_killed_leaves_a_job_that_ends_or_is_completed(
    cluster: Cluster, argv: list[str], local: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    run = Run.start([*argv, *cluster.flags], output)
    run.wait_for_masks(200)
    run.process.kill()
    run.end()
    # Others are kept out until the job is over.
    wait_until(lambda: Run.start([*argv, *cluster.flags], output).end()[0] != 2)
    assert_same(local, output)


def waiting_run(cluster: Cluster, folder: Path) -> Run:
    """A run that has shown its first images and waits."""
    flags = ["--input", str(draw_folder(folder / "in", 60)), *FLAGS[:2], *cluster.flags]
    run = Run.start(flags, folder / "out", module="tests.support.waiting_engine")
    assert run.process.stdout is not None
    for line in run.process.stdout:
        if re.match(r"[1-9]\d* images?, ", line):
            return run
    raise AssertionError("no progress was shown")


def test_how_far_workers_are_and_what_was_done_is_shown_by_the_command(cluster: Cluster, tmp_path: Path) -> None:
    run = waiting_run(cluster, tmp_path)
    go_file(str(run.output)).touch()
    code, said = run.end()
    assert code == 0
    assert re.search(r"^Images   60 of 60 inputs done; .*^Classes  .*^Done\.$", said, re.MULTILINE | re.DOTALL)
    assert not (run.output / ".tmp").exists()
    assert not (run.output / LOCK).exists()


def assert_refused(again: list[str], output: Path) -> None:
    code, said = Run.start(again, output).end()
    assert code == 2
    assert "is writing to this output" in said


def test_ctrl_c_ends_the_command_and_not_its_job(cluster: Cluster, tmp_path: Path) -> None:
    run = waiting_run(cluster, tmp_path)
    run.process.send_signal(signal.SIGINT)
    code, said = run.end()
    assert code == 130
    assert "stopped by SIGINT; that ends the command and not the job" in said
    assert "The same command is refused until a minute after the job has ended; then it does what is missing" in said
    again = ["--input", str(tmp_path / "in"), *FLAGS[:2]]
    assert_refused(again, run.output)
    assert masks(run.output) < 60
    go_file(str(run.output)).touch()
    wait_until((run.output / "_SUCCESS").exists)
    # As if the minute were over.
    (run.output / LOCK).unlink()
    Run.start(again, run.output).must_succeed()
    ended = last_run(run.output)
    assert (ended["skipped"], ended["written"]) == (60, 0)


@pytest.mark.slow
def test_a_job_that_is_stopped_on_its_cluster_is_completed_by_the_same_command(
    cluster: Cluster, tmp_path: Path
) -> None:
    run = waiting_run(cluster, tmp_path)
    run.process.send_signal(signal.SIGINT)
    run.end()
    call("cancel")
    again = ["--input", str(tmp_path / "in"), *FLAGS[:2], *cluster.flags]
    wait_until(lambda: Run.start(again, run.output).end()[0] == 0)
    ended = last_run(run.output)
    assert ended["skipped"] > 0
    assert ended["skipped"] + ended["written"] == ended["done"] == 60


@pytest.mark.slow
def test_a_job_without_its_command_keeps_its_lease_until_it_ends(cluster: Cluster, tmp_path: Path) -> None:
    run = waiting_run(cluster, tmp_path)
    run.process.kill()
    run.end()
    again = ["--input", str(tmp_path / "in"), *FLAGS[:2]]
    end = time.monotonic() + 1.25 * LEASE_SECONDS
    while time.monotonic() < end:
        assert_refused(again, run.output)
    go_file(str(run.output)).touch()
    wait_until((run.output / "_SUCCESS").exists)
    wait_until(lambda: Run.start(again, run.output).end()[0] == 0)
    assert last_run(run.output)["skipped"] == 60


def test_one_huge_shard_is_spread_over_both_task_managers(cluster: Cluster, tmp_path: Path) -> None:
    image = draw(tmp_path / "noise.png", 1, (640, 640)).read_bytes()
    (tmp_path / "in").mkdir()
    (tmp_path / "in/huge.tfrecord").write_bytes(shard((f"{number}.png", image) for number in range(160)))
    assert (tmp_path / "in/huge.tfrecord").stat().st_size > 2 * 64 * 2**20
    flags = ["--input", str(tmp_path / "in"), *FLAGS[:2], "--upsample", "labels"]
    Run.start([*flags, *cluster.flags], tmp_path / "out").must_succeed()
    workers = last_run(tmp_path / "out")["workers"]
    assert len(workers) == 2
    assert sum(workers.values()) == 160
    assert min(workers.values()) >= 40


def test_each_worker_process_loads_the_model_once(cluster: Cluster, tmp_path: Path) -> None:
    loads, model = tmp_path / "loads", tmp_path / "model.keras"
    layers = [keras.Input((None, None, 3)), Counting(str(loads)), keras.layers.Conv2D(4, 1)]
    keras.Sequential(layers).save(model)
    draw_folder(tmp_path / "in", 100, (32, 32))
    trusted = ["--trust_model", "--custom_objects", "tests.cluster.counting_layer", "--normalize", "0..1"]
    flags = ["run", "--input", str(tmp_path / "in"), "--model", str(model), *trusted]
    run = Run.start([*flags, *cluster.flags], tmp_path / "out", module="maskbeam.pipeline.main")
    run.must_succeed()
    by_process = Counter(loads.read_text().splitlines())
    workers = last_run(tmp_path / "out")["workers"]
    assert len(workers) == 2
    assert {name: by_process[name] for name in workers} == dict.fromkeys(workers, 1)
    # One more tried it before the work began; the command has not loaded it.
    assert sum(by_process.values()) == 3
    assert f"{socket.gethostname()}-{run.process.pid}" not in by_process


@pytest.mark.slow
def test_a_cluster_that_has_crashed_is_cleared_away_and_starts_again(cluster: Cluster, tmp_path: Path) -> None:
    for part in ("jobmanager", "workers-1", "taskmanager-2"):
        cluster.kill(part)
    call("down")
    assert call("status") == "nothing runs"
    call("down")
    cluster.up()
    cluster.up()
    assert call("status").endswith("takes jobs")
    flags = ["--input", str(draw_folder(tmp_path / "in", 3)), *FLAGS[:2], *cluster.flags]
    Run.start(flags, tmp_path / "out").must_succeed()
