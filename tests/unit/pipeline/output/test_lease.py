import json
import math
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from maskbeam.pipeline.output import holder as holder_module
from maskbeam.pipeline.output import lease as lease_module
from maskbeam.pipeline.output.holder import Holder
from maskbeam.pipeline.output.lease import Lease
from maskbeam.pipeline.output.lease_file import LEASE_SECONDS, TakenOverError, content_of, keep_alive, time_left
from maskbeam.pipeline.output.tree import Tree, overwrite
from maskbeam.pipeline.process.identity import identity
from maskbeam.pipeline.storage import Unavailable, open_storage
from maskbeam.pipeline.storage.gcs_client import forget_client
from maskbeam.transforms.errors import RunError
from tests.support.fake_gcs import FakeGcs
from tests.support.memory_storage import MemoryStorage

URI = "out/.lock.json"


def held_by(pid: int, host: str, expires: float) -> MemoryStorage:
    storage = MemoryStorage()
    lease = {"run": "other", "pid": pid, "host": host, "expires": expires}
    storage.write(URI, json.dumps(lease).encode(), expected=None)
    return storage


def test_a_second_run_is_refused_while_the_first_lives() -> None:
    storage = held_by(1, "elsewhere", 1000.0)
    with pytest.raises(RunError, match=r"run other .* elsewhere"), Lease(storage, URI, "mine", clock=lambda: 999.0):
        pass


def test_a_lease_runs_out() -> None:
    storage = held_by(1, "elsewhere", 1000.0)
    with Lease(storage, URI, "mine", clock=lambda: 1001.0):
        expected = {"run": "mine", "host": os.uname().nodename, "expires": 1001 + LEASE_SECONDS, **identity()}
        assert json.loads(storage.read(URI)) == expected
    assert storage.stat(URI) is None


def held_like(process: dict[str, Any], host: str = "") -> MemoryStorage:
    storage = MemoryStorage()
    lease = {"run": "other", "host": host or os.uname().nodename, "expires": 1050.0, **process}
    storage.write(URI, json.dumps(lease).encode(), expected=None)
    return storage


def of_process(pid: int) -> dict[str, Any]:
    """How a process describes itself, told from outside."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return {**identity(), "pid": pid, "start": int(fields[19])}


def is_taken(storage: MemoryStorage) -> bool:
    try:
        with Lease(storage, URI, "mine", clock=lambda: 1000.0):
            return True
    except RunError:
        return False


def test_a_dead_process_on_this_machine_holds_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        described = of_process(process.pid)
        assert not is_taken(held_like(described))
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert is_taken(held_like(described)), "it has ended, though nobody has waited for it"
    assert is_taken(held_like(described))


def test_a_live_process_on_this_machine_holds_it() -> None:
    assert not is_taken(held_like(of_process(os.getppid())))


def test_a_process_is_told_by_more_than_host_and_number() -> None:
    """Containers with one host name and number of process: what another one does cannot be seen from here."""
    mine = identity()
    assert is_taken(held_like(mine)), "it is this process, and it holds nothing"
    assert not is_taken(held_like({**mine, "namespace": mine["namespace"] + 1}))
    assert not is_taken(held_like({**mine, "boot": "another"}))
    nobody = {**mine, "pid": 2**22 + 1, "start": 1}
    assert is_taken(held_like(nobody))
    assert not is_taken(held_like({**nobody, "namespace": mine["namespace"] + 1})), "it may live there"
    assert not is_taken(held_like({"pid": mine["pid"]})), "an older maskbeam said no more"
    assert not is_taken(held_like(mine, host="elsewhere"))
    assert is_taken(held_like({**mine, "start": mine["start"] - 1})), "the number went to another process since"


def test_what_this_process_holds_is_alive_until_it_is_given_back() -> None:
    storage = MemoryStorage()
    with Lease(storage, URI, "mine"), pytest.raises(RunError, match="run mine"), Lease(storage, URI, "second"):
        pass
    with Lease(storage, URI, "second"):
        pass


@pytest.mark.parametrize("expires", [1000.0 + 86400, math.inf])
def test_a_lease_that_would_not_end_says_which_file_to_remove(expires: float) -> None:
    storage = held_by(1, "elsewhere", expires)
    with (
        pytest.raises(RunError, match=r"out/\.lock\.json .*remove that file"),
        Lease(storage, URI, "mine", clock=lambda: 1000.0),
    ):
        pass
    storage.delete(URI)
    with Lease(storage, URI, "mine", clock=lambda: 1000.0):
        pass


@pytest.mark.parametrize("content", [b"{", b"[1]", b'{"locked": true}', b"\xff"])
def test_a_file_that_is_no_lease_is_left_alone(content: bytes) -> None:
    storage = MemoryStorage()
    storage.write(URI, content, expected=None)
    with pytest.raises(RunError, match="no lease of maskbeam's"), Lease(storage, URI, "mine"):
        pass
    assert storage.read(URI) == content


def test_what_a_lease_says_reaches_the_terminal_as_plain_text() -> None:
    storage = MemoryStorage()
    lease = {"run": "a\x1b[31m\n", "host": "b\x07", "pid": "\x1b]0;", "expires": 1050.0}
    storage.write(URI, json.dumps(lease).encode(), expected=None)
    with pytest.raises(RunError) as raised, Lease(storage, URI, "mine", clock=lambda: 1000.0):
        pass
    assert str(raised.value).isprintable()


def test_a_folder_in_the_place_of_a_lease_is_named(tmp_path: Path) -> None:
    (tmp_path / "1-of-2.lock.json").mkdir()
    uri = f"{tmp_path}/1-of-2.lock.json"
    with pytest.raises(RunError, match="must be a file"), Lease(open_storage(uri), uri, "mine"):
        pass


def test_renewing_extends_it_and_notices_a_take_over() -> None:
    storage, now = MemoryStorage(), [0.0]
    with Lease(storage, URI, "mine", clock=lambda: now[0]) as lease:
        now[0] = 30.0
        lease.renew()
        assert json.loads(storage.read(URI))["expires"] == 30 + LEASE_SECONDS
        time_left(storage, URI, "mine", working=False, clock=lambda: 0.0)
        storage.write(URI, b'{"run": "thief", "expires": 0}', expected=storage.read_versioned(URI)[1])
        with pytest.raises(RunError, match="taken"):
            lease.renew()
        with pytest.raises(TakenOverError, match="run thief"):
            time_left(storage, URI, "mine", working=False, clock=lambda: 0.0)
        with pytest.raises(TakenOverError):
            lease.check()
    assert json.loads(storage.read(URI)) == {"run": "thief", "expires": 0}


@pytest.mark.parametrize(
    "data",
    [
        b'{"run": "my training"}',
        b'[["run", "x"]]',
        b'{"run": "x", "expires": NaN}',
        b'{"run": "x", "expires": "soon"}',
        b'{"run": "x", "expires": 1' + 400 * b"0" + b"}",
        b"[" * 100_000,
    ],
)
def test_a_file_of_others_in_place_of_a_lease_stays(data: bytes) -> None:
    storage = MemoryStorage()
    storage.write(URI, data, expected=None)
    with pytest.raises(RunError, match="is no lease of maskbeam's; move it away"), Lease(storage, URI, "mine"):
        pass
    assert storage.read(URI) == data


def test_one_that_a_signal_gave_back_before_it_was_taken_is_not_taken() -> None:
    storage = MemoryStorage()
    lease = Lease(storage, URI, "mine")
    lease.release()
    with pytest.raises(RunError, match="stopped before it began"), lease:
        pass
    assert storage.stat(URI) is None


def test_one_that_a_signal_gives_back_while_it_is_being_taken_is_gone() -> None:
    class Slow(MemoryStorage):
        def write(self, *args: Any, **kwargs: Any) -> str:
            signal.start()
            signal.join(0.05)  # it waits for this write
            return super().write(*args, **kwargs)

    storage = Slow()
    lease = Lease(storage, URI, "mine")
    signal = threading.Thread(target=lease.release)
    with lease:
        signal.join()
        assert storage.stat(URI) is None


def test_giving_it_back_leaves_a_file_of_others() -> None:
    storage = MemoryStorage()
    with Lease(storage, URI, "mine"):
        storage.write(URI, b"notes", expected=storage.read_versioned(URI)[1])
    assert storage.read(URI) == b"notes"


def test_a_lease_whose_writer_died_before_its_content_is_taken() -> None:
    storage = MemoryStorage()
    storage.write(URI, b"", expected=None)
    with Lease(storage, URI, "mine"):
        assert json.loads(storage.read(URI))["run"] == "mine"


class Clocks:
    """The time of day, and the one that goes on while a process is stopped."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.day = self.since = 1000.0
        monkeypatch.setattr(lease_module, "elapsed", lambda: self.since)
        monkeypatch.setattr(holder_module, "elapsed", lambda: self.since)
        monkeypatch.setattr(holder_module, "now", lambda: self.day)

    def pass_by(self, seconds: float) -> None:
        self.day += seconds
        self.since += seconds


@pytest.mark.parametrize("stopped", [{"day": 70.0}, {"since": 70.0}, {"day": 70.0, "since": 70.0}])
def test_a_run_that_was_stopped_looks_before_it_writes(
    stopped: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    clocks, storage = Clocks(monkeypatch), MemoryStorage()
    with Lease(storage, URI, "mine", clock=lambda: clocks.day) as lease:
        lease.check()
        # As after a run that took it over and has ended.
        storage.delete(URI)
        lease.check()
        for clock, seconds in stopped.items():
            setattr(clocks, clock, getattr(clocks, clock) + seconds)
        for _ in range(2):
            with pytest.raises(TakenOverError, match="has lost its lease"):
                lease.check()
        assert lease.lost
        assert storage.stat(URI) is None


def test_a_run_that_was_stopped_goes_on_where_nobody_came(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks, storage = Clocks(monkeypatch), MemoryStorage()
    with Lease(storage, URI, "mine", clock=lambda: clocks.day) as lease:
        clocks.pass_by(1000)
        lease.check()
        assert json.loads(storage.read(URI))["expires"] == clocks.day + LEASE_SECONDS


def test_a_look_at_two_clocks_is_all_that_a_write_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks, looks = Clocks(monkeypatch), []
    monkeypatch.setattr(lease_module, "time_left", lambda *_, **__: looks.append(1))
    with Lease(MemoryStorage(), URI, "mine", clock=lambda: clocks.day) as lease:
        for _ in range(100):
            lease.check()
        assert looks == []


def test_worker_processes_stop_writing_with_the_lease(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clocks, uri = Clocks(monkeypatch), f"{tmp_path}/.lock.json"
    storage = open_storage(uri)
    holder = Holder(uri, "mine", f"{tmp_path}/.tmp/mine")
    tree = Tree(str(tmp_path), holder.staging, "masks/{}.png", "", "", hold=holder)
    storage.write(uri, content_of("mine", {"pid": None}, clocks.day), expected=None)
    tree.storage.write(tree.uri("masks/a.png"), b"1", expected=None)
    clocks.pass_by(50)
    tree.storage.write(tree.uri("masks/b.png"), b"1", expected=None)
    assert json.loads(storage.read(uri))["expires"] == clocks.day + LEASE_SECONDS, "a worker has renewed it"
    storage.delete(uri)
    clocks.pass_by(70)
    for action in (
        lambda: tree.storage.write(tree.uri("masks/c.png"), b"1", expected=None),
        lambda: tree.storage.delete(tree.uri("masks/a.png")),
        lambda: overwrite(tree, "masks/a.png", b"2"),
        tree.look,
    ):
        with pytest.raises(TakenOverError):
            action()
    assert {path.name: path.read_bytes() for path in (tmp_path / "masks").iterdir()} == {"a.png": b"1", "b.png": b"1"}
    assert list((tmp_path / ".tmp/mine").iterdir()) == []


def test_objects_are_guarded_as_files_are(monkeypatch: pytest.MonkeyPatch) -> None:
    def guard() -> None:
        raise TakenOverError("no longer ours")

    with FakeGcs() as fake:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", fake.url)
        fake.service.buckets["b"] = {}
        fake.service.store("b", "a", b"1")
        storage = open_storage("gs://b", guard=guard)
        with pytest.raises(TakenOverError):
            storage.write("gs://b/new", b"1", expected=None)
        with pytest.raises(TakenOverError):
            storage.delete("gs://b/a")
        assert list(fake.service.buckets["b"]) == ["a"]
        forget_client()


def test_the_death_of_a_client_does_not_end_the_lease_of_a_job_that_outlives_it() -> None:
    storage, now = MemoryStorage(), [0.0]
    with Lease(storage, URI, "mine", outlives=True, clock=lambda: now[0]):
        assert json.loads(storage.read(URI))["pid"] is None
        second = Lease(storage, URI, "second", clock=lambda: now[0])
        with pytest.raises(RunError, match="if it is dead, its lease ends in 60 s"), second:
            pass
        now[0] = LEASE_SECONDS + 1.0
        with second:
            time_left(storage, URI, "second", working=False, clock=lambda: 0.0)


def test_a_lease_lives_on_while_only_workers_renew_it() -> None:
    storage, now = MemoryStorage(), [0.0]
    with Lease(storage, URI, "mine", outlives=True, clock=lambda: now[0]):
        for seconds in range(0, 600, 20):
            now[0] = seconds
            assert keep_alive(storage, URI, "mine", clock=lambda: now[0])
            with pytest.raises(RunError, match="run mine"), Lease(storage, URI, "second", clock=lambda: now[0]):
                pass
    assert storage.stat(URI) is None


def test_a_client_goes_on_with_a_lease_that_a_worker_has_renewed() -> None:
    storage, now = MemoryStorage(), [0.0]
    with Lease(storage, URI, "mine", outlives=True, clock=lambda: now[0]) as lease:
        now[0] = 45.0
        assert keep_alive(storage, URI, "mine", clock=lambda: now[0])
        lease.renew()
        now[0] = 60.0
        lease.renew()
        assert json.loads(storage.read(URI))["expires"] == 60 + LEASE_SECONDS


def test_workers_leave_a_lease_alone_that_its_client_renews() -> None:
    storage = MemoryStorage()
    with Lease(storage, URI, "mine", clock=lambda: 0.0):
        before = storage.read_versioned(URI)
        assert keep_alive(storage, URI, "mine", clock=lambda: 29.0)
        assert storage.read_versioned(URI) == before


def test_workers_do_not_touch_the_lease_of_another_run_nor_make_one() -> None:
    storage = held_by(1, "elsewhere", 0.0)
    before = storage.read_versioned(URI)
    assert not keep_alive(storage, URI, "mine", clock=lambda: 1000.0)
    assert storage.read_versioned(URI) == before
    storage.delete(URI)
    assert not keep_alive(storage, URI, "mine", clock=lambda: 1000.0)
    assert storage.stat(URI) is None


def test_the_lease_of_a_run_that_does_nothing_runs_out() -> None:
    storage = held_by(1, "elsewhere", 1000.0)
    before = storage.read_versioned(URI)
    assert keep_alive(storage, URI, "other", working=False, clock=lambda: 999.0)
    assert not keep_alive(storage, URI, "other", working=False, clock=lambda: 1001.0)
    assert storage.read_versioned(URI) == before


def test_a_kept_lease_is_left_to_the_workers() -> None:
    storage = MemoryStorage()
    with Lease(storage, URI, "mine", outlives=True) as lease:
        lease.keep()
    time_left(storage, URI, "mine", working=False, clock=lambda: 0.0)
    assert storage.stat(URI) is not None


def test_a_storage_that_fails_for_a_while_does_not_end_the_renewals(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(MemoryStorage):
        writes = 0

        def write(
            self, uri: str, data: bytes, *, expected: str | None, metadata: Mapping[str, str] | None = None
        ) -> str:
            self.writes += 1
            if self.writes == 2:
                raise Unavailable("the file system failed")
            if self.writes == 3:
                # Carried out, and its answer lost: what is there is ours.
                super().write(uri, data, expected=expected)
                raise Unavailable("the file system failed")
            if self.writes > 6:
                renewed.set()
            return super().write(uri, data, expected=expected)

    monkeypatch.setattr(lease_module, "RENEW_SECONDS", 0.001)
    renewed, storage = threading.Event(), Failing()
    with Lease(storage, URI, "mine"):
        assert renewed.wait(60)
    assert storage.stat(URI) is None
    assert caplog.text.count("trying again: the file system failed") == 2


def test_renewals_end_when_another_run_has_the_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "RENEW_SECONDS", 0.001)
    storage = MemoryStorage()
    with Lease(storage, URI, "mine"):
        [renewer] = [thread for thread in threading.enumerate() if thread.name == "lease"]
        # In one step, as no storage offers it: the renewals are too quick here to be overtaken.
        storage.files[URI] = (b'{"run": "thief", "expires": 0}', -1)
        renewer.join(60)
        assert not renewer.is_alive()
    assert json.loads(storage.read(URI)) == {"run": "thief", "expires": 0}
