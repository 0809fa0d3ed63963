"""Answers that a storage service does not give: what stands in between, altered bytes, no end."""

import gzip
import http.client
import io
import json
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from maskbeam.pipeline.inputs.containers.example import make_example
from maskbeam.pipeline.inputs.containers.kinds import Kind
from maskbeam.pipeline.inputs.fetch import fetch
from maskbeam.pipeline.inputs.find_inputs import find_inputs
from maskbeam.pipeline.inputs.read import read_chunk, reread
from maskbeam.pipeline.options import ReadOptions
from maskbeam.pipeline.storage import Unavailable, gcs_connection, gcs_listing
from maskbeam.pipeline.storage.gcs_connection import bounded
from maskbeam.pipeline.storage.gcs_storage import GcsStorage
from maskbeam.pipeline.storage.retry import Attempt, RetryPolicy, UnfitAnswerError
from maskbeam.transforms.elements import Chunk, EncodedImage, Entry, Source
from tests.support import fake_gcs
from tests.support.elements import encoded_image
from tests.support.fake_gcs import FakeGcs
from tests.support.faulty_http import Answer
from tests.support.gcs_runs import served_by
from tests.support.shard_files import examples, png, write_shard

URI = "gs://data/in/Jane Doe"
DATA = random.Random(0).randbytes(1000)
POLICY = RetryPolicy(first_pause=0.0, attempts=3)
Change = Callable[[Answer], Answer]
PORTAL = b"<html><body>Please log in</body></html>"


@pytest.fixture
def fake() -> Iterator[FakeGcs]:
    with FakeGcs() as server:
        server.service.buckets["data"] = {}
        server.service.store("data", "in/Jane Doe", DATA)
        yield server


@pytest.fixture
def storage(fake: FakeGcs) -> Iterator[GcsStorage]:
    with served_by(fake.url, POLICY) as found:
        yield found


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Callable[[Change, int], None]:
    """Has the next answers changed."""
    carry_out = fake_gcs._Handler.carry_out

    def change_next(change: Change, times: int) -> None:
        left = [times]

        def changed(self: Any, body: bytes) -> Answer:
            answer = carry_out(self, body)
            left[0] -= 1
            return change(answer) if left[0] >= 0 else answer

        monkeypatch.setattr(fake_gcs._Handler, "carry_out", changed)

    return change_next


def without(name: str) -> Change:
    def change(answer: Answer) -> Answer:
        flipped = bytes([answer[2][0] ^ 0x20]) + answer[2][1:]
        return answer[0], {key: value for key, value in answer[1].items() if key != name}, flipped

    return change


def other_part(answer: Answer) -> Answer:
    return answer[0], answer[1] | {"Content-Range": "bytes 1-64/1000"}, DATA[1:65]


CHANGES: dict[str, Change] = {
    "an empty body": lambda answer: (200, {}, b""),
    "no content": lambda answer: (204, {}, b""),
    "an empty part": lambda answer: (answer[0], answer[1], b""),
    "a login page": lambda answer: (200, {"Content-Type": "text/html"}, PORTAL),
    "other JSON": lambda answer: (200, {}, b"{}"),
    "a list": lambda answer: (200, {}, b"[1]"),
    "without a checksum": without("X-Goog-Hash"),
    "without a generation": without("X-Goog-Generation"),
    "redirects": lambda answer: (302, {"Location": "/storage/v1/b/data"}, b""),
    "redirects to nowhere": lambda answer: (302, {"Location": "nowhere:///"}, b""),
    "another part": other_part,
    "more than was asked for": lambda answer: (answer[0], answer[1], answer[2] + b"!"),
    "the whole for a part": lambda answer: (200, answer[1], DATA),
}
OPERATIONS: dict[str, Callable[[GcsStorage], object]] = {
    "read": lambda storage: storage.read(URI),
    "first bytes": lambda storage: storage.read(URI, limit=64),
    "more than all": lambda storage: storage.read(URI, limit=2000),
    "stream": lambda storage: storage.open(URI).read(),
    "part": lambda storage: storage.open(URI, start=100, end=200).read(),
    "stat": lambda storage: storage.stat(URI),
    "list": lambda storage: list(storage.list("gs://data/in/")),
    "look up": lambda storage: storage.look_up([URI, *(f"gs://data/in/{i}" for i in range(20))]),
}


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("change", CHANGES)
def test_what_is_no_answer_of_the_service_is_asked_for_again_and_never_taken(
    storage: GcsStorage, answers: Callable[[Change, int], None], name: str, change: str
) -> None:
    truth = OPERATIONS[name](storage)
    answers(CHANGES[change], 1)
    assert OPERATIONS[name](storage) == truth
    answers(CHANGES[change], 1000)
    with suppress(Unavailable):
        assert OPERATIONS[name](storage) == truth


@pytest.mark.parametrize("name", ["read", "first bytes", "stream", "part"])
def test_a_false_end_is_asked_about(storage: GcsStorage, answers: Callable[[Change, int], None], name: str) -> None:
    truth = OPERATIONS[name](storage)
    answers(lambda answer: (416, {}, b"{}"), 1)
    assert OPERATIONS[name](storage) == truth
    answers(lambda answer: (416, {}, b"{}") if "X-Goog-Hash" in answer[1] else answer, 1000)
    with pytest.raises(Unavailable, match="nothing where an object has bytes"):
        OPERATIONS[name](storage)


def test_behind_its_end_an_object_has_nothing(fake: FakeGcs, storage: GcsStorage) -> None:
    fake.service.store("data", "empty", b"")
    assert storage.read("gs://data/empty", limit=64) == storage.read("gs://data/empty") == b""
    assert storage.open(URI, start=1000, end=2000).read() == storage.open(URI, start=1001).read() == b""


def test_a_login_page_is_named(storage: GcsStorage, answers: Callable[[Change, int], None]) -> None:
    answers(CHANGES["a login page"], 1000)
    with pytest.raises(
        Unavailable, match=r"status 200 \(text/html\) to a question for a part.*login page or a proxy"
    ):
        storage.read(URI, limit=64)
    with pytest.raises(Unavailable, match=r"something else than JSON; is there a login page"):
        storage.stat(URI)
    answers(CHANGES["redirects"], 1000)
    with pytest.raises(Unavailable, match=r"one redirect after another; is there a login page"):
        storage.read(URI)


@pytest.mark.parametrize("size", [100, 400_000])
def test_one_altered_byte_of_a_first_look_loses_no_input(
    fake: FakeGcs, storage: GcsStorage, answers: Callable[[Change, int], None], size: int
) -> None:
    fake.service.buckets["data"].clear()
    fake.service.store("data", "in/image", png() + bytes(size))

    def altered(answer: Answer) -> Answer:
        return answer[0], answer[1], bytes([answer[2][0] ^ 1]) + answer[2][1:]

    answers(lambda answer: altered(answer) if answer[0] == 206 else answer, 2)
    assert [found.entry.uri for found in find_inputs("gs://data/in/", ReadOptions())] == ["gs://data/in/image"]


@pytest.mark.parametrize("looks", [(1,), (2,)])
def test_one_altered_byte_of_any_look_leaves_out_no_compressed_shard(
    fake: FakeGcs, storage: GcsStorage, answers: Callable[[Change, int], None], tmp_path: Path, looks: tuple[int, ...]
) -> None:
    shard = write_shard(tmp_path / "a", [make_example({"image/encoded": random.Random(0).randbytes(300_000)})])
    fake.service.buckets["data"].clear()
    fake.service.store("data", "in/images", gzip.compress(shard.read_bytes()))
    number = count(1)

    def altered(answer: Answer) -> Answer:
        if answer[0] != 206 or next(number) not in looks:
            return answer
        return answer[0], answer[1], bytes([answer[2][0] ^ 1]) + answer[2][1:]

    answers(altered, 1000)
    [found] = find_inputs("gs://data/in/", ReadOptions())
    assert found.kind is Kind.GZIP_SHARD


def test_of_a_listed_file_no_more_is_read_than_it_has(storage: GcsStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []
    usual = fake_gcs._Handler.answer

    def answer(self: Any, status: int, headers: dict[str, str], body: bytes, **more: Any) -> None:
        if sent:
            usual(self, status, headers, body, **more)
            return
        self.send_response(200)
        for key, value in (headers | {"X-Goog-Stored-Content-Length": str(1 << 40), "Connection": "close"}).items():
            self.send_header(key, value)
        self.end_headers()
        self.close_connection = True
        while sum(sent) < 100 << 20:
            self.wfile.write(bytes(1 << 16))
            sent.append(1 << 16)

    listed = storage.stat(URI)
    assert listed
    monkeypatch.setattr(fake_gcs._Handler, "answer", answer)
    found = fetch(encoded_image("a", Source(URI, listed.version), file_size=listed.size))
    assert found.data == DATA
    assert sum(sent) < 50 << 20


class Endless(io.RawIOBase):
    """A socket's stream that gives the same bytes for ever, and counts how often it was asked."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.reads = 0

    def readinto(self, buffer: Any) -> int:
        self.reads += 1
        taken = self.data[: len(buffer)]
        buffer[: len(taken)] = taken
        return len(taken)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def settimeout(self, seconds: float) -> None:
        self.timeout = seconds


@pytest.mark.parametrize("start", [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: "], ids=["body", "header"])
def test_an_answer_that_trickles_comes_to_an_end(monkeypatch: pytest.MonkeyPatch, start: bytes) -> None:
    monkeypatch.setattr(gcs_connection, "time", SimpleNamespace(monotonic=count(step=3).__next__))
    stream = Endless(start)
    with bounded(Attempt(1, timeout=15, patience=30)):
        response = gcs_connection._BoundedResponse(stream)
        response.fp.peek(1)
        stream.data = b"x"
        with pytest.raises(TimeoutError):
            _read_all(response)
    assert stream.reads == 10


def _read_all(response: http.client.HTTPResponse) -> None:
    response.begin()
    response.read(1000)


def test_what_moves_has_more_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gcs_connection, "time", SimpleNamespace(monotonic=count(step=1).__next__))
    stream = Endless(b"HTTP/1.1 200 OK\r\n\r\n" + bytes(1 << 16))
    with bounded(Attempt(1, timeout=15, patience=30)):
        response = gcs_connection._BoundedResponse(stream)
        response.begin()
        assert len(response.read(60 << 20)) == 60 << 20
        with pytest.raises(UnfitAnswerError, match="no end"):
            response.read(60 << 20)


def test_the_client_has_these_connections(
    fake: FakeGcs, storage: GcsStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gcs_connection, "time", SimpleNamespace(monotonic=count(step=100).__next__))
    for operation in OPERATIONS.values():
        with pytest.raises(Unavailable, match="ConnectionError"):
            operation(storage)
    with pytest.raises(Unavailable, match="ConnectionError"):
        storage.write("gs://data/new", DATA, expected=None)


def test_an_answer_without_an_end_is_not_read_on(storage: GcsStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = []

    def answer(self: Any, status: int, headers: dict[str, str], body: bytes, **_: object) -> None:
        self.send_response(status)
        for key, value in (headers | {"Connection": "close"}).items():
            self.send_header(key, value)
        self.end_headers()
        self.close_connection = True
        while True:
            self.wfile.write(bytes(1 << 16))
            sent.append(1 << 16)

    monkeypatch.setattr(fake_gcs._Handler, "answer", answer)
    monkeypatch.setattr(gcs_connection, "_MOST_BYTES", 1 << 20)
    for operation in OPERATIONS.values():
        with pytest.raises(Unavailable):
            operation(storage)
    assert sum(sent) < 200 << 20


OBJECT = {"name": "in/Jane Doe", "size": "1000", "generation": "1"}


@pytest.mark.parametrize(
    "items",
    [
        [OBJECT | {"name": "other/a.png"}], [OBJECT | {"name": ["in/a"]}], [OBJECT | {"name": "in/\ud800"}],
        [OBJECT | {"size": "-5"}], [OBJECT | {"size": "many"}], [OBJECT | {"generation": "x"}], ["in/a"], None,
    ],
)  # fmt: skip
def test_a_page_of_a_listing_that_the_service_does_not_give_is_asked_for_again(
    storage: GcsStorage, answers: Callable[[Change, int], None], items: Any
) -> None:
    right = list(storage.list("gs://data/in/"))
    body = json.dumps({"kind": "storage#objects", "items": items}).encode()
    answers(lambda _: (200, {}, body), 1)
    assert list(storage.list("gs://data/in/")) == right
    answers(lambda _: (200, {}, body), POLICY.attempts)
    with pytest.raises(Unavailable, match="that storage does not give"):
        list(storage.list("gs://data/in/"))


def test_metadata_of_another_object_is_not_taken(storage: GcsStorage, answers: Callable[[Change, int], None]) -> None:
    right = storage.stat(URI)
    answers(lambda _: (200, {}, json.dumps(OBJECT | {"name": "in/Jane Doe 2", "size": "5"}).encode()), 1)
    assert storage.stat(URI) == right


@pytest.mark.parametrize("page", [["in/a"], []], ids=["the same names", "no names"])
def test_pages_that_go_in_circles_end(fake: FakeGcs, storage: GcsStorage, page: list[str]) -> None:
    tokens = count()
    items = [{"name": name, "size": "1", "generation": "1"} for name in page]

    def listing(*_: object) -> dict[str, Any]:
        return {"kind": "storage#objects", "items": items, "nextPageToken": f"{next(tokens)}" if page else "same"}

    fake.service.list = listing  # type: ignore[method-assign, assignment]
    with pytest.raises(Unavailable, match="goes in circles"):
        list(storage.list("gs://data/in/"))


def test_empty_pages_end_and_a_few_are_passed_over(
    fake: FakeGcs, storage: GcsStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gcs_listing, "_EMPTY_PAGES", 20)
    answered, empty = fake.service.list, [20]

    def listing(bucket: str, query: dict[str, str]) -> dict[str, Any]:
        empty[0] -= 1
        if empty[0] < 0:
            return answered(bucket, {key: value for key, value in query.items() if key != "pageToken"})
        return {"kind": "storage#objects", "nextPageToken": f"{empty[0]}"}

    fake.service.list = listing  # type: ignore[method-assign, assignment]
    assert [found.uri for found in storage.list("gs://data/in/")] == [URI]
    empty[0] = 20
    assert [found.uri for found in storage.list("gs://data/in")] == [URI]  # asks first what is below the name
    empty[0] = 22
    with pytest.raises(Unavailable, match="goes in circles"):
        list(storage.list("gs://data/in/"))


def test_one_altered_byte_of_a_first_look_makes_no_compressed_shard_a_plain_one(
    fake: FakeGcs, storage: GcsStorage, answers: Callable[[Change, int], None], tmp_path: Path
) -> None:
    shard = write_shard(tmp_path / "a", [*examples(3), make_example({"image/encoded": bytes(DATA)})], compress=True)
    fake.service.store("data", "shard", shard.read_bytes())
    version = storage.stat("gs://data/shard")
    assert version
    chunk = Chunk(shard=Entry("gs://data/shard", 0, version.version))
    images = [found for found in read_chunk(chunk, ReadOptions()) if isinstance(found, EncodedImage)]
    answers(lambda answer: (*answer[:2], b"\0" + answer[2][1:]) if answer[0] == 206 else answer, 1)
    assert reread(images[2].source, ReadOptions()).data == images[2].data
