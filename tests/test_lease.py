import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping

import pytest

from pipeline.output import lease as lease_module
from pipeline.output.lease import LEASE_SECONDS, Lease, check_holder, keep_alive
from pipeline.storage import Unavailable
from tests.memory_storage import MemoryStorage
from transforms.errors import RunError

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
        assert json.loads(storage.read(URI)) == {
            "run": "mine",
            "pid": os.getpid(),
            "host": os.uname().nodename,
            "expires": 1001 + LEASE_SECONDS,
        }
    assert storage.stat(URI) is None


def test_a_dead_process_on_this_machine_holds_nothing() -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    storage = held_by(dead.pid, os.uname().nodename, 1e12)
    with Lease(storage, URI, "mine"):
        assert json.loads(storage.read(URI))["run"] == "mine"


def test_a_live_process_on_this_machine_holds_it() -> None:
    with pytest.raises(RunError), Lease(held_by(os.getppid(), os.uname().nodename, 1e12), URI, "mine"):
        pass


def test_renewing_extends_it_and_notices_a_take_over() -> None:
    storage, now = MemoryStorage(), [0.0]
    with Lease(storage, URI, "mine", clock=lambda: now[0]) as lease:
        now[0] = 30.0
        lease.renew()
        assert json.loads(storage.read(URI))["expires"] == 30 + LEASE_SECONDS
        check_holder(storage, URI, "mine")
        storage.write(URI, b'{"run": "thief"}', expected=storage.read_versioned(URI)[1])
        with pytest.raises(RunError, match="taken"):
            lease.renew()
        with pytest.raises(RunError, match="run thief"):
            check_holder(storage, URI, "mine")
    assert json.loads(storage.read(URI)) == {"run": "thief"}


def test_an_unreadable_lease_is_taken() -> None:
    storage = MemoryStorage()
    storage.write(URI, b"{", expected=None)
    with Lease(storage, URI, "mine"):
        assert json.loads(storage.read(URI))["run"] == "mine"


def test_the_death_of_a_client_does_not_end_the_lease_of_a_job_that_outlives_it() -> None:
    storage, now = MemoryStorage(), [0.0]
    with Lease(storage, URI, "mine", outlives=True, clock=lambda: now[0]):
        assert json.loads(storage.read(URI))["pid"] is None
        second = Lease(storage, URI, "second", clock=lambda: now[0])
        with pytest.raises(RunError, match="within a minute"), second:
            pass
        now[0] = LEASE_SECONDS + 1.0
        with second:
            check_holder(storage, URI, "second")


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
    check_holder(storage, URI, "mine")
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
        storage.files[URI] = (b'{"run": "thief"}', -1)
        renewer.join(60)
        assert not renewer.is_alive()
    assert json.loads(storage.read(URI)) == {"run": "thief"}
