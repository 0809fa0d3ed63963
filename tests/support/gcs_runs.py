"""Whole runs on a storage service, with and without faults on the way to it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from maskbeam.pipeline.storage import gcs_storage
from maskbeam.pipeline.storage.gcs_client import forget_client
from maskbeam.pipeline.storage.gcs_storage import GcsStorage
from maskbeam.pipeline.storage.retry import RetryPolicy
from soak.inputs import draw_inputs
from tests.support.fake_faults import TRANSIENT, Faults
from tests.support.faulty_proxy import FaultyProxy
from tests.support.numpy_engine import command, run_numpy
from tests.support.trees import differing

FLAGS = ("--products", "all", "--max_failures", "100%")
RATE = 0.2
# Most requests read what is small or ask what is there: what only happens to the others is drawn more often, and
# stalls, which take their time, less often.
KINDS = (*TRANSIENT, *(kind for kind in TRANSIENT if kind != "stall"), "lost", "lost", "altered")
HASTY = RetryPolicy(first_pause=0.01, longest_pause=0.1)
# Where there are stalls: the servers are on this machine, so that no answer takes that long, a busy machine's either;
# and one that did would be asked for again.
IMPATIENT = replace(HASTY, stall=1.5)


@contextmanager
def served_by(url: str, policy: RetryPolicy = HASTY) -> Iterator[GcsStorage]:
    """Within this context gs:// means the service at `url`; yields it with that policy."""
    before = os.environ.get("STORAGE_EMULATOR_HOST")
    os.environ["STORAGE_EMULATOR_HOST"] = url
    try:
        yield GcsStorage(policy)
    finally:
        forget_client()
        os.environ.pop("STORAGE_EMULATOR_HOST")
        os.environ.update({} if before is None else {"STORAGE_EMULATOR_HOST": before})


def check_a_run_through_faults(url: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs twice over the same objects of the bucket `data`: one request in five fails in the second run.

    The trees must be the same, and faults of every kind must have happened.
    """
    # Jobs are sent to workers with this storage's name, never with the storage.
    monkeypatch.setattr(gcs_storage, "GcsStorage", partial(GcsStorage, IMPATIENT))
    draw_inputs(folder, images=16)
    with served_by(url) as storage:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            storage.write(f"gs://data/in/{path.relative_to(folder)}", path.read_bytes(), expected=None)
        assert run_numpy(_command("plain")) == 0
    with FaultyProxy(url, faults=Faults(rate=RATE, kinds=KINDS, seed=2)) as proxy, served_by(proxy.url):
        assert run_numpy(_command("faulty")) == 0
    with served_by(url) as storage:
        assert differing(objects(storage, "plain"), objects(storage, "faulty")) == []
    kinds = {*TRANSIENT, "altered up", "altered down"} - {"altered"}
    assert [kind for kind in kinds if not proxy.happened[kind]] == []


def _command(output: str) -> list[str]:
    return command(["gs://data/in/images/", "gs://data/in/shards/*"], f"gs://data/{output}", *FLAGS)


def objects(storage: GcsStorage, output: str) -> dict[str, bytes]:
    """All objects of a finished output in the bucket `data`, without what belongs to single runs."""
    root = f"gs://data/{output}/"
    below = [listed.uri.removeprefix(root) for listed in storage.list(root)]
    found = {path: storage.read(root + path) for path in [*below, ".job.json"] if not path.startswith("runs/")}
    assert "_SUCCESS" in found
    return found
