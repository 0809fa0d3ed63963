"""What workers of other processes tell the command: how far they are, and that the run lives."""

import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from maskbeam.pipeline.job.begin_output import begin_output
from maskbeam.pipeline.job.job import Job
from maskbeam.pipeline.job.plan import make_plan
from maskbeam.pipeline.output.lease import Lease
from maskbeam.pipeline.output.lease_file import LEASE_SECONDS
from maskbeam.pipeline.output.tree import LOCK, Tree
from maskbeam.pipeline.runners.execute import ExecutionError
from maskbeam.pipeline.runners.local import LOCAL
from maskbeam.pipeline.storage import Unavailable
from maskbeam.pipeline.storage.gcs_client import forget_client
from maskbeam.pipeline.storage.local_storage import LocalStorage
from maskbeam.pipeline.tally import Counts, Tally
from maskbeam.pipeline.terminal import progress
from maskbeam.pipeline.workers import counts as worker_counts
from maskbeam.pipeline.workers import heartbeat
from maskbeam.pipeline.workers.counts import WorkersTally
from maskbeam.pipeline.workers.heartbeat import IDLE_SECONDS, Beats, Heartbeat, process_name
from maskbeam.transforms.errors import RunError
from tests.support.fake_gcs import FakeGcs
from tests.support.numpy_engine import BATCH, command, run_numpy
from tests.support.trees import draw_folder
from tests.support.waiting_engine import go_file, run_waiting

RUN = "20260101-000000-abcdef"


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(str(tmp_path / "out"), f"{tmp_path}/out/.tmp/{RUN}", "masks/{}.png", "", "")


def beating(tree: Tree, run: str = RUN) -> Heartbeat:
    return Heartbeat(tree, run, LOCK, command="the command")


def lease_of(tree: Tree, clock: Clock, run: str = RUN) -> Lease:
    return Lease(tree.storage, tree.uri(LOCK), run, outlives=True, clock=clock)


def files(tree: Tree) -> list[str]:
    return sorted(str(path.relative_to(tree.root)) for path in Path(tree.root).rglob("*"))


def test_the_command_sums_what_all_workers_and_itself_have_counted(tree: Tree, clock: Clock) -> None:
    own, tallies = Tally(), {"one": Tally(), "two": Tally()}
    workers = [Beats(beating(tree), name=name, source=tally, clock=clock) for name, tally in tallies.items()]
    counts = WorkersTally(tree, RUN, own=own, clock=clock)
    assert counts.read() == Counts()
    with lease_of(tree, clock):
        for number in range(1, 4):
            tallies["one"].add(done=2, skipped=1, bytes=100)
            tallies["two"].add(done=3, failed=1, bytes=10)
            own.add(done=1)
            assert [worker.beat() for worker in workers] == [True, True]
            clock.now += worker_counts.BEAT_SECONDS
            assert counts.read() == Counts(6 * number, number, number, 110 * number)


def test_counts_are_read_at_the_pace_of_heartbeats(tree: Tree, clock: Clock) -> None:
    tally, own = Tally(), Tally()
    counts = WorkersTally(tree, RUN, own=own, clock=clock)
    assert counts.read() == Counts()
    with lease_of(tree, clock):
        tally.add(done=1)
        Beats(beating(tree), name="one", source=tally, clock=clock).beat()
        assert counts.read() == Counts()
        clock.now += worker_counts.BEAT_SECONDS
        assert counts.read() == Counts(done=1)


def test_an_unfinished_file_of_counts_is_read_later(tree: Tree, clock: Clock) -> None:
    counts = WorkersTally(tree, RUN, own=Tally(), clock=clock)
    path = Path(tree.staging, "progress/one.json")
    path.parent.mkdir(parents=True)
    for content, done in (("", 0), ('{"done": 5}', 5), ("[]", 5)):
        path.write_text(content)
        assert counts.read().done == done
        clock.now += worker_counts.BEAT_SECONDS


def test_a_run_without_its_command_keeps_its_lease_while_it_works(tree: Tree, clock: Clock) -> None:
    tally = Tally()
    worker = Beats(beating(tree), name="one", source=tally, clock=clock)
    with lease_of(tree, clock):
        for _ in range(40):
            tally.add(done=1)
            clock.now += worker_counts.GCS_BEAT_SECONDS
            assert worker.beat()
            with pytest.raises(RunError, match=f"run {RUN}"), lease_of(tree, clock, "second"):
                pass


def test_the_heartbeat_ends_with_the_lease(tree: Tree, clock: Clock) -> None:
    worker = Beats(beating(tree), name="one", source=Tally(), clock=clock)
    with lease_of(tree, clock):
        assert worker.beat()
        assert f".tmp/{RUN}/progress/one.json" in files(tree)
    assert not worker.beat()
    assert files(tree) == []


def test_the_lease_of_another_run_ends_it_and_is_not_touched(tree: Tree, clock: Clock) -> None:
    worker = Beats(beating(tree), name="one", source=Tally(), clock=clock)
    with lease_of(tree, clock, "another"):
        before = tree.storage.read_versioned(tree.uri(LOCK))
        clock.now = LEASE_SECONDS - 1.0
        assert not worker.beat()
        assert tree.storage.read_versioned(tree.uri(LOCK)) == before
        assert files(tree) == [LOCK]


def test_the_report_of_a_run_ends_it_and_counts_that_come_late_leave_nothing(tree: Tree, clock: Clock) -> None:
    tally = Tally()
    worker = Beats(beating(tree), name="one", source=tally, clock=clock)
    with lease_of(tree, clock):
        tree.storage.write(tree.uri(f"runs/{RUN}.json"), b"{}", expected=None)
        tally.add(done=1)
        assert not worker.beat()
        assert files(tree) == [LOCK, "runs", f"runs/{RUN}.json"]


def test_a_process_that_counts_nothing_does_not_keep_a_dead_run_s_lease(tree: Tree, clock: Clock) -> None:
    worker = Beats(beating(tree), name="one", source=Tally(), clock=clock)
    with lease_of(tree, clock):
        while worker.beat():
            clock.now += worker_counts.GCS_BEAT_SECONDS
            assert clock.now <= IDLE_SECONDS + 2 * LEASE_SECONDS
        assert clock.now >= IDLE_SECONDS
        with lease_of(tree, clock, "second"):
            pass


def test_a_storage_that_fails_costs_a_line_and_no_more(
    tree: Tree, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise Unavailable("the file system failed")

    tally = Tally()
    worker = Beats(beating(tree), name="one", source=tally, clock=clock)
    counts = WorkersTally(tree, RUN, own=Tally(), clock=clock)
    with lease_of(tree, clock):
        tally.add(done=1)
        with monkeypatch.context() as failing:
            failing.setattr(heartbeat, "overwrite", fail)
            assert worker.try_beat()
        assert [record.getMessage() for record in caplog.records] == [
            "a worker could not write how far it is, trying again: the file system failed"
        ]
        assert worker.try_beat()
        assert counts.read() == Counts(done=1)


def test_only_processes_that_are_not_the_command_have_a_thread(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Heartbeat] = []

    class Noted:
        def __init__(self, heartbeat: Heartbeat) -> None:
            started.append(heartbeat)

        def go_on(self) -> None:
            """A run that is over."""

    monkeypatch.setattr(heartbeat, "_beating", set())
    monkeypatch.setattr(heartbeat, "Beats", Noted)
    Heartbeat(tree, "here", LOCK, command=process_name())(1)
    assert started == []
    elsewhere = Heartbeat(tree, "elsewhere", LOCK, command="another process")
    assert [elsewhere(element) for element in "ab"] == ["a", "b"]
    assert started == [elsewhere]


def test_progress_of_worker_processes_reaches_the_terminal_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, first = str(tmp_path / "out"), f"{BATCH} images"

    class Stream(io.StringIO):
        def write(self, text: str) -> int:
            if text.startswith(first):
                go_file(out).touch()
            return super().write(text)

    stream = Stream()
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setattr(progress, "LOG_SECONDS", 0.05)
    monkeypatch.setattr(worker_counts, "BEAT_SECONDS", 0.05)
    flags = ("--direct_running_mode=multi_processing", "--direct_num_workers=1")
    assert run_waiting(command(str(draw_folder(tmp_path / "in", 2 * BATCH)), out, *flags)) == 0
    assert f"\n{first}" in stream.getvalue()
    assert json.loads(Path(out, "_SUCCESS").read_text())["done"] == 2 * BATCH
    assert not Path(out, ".tmp").exists()
    assert not Path(out, LOCK).exists()


def test_a_local_run_writes_no_heartbeat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    write = LocalStorage.write

    def noted(self: LocalStorage, uri: str, data: bytes, **options: Any) -> str:
        written.append(uri)
        return write(self, uri, data, **options)

    monkeypatch.setattr(LocalStorage, "write", noted)
    assert run_numpy(command(str(draw_folder(tmp_path / "in", 3)), str(tmp_path / "out"))) == 0
    assert sum("/masks/" in uri for uri in written) == 3
    assert not any("/progress/" in uri for uri in written)


@pytest.mark.parametrize(("flags", "left"), [((), []), (("--part", "1/2"), [f"out/.tmp/{RUN}/progress/one.json"])])
def test_a_bucket_is_cleared_of_counts(
    flags: tuple[str, ...], left: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def begun(job: Job, *, before: str | None) -> None:
        begin_output(job, before=before)
        job.tree.storage.write(f"{job.tree.staging}/progress/one.json", b"{}", expected=None)

    monkeypatch.setattr("maskbeam.pipeline.run.begin_output", begun)
    with FakeGcs() as fake:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", fake.url)
        fake.service.buckets["bucket"] = {}
        fake.service.store("bucket", f"out/.tmp/{RUN}/progress/one.json", b"{}")
        assert run_numpy(command(str(draw_folder(tmp_path / "in", 3)), "gs://bucket/out", *flags)) == 0
        names = list(fake.service.buckets["bucket"])
        forget_client()
    assert any(name.startswith("out/masks/") for name in names)
    assert [name for name in names if "/.tmp/" in name] == left


@pytest.mark.parametrize("local", [True, False])
def test_a_signal_frees_the_output_only_if_the_job_ends_with_its_command(
    local: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, held = tmp_path / "out", []
    clean_ups: list[Callable[[], None]] = []

    @contextmanager
    def listening(clean_up: Callable[[], None], *, rest: str) -> Iterator[None]:
        assert "cluster" not in rest, "a job on threads of its command ends with it"
        clean_ups.append(clean_up)
        yield

    def signalled(*args: Any, **kwargs: Any) -> Any:
        for clean_up in clean_ups:
            clean_up()
        held.append((out / LOCK).exists())
        return make_plan(*args, **kwargs)

    monkeypatch.setattr("maskbeam.pipeline.run.runner_of", lambda _: replace(LOCAL, is_local=local))
    monkeypatch.setattr("maskbeam.pipeline.run.stopping_on_signals", listening)
    monkeypatch.setattr("maskbeam.pipeline.run.make_plan", signalled)
    # Nothing is written without the lease.
    assert run_numpy(command(str(draw_folder(tmp_path / "in", 3)), str(out))) == int(local)
    assert held == [not local]
    assert not (out / LOCK).exists()


@pytest.mark.parametrize(("cause", "kept"), [(grpc.RpcError(), True), (ValueError("odd"), False)])
def test_the_lease_is_left_to_a_job_that_only_cannot_be_reached(
    cause: Exception, kept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: object, **__: object) -> None:
        raise ExecutionError("lost") from cause

    monkeypatch.setattr("maskbeam.pipeline.run.execute", lost)
    assert run_numpy(command(str(draw_folder(tmp_path / "in", 3)), str(tmp_path / "out"))) == 1
    assert (tmp_path / "out" / LOCK).exists() == kept
