#!/usr/bin/env python3
"""A Flink cluster on one machine, for tests.

  cluster.py up      start whatever does not run yet, or was killed
  cluster.py down    stop everything, and remove the network
  cluster.py status  say what runs
  cluster.py flags   the flags that send `maskbeam run` there
  cluster.py kill    kill one part, as `taskmanager-1`, or all Python workers of one TaskManager, as `workers-1`
  cluster.py cancel  cancel all jobs, as a person does in Flink's own interface
  cluster.py jar     print the path of Beam's job server as a jar, for `--flink_job_server_jar`
  cluster.py master  print the address of Flink, for `--flink_master`
  cluster.py prism   build Beam's Prism runner, which needs no cluster, and print its path
  cluster.py fetch   fetch and build what `up` needs, or say what is missing

It consists of a JobManager, two TaskManagers and Beam's job server. Where namespaces can be made, as root, each
TaskManager has one of its own with an SDK worker pool beside it, as a pod with a side-car has; else the TaskManagers
start Python workers through the SDK's boot program, and Beam's servers listen on all addresses. Logs are in
build/flink/log.
"""

import argparse
import fcntl
import json
import re
import shutil
import socket
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

import commands
from commands import JOB_PORT, MASTER, REST_PORT, STATE, TASK_MANAGERS
from network import can_make_network, make_network, remove_network
from parts import boot_program, jars, job_server_jar, need, prism_program
from processes import ClusterError, children, kill, main_process, processes, start, stop_all, wait_until

START_SECONDS = 180
# Another `up` may be fetching parts.
LOCK_SECONDS = 2000


def isolated() -> bool:
    """Whether each TaskManager gets a network namespace and a worker pool of its own."""
    return can_make_network()


def master() -> str:
    """Where JobManager and job server are."""
    return commands.master(isolated=isolated())


def fetch() -> None:
    """Gets every part that is not there."""
    need("java")
    jars()
    if not isolated():
        boot_program()


def up() -> None:
    """Starts every part that does not run; returns when the cluster takes jobs."""
    fetch()
    parts = commands.commands(f"{jars()}/*", isolated=isolated())
    if isolated():
        make_network([MASTER, *TASK_MANAGERS])
    for folder in ("log", "tmp", "artifacts"):
        (STATE / folder).mkdir(parents=True, exist_ok=True)
    for name, command in parts.items():
        if main_process(name) is None:
            log = STATE / "log" / f"{name}.log"
            start(name, command, log=log, folder=STATE / "tmp", variables=commands.variables())
    wait_until(lambda: ready() or _refuse_ended(parts), "the cluster takes jobs", seconds=START_SECONDS)


def down() -> None:
    """Stops every part, children included, and removes what it has left."""
    stop_all()
    if isolated():
        remove_network([MASTER, *TASK_MANAGERS])
    for folder in ("tmp", "artifacts"):
        shutil.rmtree(STATE / folder, ignore_errors=True)


def status() -> None:
    """Prints what runs."""
    running = processes()
    if not running:
        print("nothing runs")
    for name in sorted(set(running.values())):
        pids = " ".join(str(pid) for pid, part in sorted(running.items()) if part == name)
        print(f"{name:15} {pids}")
    if running:
        print("takes jobs" if ready() else "does not take jobs")


def kill_part(name: str) -> None:
    """Kills a part's main process; of `workers-N`, all Python workers of a TaskManager, wherever they belong."""
    if name.startswith("workers-"):
        owner = name if isolated() else name.replace("workers", "taskmanager")
        kill(children(owner))
    else:
        main = main_process(name)
        kill([main] if main else [])


def cancel_jobs() -> None:
    """Cancels all jobs; returns when they have ended."""
    for job in running_jobs():
        request = urllib.request.Request(f"http://{master()}:{REST_PORT}/jobs/{job}?mode=cancel", method="PATCH")
        urllib.request.urlopen(request, timeout=5).close()
    wait_until(lambda: not running_jobs(), "all jobs have ended", seconds=60)


def running_jobs() -> list[str]:
    """The jobs that have not ended."""
    ended = ("FINISHED", "FAILED", "CANCELED")
    return [job["id"] for job in ask("/jobs")["jobs"] if job["status"] not in ended]


def ready() -> bool:
    """Whether all TaskManagers have registered and the job server listens."""
    with suppress(OSError, ValueError):
        # A TaskManager that was killed stays listed for a while, so each is asked whether it is there.
        managers = [re.search(r"@([\d.]+:\d+)/", manager["path"]) for manager in ask("/taskmanagers")["taskmanagers"]]
        there = [found for found in managers if found and listens(found[1])]
        return len(there) == len(TASK_MANAGERS) and listens(f"{master()}:{JOB_PORT}")
    return False


def ask(path: str) -> dict[str, Any]:
    """What Flink's REST interface answers."""
    with urllib.request.urlopen(f"http://{master()}:{REST_PORT}{path}", timeout=5) as answer:
        return dict(json.load(answer))


def listens(address: str) -> bool:
    """Whether something takes connections there."""
    host, _, port = address.partition(":")
    with suppress(OSError), socket.create_connection((host, int(port)), timeout=2):
        return True
    return False


def _refuse_ended(parts: dict[str, list[str]]) -> bool:
    ended = sorted(set(parts) - set(processes().values()))
    if ended:
        logs = ", ".join(f"{STATE}/log/{name}.log" for name in ended)
        raise ClusterError(f"{', '.join(ended)} ended at once; read {logs}")
    return False


@contextmanager
def _alone() -> Iterator[None]:
    STATE.mkdir(parents=True, exist_ok=True)
    with (STATE / "lock").open("w") as lock:
        wait_until(lambda: _locked(lock), "another cluster.py is done", seconds=LOCK_SECONDS)
        yield


def _locked(lock: IO[str]) -> bool:
    with suppress(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def main() -> int:
    """Runs one command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "command",
        choices=("up", "down", "status", "flags", "kill", "cancel", "jar", "master", "prism", "fetch"),
    )
    parser.add_argument("part", nargs="?", help="what to kill")
    given = parser.parse_args()
    actions: dict[str, Callable[[], None]] = {
        "up": up,
        "down": down,
        "status": status,
        "flags": lambda: print(*commands.flags(isolated=isolated())),
        "kill": lambda: kill_part(given.part or parser.error("say which part")),
        "cancel": cancel_jobs,
        "jar": lambda: print(job_server_jar()),
        "master": lambda: print(f"{master()}:{REST_PORT}"),
        "prism": lambda: print(prism_program()),
        "fetch": fetch,
    }
    try:
        with _alone():
            actions[given.command]()
    except ClusterError as error:
        print(f"cluster: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
