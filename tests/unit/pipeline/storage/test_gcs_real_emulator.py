"""The same contract against fake-gcs-server, which others wrote, also with faults on the way to it; and a whole run.

`deploy/fake-gcs/run.sh` builds the server and runs this.
"""

import os
import shutil
import socket
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from tests.runs.test_faulty_proxy import KINDS
from tests.support.fake_faults import TRANSIENT, Faults
from tests.support.faulty_proxy import FaultyProxy
from tests.support.gcs_runs import IMPATIENT, check_a_run_through_faults, served_by
from tests.support.gcs_scenes import (
    check_a_killed_run_goes_on,
    check_an_object_that_changes,
    check_scenes_through_faults,
    check_the_same_as_at_hand,
)
from tests.support.storage_contract import Place, StorageContract

WITHOUT_DAMAGE = tuple(kind for kind in KINDS if kind not in ("altered", "lost", "truncated"))
SERVER = shutil.which(os.environ.get("FAKE_GCS_SERVER", "fake-gcs-server"))

pytestmark = [
    pytest.mark.gcs,
    pytest.mark.skipif(SERVER is None, reason="fake-gcs-server is not installed: deploy/fake-gcs/run.sh installs it"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("fake-gcs") / "log"
    options = ["-backend", "memory", "-scheme", "http", "-host", "127.0.0.1", "-port", str(port)]
    options += [
        "-public-host",
        f"127.0.0.1:{port}",
        "-external-url",
        f"http://127.0.0.1:{port}",
        "-log-level",
        "error",
    ]
    with log.open("wb") as output, subprocess.Popen([str(SERVER), *options], stdout=output, stderr=output) as process:
        try:
            yield _ready(f"http://127.0.0.1:{port}", process, log)
        finally:
            process.terminate()


def _ready(url: str, process: subprocess.Popen[bytes], log: Path) -> str:
    while process.poll() is None:
        try:
            for bucket in ("bucket", "data"):
                requests.post(f"{url}/storage/v1/b", json={"name": bucket}, timeout=10).raise_for_status()
        except requests.ConnectionError:
            continue
        return url
    raise AssertionError(f"fake-gcs-server ended: {log.read_text()}")


@contextmanager
def place_at(server: str, url: str) -> Iterator[Place]:
    """An empty folder on the server, which our storage reaches by `url` and others directly."""
    root = uuid.uuid4().hex

    def put(name: str, data: bytes) -> None:
        query = {"uploadType": "media", "name": f"{root}/{name}"}
        requests.post(f"{server}/upload/storage/v1/b/bucket/o", data, params=query, timeout=60).raise_for_status()

    with served_by(url) as storage:
        # The server takes any ifGenerationMatch for a delete.
        yield Place(storage, f"gs://bucket/{root}", put, checks_deletes=False)


class TestFakeGcsServer(StorageContract):
    @pytest.fixture
    def place(self, server: str) -> Iterator[Place]:
        with place_at(server, server) as place:
            yield place


class TestFakeGcsServerThroughFaults(StorageContract):
    @pytest.fixture
    def place(self, server: str, request: pytest.FixtureRequest) -> Iterator[Place]:
        # After the first piece of a file the server forgets which checksum was declared, and stores what was altered.
        kinds = WITHOUT_DAMAGE if "file" in request.function.__name__ else KINDS
        with FaultyProxy(server, faults=Faults(rate=0.2, kinds=kinds)) as proxy, place_at(server, proxy.url) as place:
            yield place


@pytest.mark.parametrize("kind", TRANSIENT)
def test_each_fault_is_survived_both_ways(server: str, kind: str) -> None:
    uri = f"gs://bucket/{uuid.uuid4().hex}"
    with FaultyProxy(server) as proxy, served_by(proxy.url, IMPATIENT) as storage:
        for name, data in (("small", b"mask"), ("large", os.urandom(9 << 20))):
            proxy.faults.plan(kind, "", kind)
            version = storage.write(f"{uri}/{name}", data, expected=None)
            proxy.faults.plan(kind)
            assert storage.read(f"{uri}/{name}", version=version) == data
            assert [found.size for found in storage.list(f"{uri}/{name}")] == [len(data)]
    assert proxy.happened.total() >= 4


@pytest.mark.parametrize("kind", TRANSIENT)
def test_each_fault_is_survived_while_a_file_is_sent(server: str, kind: str, tmp_path: Path) -> None:
    uri, path, data = f"gs://bucket/{uuid.uuid4().hex}", tmp_path / "made.tif", os.urandom(20 << 20)
    path.write_bytes(data)
    with FaultyProxy(server) as proxy, served_by(proxy.url, IMPATIENT) as storage:
        for place in range(4):
            proxy.faults.plan(*[""] * place, kind)
            version = storage.write_file(f"{uri}/{place}", str(path), expected=None)
            assert storage.read(f"{uri}/{place}", version=version) == data


SCENE_CHECKS = (
    check_the_same_as_at_hand,
    check_a_killed_run_goes_on,
    check_an_object_that_changes,
    check_scenes_through_faults,
)


@pytest.mark.slow
@pytest.mark.parametrize("check", SCENE_CHECKS)
def test_runs_over_scenes(server: str, tmp_path: Path, check: Callable[[str, Path], None]) -> None:
    check(server, tmp_path)


@pytest.mark.slow
def test_a_run_through_faults_gives_the_same_tree(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_a_run_through_faults(server, tmp_path, monkeypatch)
