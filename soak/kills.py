"""SIGKILL at random moments, then the same command again: not one byte of the output may differ."""

import os
import random
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from maskbeam.pipeline.storage.gcs_client import forget_client
from maskbeam.pipeline.storage.gcs_storage import GcsStorage
from soak.children import run_child, timed_child
from soak.inputs import draw_inputs
from tests.support.numpy_engine import command
from tests.support.small_block_scenes import command_of, draw_scenes, main_in_small_blocks
from tests.support.trees import differing, tree_of

FLAGS = ("--products", "all", "--max_failures", "100%")
# A scene, and into how many blocks it is divided.
SCENE, BLOCKS = (120, 150), 29


def kill_local(count: int, seed: int, folder: Path) -> int:
    """Kills `count` runs on local files, each in an output of its own; returns how many of them died half way."""
    patterns = draw_inputs(folder / "in")
    log = folder / "log"
    seconds = _seconds(
        command(patterns, str(folder / "whole"), *FLAGS), command(patterns, str(folder / "second"), *FLAGS), log
    )
    expected, died = tree_of(folder / "whole"), 0
    for number in range(count):
        out = folder / f"out{number}"
        died += _kill(command(patterns, str(out), *FLAGS), random.Random(f"{seed} {number}"), seconds, log)
        assert (found := differing(expected, tree_of(out))) == [], f"kill {number}: {found[:5]}; see {log}"
        shutil.rmtree(out)
    return died


def kill_scenes(count: int, seed: int, folder: Path) -> int:
    """Kills `count` runs within a scene of many blocks, each at a drawn block; returns how many of them died."""
    inputs, log = draw_scenes(folder / "in", 1, SCENE), folder / "log"
    run = partial(run_child, log=log, command=main_in_small_blocks)
    assert run(command_of(inputs, str(folder / "whole"))) == 0, log.read_text()
    expected, died = tree_of(folder / "whole"), 0
    for number in range(count):
        out = folder / f"out{number}"
        enough = random.Random(f"{seed} {number}").randrange(1, BLOCKS)
        died += run(command_of(inputs, str(out)), kill_when=partial(_has_blocks, out, enough)) is None
        code = run(command_of(inputs, str(out)))
        assert code == 0, f"exit code {code}; see {log}"
        assert (found := differing(expected, tree_of(out))) == [], f"kill {number}: {found[:5]}; see {log}"
        shutil.rmtree(out)
    return died


def _has_blocks(out: Path, count: int) -> bool:
    return sum(1 for _ in (out / ".blocks").rglob("*.png")) >= count


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


def _seconds(whole: list[str], second: list[str], log: Path, host: str = "") -> float:
    """Runs both commands; how long the second one took, when nothing had to be started first."""
    codes = run_child(whole, log=log, host=host), timed_child(second, log=log, host=host)
    assert (codes[0], codes[1][0]) == (0, 0), log.read_text()
    return codes[1][1]


def _kill(argv: list[str], chance: random.Random, seconds: float, log: Path, host: str = "") -> bool:
    """Kills a run once to three times, then lets it end; whether it ever died half way."""
    died = False
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        died |= run_child(argv, log=log, kill_after=chance.uniform(0.02, seconds), host=host) is None
    code = run_child(argv, log=log, host=host)
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
