"""Runs in child processes, forked from one that has imported everything: a start costs milliseconds."""

import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import cache
from multiprocessing.context import ForkServerContext
from pathlib import Path

from tests.support.numpy_engine import main

# Longer than any run here takes on a busy machine; a run that is still there has hung.
PATIENCE = 300.0

Main = Callable[[Sequence[str]], int]


@cache
def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.support.numpy_engine", "tests.support.small_block_scenes"])
    return context


def run_child(
    argv: Sequence[str],
    *,
    log: Path,
    kill_after: float | None = None,
    kill_when: Callable[[], bool] | None = None,
    host: str = "",
    command: Main = main,
) -> int | None:
    """`maskbeam run` with the numpy engine in a process of its own.

    Args:
        argv: The command line.
        log: Gets what the run says.
        kill_after: Seconds until it is killed by SIGKILL.
        kill_when: It is killed once this is true.
        host: The storage service that gs:// means.
        command: The command itself, a function of a module.

    Returns:
        Its exit code; None when it was killed.

    Raises:
        TimeoutError: It has hung.
    """
    child = _context().Process(target=_run, args=(command, list(argv), str(log), host))
    child.start()
    end = time.monotonic() + (PATIENCE if kill_after is None else kill_after)
    is_due = kill_when or (lambda: False)
    while child.is_alive() and time.monotonic() < end and not is_due():
        child.join(0.002 if kill_when else end - time.monotonic())
    if child.is_alive():
        child.kill()
        child.join()
        if kill_after is None and not is_due():
            raise TimeoutError(f"a run still went on after {PATIENCE} s; see {log}")
        return None
    return child.exitcode


def timed_child(argv: Sequence[str], *, log: Path, host: str = "") -> tuple[int | None, float]:
    """As `run_child`, with the seconds that it took."""
    start = time.monotonic()
    return run_child(argv, log=log, host=host), time.monotonic() - start


def _run(command: Main, argv: list[str], log: str, host: str) -> None:
    if host:
        os.environ["STORAGE_EMULATOR_HOST"] = host
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.exit(command(argv))
