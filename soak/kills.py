"""SIGKILL at random moments, then the same command again: not one byte of the output may differ."""

import os
import random
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from maskbeam.pipeline.storage.gcs_client import forget_client
from maskbeam.pipeline.storage.gcs_storage import GcsStorage
from soak.children import Main, run_child, timed_child
from soak.inputs import draw_inputs
from tests.support.numpy_engine import command, main
from tests.support.small_block_scenes import command_of, draw_scenes, main_in_small_blocks
from tests.support.trees import differing, tree_of

FLAGS = ("--products", "all", "--max_failures", "100%")


def kill_local(count: int, seed: int, folder: Path) -> int:
    """Kills `count` runs on local files, each in an output of its own; returns how many of them died half way."""
    patterns = draw_inputs(folder / "in")
    return _kill_on_disk(count, seed, folder, lambda out: command(patterns, str(out), *FLAGS), main)


def kill_scenes(count: int, seed: int, folder: Path) -> int:
    """The same within scenes of many blocks, all of which are gone afterwards."""
    inputs = draw_scenes(folder / "in", 2, (120, 150))
    return _kill_on_disk(count, seed, folder, lambda out: command_of(inputs, str(out)), main_in_small_blocks)


def _kill_on_disk(count: int, seed: int, folder: Path, argv_of: Callable[[Path], list[str]], main: Main) -> int:
    log = folder / "log"
    seconds = _seconds(argv_of(folder / "whole"), argv_of(folder / "second"), log, main=main)
    expected, died = tree_of(folder / "whole"), 0
    for number in range(count):
        out = folder / f"out{number}"
        died += _kill(argv_of(out), random.Random(f"{seed} {number}"), seconds, log, main=main)
        assert (found := differing(expected, tree_of(out))) == [], f"kill {number}: {found[:5]}; see {log}"
        shutil.rmtree(out)
    return died


def kill_gcs(count: int, seed: int, folder: Path) -> int:
    """The same on objects, served by a process of its own."""
    draw_inputs(folder / "local")
    log = folder / "log"
    with emulator() as host:
        patterns = upload(folder / "local", host)
        seconds = _seconds(
            command(patterns, "gs://data/whole", *FLAGS),
            command(patterns, "gs://data/second", *FLAGS),
            log,
            host=host,
        )
        expected, died = objects("whole", host), 0
        for number in range(count):
            out = f"out{number}"
            argv = command(patterns, f"gs://data/{out}", *FLAGS)
            died += _kill(argv, random.Random(f"{seed} gs {number}"), seconds, log, host=host)
            assert (found := differing(expected, objects(out, host))) == [], f"kill {number}: {found[:5]}; see {log}"
    return died


def _seconds(whole: list[str], second: list[str], log: Path, host: str = "", main: Main = main) -> float:
    """Runs both commands; how long the second one took, when nothing had to be started first."""
    codes = run_child(whole, log=log, host=host, command=main), timed_child(second, log=log, host=host, command=main)
    assert (codes[0], codes[1][0]) == (0, 0), log.read_text()
    return codes[1][1]


def _kill(
    argv: list[str], chance: random.Random, seconds: float, log: Path, host: str = "", main: Main = main
) -> bool:
    """Kills a run once to three times, then lets it end; whether it ever died half way."""
    died = False
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        after = chance.uniform(0.02, seconds)
        died |= run_child(argv, log=log, kill_after=after, host=host, command=main) is None
    code = run_child(argv, log=log, host=host, command=main)
    assert code == 0, f"exit code {code}; see {log}"
    return died


@contextmanager
def emulator(*, rate: float = 0.0, seed: int = 0, kinds: Sequence[str] = ()) -> Iterator[str]:
    """A storage service in a process of its own; yields its URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    argv = [
        sys.executable,
        "-m",
        "tests.support.fake_gcs",
        "--port",
        str(port),
        "--rate",
        str(rate),
        "--seed",
        str(seed),
    ]
    argv += ["--kinds", *kinds] if kinds else []
    process = subprocess.Popen(argv)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(url)
        yield url
    finally:
        process.kill()
        process.wait()


def _wait_for(url: str) -> None:
    for _ in range(200):
        try:
            urllib.request.urlopen(f"{url}/storage/v1/b/data", timeout=5).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError("the storage service did not start")


def upload(folder: Path, host: str) -> list[str]:
    """Puts a folder's files into the service; returns the patterns that mean them."""
    with _storage(host) as storage:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                storage.write(f"gs://data/in/{path.relative_to(folder)}", path.read_bytes(), expected=None)
    return ["gs://data/in/images/", "gs://data/in/shards/*"]


def objects(name: str, host: str) -> dict[str, bytes]:
    """All objects of an output by path, without what belongs to single runs."""
    with _storage(host) as storage:
        root = f"gs://data/{name}/"
        below = {listed.uri.removeprefix(root): listed.uri for listed in storage.list(root)}
        below |= {hidden: root + hidden for hidden in (".job.json", ".lock.json") if storage.stat(root + hidden)}
        return {path: storage.read(uri) for path, uri in below.items() if not path.startswith("runs/")}


@contextmanager
def _storage(host: str) -> Iterator[GcsStorage]:
    before = dict(os.environ)
    os.environ["STORAGE_EMULATOR_HOST"] = host
    try:
        yield GcsStorage()
    finally:
        forget_client()
        os.environ.clear()
        os.environ.update(before)
