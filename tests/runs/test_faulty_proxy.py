"""The proxy between the real client and a storage service, here our own: its faults, and runs through them."""

import http.client
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.fake_faults import Faults
from tests.support.fake_gcs import FakeGcs
from tests.support.faulty_proxy import FaultyProxy
from tests.support.gcs_runs import check_a_run_through_faults, served_by
from tests.support.storage_contract import Place, StorageContract

READ = "GET", "/download/storage/v1/b/data/o/a.png?alt=media"
WRITE = "PUT", "/upload/storage/v1/b/data/o?upload_id=1"
DATA = b"what is stored"
# Without `altered`: that a large stream was altered shows only at its end, which is too late for some promises.
KINDS = ("429", "500", "503", "reset", "truncated", "lost")


@pytest.fixture
def fake() -> Iterator[FakeGcs]:
    with FakeGcs() as server:
        server.service.buckets["data"] = {}
        server.service.store("data", "a.png", DATA)
        yield server


@pytest.fixture
def proxy(fake: FakeGcs) -> Iterator[FaultyProxy]:
    with FaultyProxy(fake.url) as server:
        yield server


def ask(proxy: FaultyProxy, fault: str, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
    """A request that meets a fault: its answer's status and body."""
    proxy.faults.plan(fault)
    connection = http.client.HTTPConnection(urlsplit(proxy.url).netloc, timeout=1)
    try:
        connection.request(method, path, body, {"Content-Range": f"bytes 0-{len(body) - 1}/{len(body)}"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize("status", [429, 500, 503, 401, 403])
def test_a_status_comes_in_the_place_of_the_service(proxy: FaultyProxy, fake: FakeGcs, status: int) -> None:
    assert ask(proxy, str(status), *READ)[0] == status
    assert fake.calls == {}


@pytest.mark.parametrize(("fault", "error"), [("reset", ConnectionResetError), ("stall", TimeoutError)])
def test_a_connection_that_breaks_or_stalls_has_done_nothing(
    proxy: FaultyProxy, fake: FakeGcs, fault: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        ask(proxy, fault, *READ)
    assert (fake.calls, proxy.happened) == ({}, {fault: 1})


def test_half_of_an_answer(proxy: FaultyProxy) -> None:
    with pytest.raises(http.client.IncompleteRead) as raised:
        ask(proxy, "truncated", *READ)
    assert raised.value.partial == DATA[: len(DATA) // 2]


def test_one_byte_of_what_is_read_is_altered(proxy: FaultyProxy) -> None:
    status, data = ask(proxy, "altered", *READ)
    assert status == 200
    assert [was != now for was, now in zip(DATA, data, strict=True)].count(True) == 1


def test_one_byte_of_what_is_written_is_altered(proxy: FaultyProxy, fake: FakeGcs) -> None:
    fake.sessions["1"] = ("data", {"name": "b.png"}, {}, b"")
    assert ask(proxy, "altered", *WRITE, DATA)[0] == 200
    stored = fake.service.buckets["data"]["b.png"].data
    assert [was != now for was, now in zip(DATA, stored, strict=True)].count(True) == 1


def test_an_answer_is_lost_after_the_commit(proxy: FaultyProxy, fake: FakeGcs) -> None:
    fake.sessions["1"] = ("data", {"name": "b.png"}, {}, b"")
    with pytest.raises(ConnectionResetError):
        ask(proxy, "lost", *WRITE, DATA)
    assert fake.service.buckets["data"]["b.png"].data == DATA
    assert proxy.happened == {"lost": 1}


@pytest.fixture
def place(fake: FakeGcs) -> Iterator[Place]:
    with FaultyProxy(fake.url, faults=Faults(rate=0.2, kinds=KINDS)) as faulty, served_by(faulty.url) as storage:
        yield Place(storage, "gs://data/run", lambda name, data: fake.service.store("data", f"run/{name}", data))


class TestThroughFaults(StorageContract):
    pass


def test_the_pieces_of_a_large_object_go_through_the_proxy_too(proxy: FaultyProxy, fake: FakeGcs) -> None:
    data = bytes(9 << 20)
    proxy.faults.plan("", "altered")
    with served_by(proxy.url) as storage:
        storage.write("gs://data/large", data, expected=None)
    assert proxy.happened == {"altered up": 1}
    assert fake.service.buckets["data"]["large"].data == data


@pytest.mark.slow
def test_a_run_through_faults_gives_the_same_tree(
    fake: FakeGcs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_a_run_through_faults(fake.url, tmp_path, monkeypatch)
