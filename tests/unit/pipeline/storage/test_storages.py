import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from maskbeam.pipeline.storage import absolute, folder_of, join, open_storage
from maskbeam.pipeline.storage.gcs_client import forget_client
from maskbeam.pipeline.storage.gcs_storage import GcsStorage
from maskbeam.pipeline.storage.local_storage import LocalStorage
from maskbeam.transforms.errors import RunError
from tests.support.fake_gcs import FakeGcs
from tests.support.storage_contract import Place, StorageContract


@pytest.fixture(params=["local", "staged", "gs"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    if request.param != "gs":
        staging = str(tmp_path / ".tmp" / "run") if request.param == "staged" else None
        root = tmp_path / "root"

        def put(name: str, data: bytes) -> None:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(data)

        yield Place(open_storage(str(root), staging=staging), str(root), put)
        assert not list(tmp_path.rglob(".????????????????????????"))
        return
    with FakeGcs() as fake:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", fake.url)
        fake.service.buckets["bucket"] = {}
        storage = open_storage("gs://bucket")
        yield Place(
            storage, "gs://bucket/root", lambda name, data: fake.service.store("bucket", f"root/{name}", data)
        )
        forget_client()


class TestStorage(StorageContract):
    pass


def test_the_uri_chooses_the_storage() -> None:
    assert open_storage("gs://bucket/x") == GcsStorage()
    assert open_storage("some/folder", staging="/tmp/x") == LocalStorage("/tmp/x")
    with pytest.raises(RunError, match=r"s3:// is not supported.*gs://bucket"):
        open_storage("s3://bucket/x")


def test_a_gs_uri_needs_a_bucket() -> None:
    with pytest.raises(RunError, match="names no bucket"):
        list(open_storage("gs://").list("gs:///x"))


@pytest.mark.parametrize("root", ["/out", "/out/", "gs://bucket/out"])
def test_join_goes_below_the_root(root: str) -> None:
    for relative in ("a.png", "a/b c.png", "ü/[1]*?.png", "..a", "a..", "...", "aC:/x"):
        assert join(root, relative) == root.rstrip("/") + "/" + relative


@pytest.mark.parametrize(
    "relative",
    [
        "",
        "..",
        ".",
        "../x",
        "a/../b",
        "a/..",
        "/etc/x",
        "a//b",
        "a/",
        "a/./b",
        "C:/x",
        "c:x",
        "a\\b",
        "..\\x",
        "a\0b",
    ],
)
def test_join_refuses_what_could_leave_the_root(relative: str) -> None:
    with pytest.raises(ValueError, match="not plainly below its root"):
        join("/out", relative)


def test_paths_read_the_same_from_any_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.png").write_bytes(b"1")
    monkeypatch.chdir(tmp_path)
    assert [found.uri for found in open_storage("a").list("./a/*.png")] == [f"{tmp_path}/a/b.png"]
    assert absolute("a/") == f"{tmp_path}/a/"
    assert absolute("/") == "/"
    assert absolute("gs://bucket/../a//b") == "gs://bucket/../a//b"


@pytest.mark.parametrize(
    "uri", ["s3://bucket/out", "file:///out", "http://x/y", "s3:/bucket/out", "gs:/b/x", "gs://"]
)
def test_what_is_no_path_is_not_made_one(uri: str) -> None:
    with pytest.raises(RunError, match=r"gs://bucket/path"):
        absolute(uri)


def test_folders_of_files() -> None:
    assert [folder_of(uri) for uri in ("/a", "/a/b", "gs://bucket/a/b")] == ["/", "/a", "gs://bucket/a"]


def test_storage_is_light_to_import() -> None:
    program = (
        "import json, sys, maskbeam.pipeline.storage, maskbeam.pipeline.storage.local_storage; "
        "print(json.dumps(sorted(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    heavy = {"google.cloud.storage", "requests", "numpy", "apache_beam", "tensorflow"}
    assert not heavy & set(json.loads(ran.stdout))
