"""Storage that fails: one call in five on objects, now and then on local files; the tree must be the same."""

import shutil
from pathlib import Path
from typing import Any

from soak.children import run_child
from soak.inputs import draw_inputs
from soak.kills import FLAGS, emulator, objects, upload
from tests.support.fake_faults import TRANSIENT
from tests.support.numpy_engine import command
from tests.support.trees import differing

RATE = 0.2
# A stall takes a quarter of a minute to be noticed, so that stalls are left to the tests of the client.
KINDS = tuple(kind for kind in TRANSIENT if kind != "stall")
# A storage that keeps failing ends a run within its limits: the same command goes on, as a person would.
TRIES = 3


def fail_calls(count: int, seed: int, folder: Path) -> int:
    """Runs `count` times against a service that fails one request in five; returns how often a run gave up."""
    draw_inputs(folder / "local")
    log = folder / "log"
    with emulator() as host:
        patterns = upload(folder / "local", host)
        assert run_child(command(patterns, "gs://data/out", *FLAGS), log=log, host=host) == 0
        expected = objects("out", host)
    gave_up = 0
    for number in range(count):
        with emulator(rate=RATE, seed=seed + number, kinds=KINDS) as host:
            patterns = upload(folder / "local", host)
            argv = command(patterns, "gs://data/out", *FLAGS)
            codes: list[Any] = []
            while len(codes) < TRIES and 0 not in codes:
                codes.append(run_child(argv, log=log, host=host))
            assert codes[-1] == 0, f"exit codes {codes}; see {log}"
            gave_up += len(codes) - 1
            found = differing(expected, objects("out", host))
        assert found == [], f"round {number}: {found[:5]}; see {log}"
    shutil.rmtree(folder / "local")
    return gave_up
