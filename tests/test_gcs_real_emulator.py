"""The same contract against fake-gcs-server, which others wrote; `deploy/fake-gcs/run.sh` builds it and runs this."""

import os
import shutil
import socket
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from pipeline.storage import open_storage
from pipeline.storage.gcs_client import client, forget_client
from tests.storage_contract import Place, StorageContract

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
            requests.post(f"{url}/storage/v1/b", json={"name": "bucket"}, timeout=10).raise_for_status()
        except requests.ConnectionError:
            continue
        return url
    raise AssertionError(f"fake-gcs-server ended: {log.read_text()}")


@pytest.fixture
def place(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", server)
    root = uuid.uuid4().hex

    def put(name: str, data: bytes) -> None:
        client().bucket("bucket").blob(f"{root}/{name}").upload_from_string(data)

    # The server takes any ifGenerationMatch for a delete.
    yield Place(open_storage("gs://bucket"), f"gs://bucket/{root}", put, checks_deletes=False)
    forget_client()


class TestFakeGcsServer(StorageContract):
    pass
