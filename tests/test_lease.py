import json
import os
import subprocess
import sys

import pytest

from pipeline.output.lease import LEASE_SECONDS, Lease, check_holder
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
    with Lease(held_by(dead.pid, os.uname().nodename, 1e12), URI, "mine"):
        pass


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
        check_holder(storage, URI, "mine")
