import random
import socket
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskbeam.pipeline.storage import (
    Conflict,
    Denied,
    NotFound,
    Storage,
    Unavailable,
    gcs_listing,
    gcs_storage,
    open_input,
    open_storage,
)
from maskbeam.pipeline.storage.gcs_client import client, forget_client
from maskbeam.pipeline.storage.gcs_download import Part, download
from maskbeam.pipeline.storage.gcs_storage import GcsStorage
from maskbeam.pipeline.storage.retry import RetryPolicy
from maskbeam.transforms.errors import RunError
from tests.support import fake_gcs
from tests.support.fake_faults import FINAL, TRANSIENT, Faults
from tests.support.fake_gcs import FakeGcs
from tests.support.faulty_http import Answer

URI = "gs://bucket/run/Jane Doe.png"
HASTY = RetryPolicy(first_pause=0.0)
STORAGE = GcsStorage(HASTY)
IMPATIENT = GcsStorage(RetryPolicy(first_pause=0.0, stall=0.2))
MADE = Path(tempfile.mkdtemp(), "made.tif")
LARGE = random.Random(0).randbytes(9 << 20)  # above 8 MiB the client uploads in two requests


@pytest.fixture(autouse=True, scope="module")
def made() -> Iterator[Path]:
    """A file of three pieces."""
    MADE.write_bytes(LARGE + LARGE)
    yield MADE
    MADE.unlink()
    MADE.parent.rmdir()


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGcs]:
    with FakeGcs() as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        server.service.buckets["bucket"] = {}
        yield server
        forget_client()


def test_one_request_for_each_object_each_way(fake: FakeGcs) -> None:
    version = STORAGE.write(URI, b"mask", expected=None, metadata={"done": "yes"})
    assert fake.calls == {"upload": 1}
    assert STORAGE.read(URI) == STORAGE.read(URI, version=version) == b"mask"
    assert STORAGE.read_versioned(URI) == (b"mask", version)
    assert STORAGE.read(URI, limit=2) == b"ma"
    assert STORAGE.open(URI).read() == b"mask"
    assert fake.calls == {"upload": 1, "download": 5}
    STORAGE.write(URI, b"mask 2", expected=version)
    STORAGE.stat(URI)
    STORAGE.delete(URI)
    assert fake.calls == {"upload": 2, "download": 5, "metadata": 1, "delete": 1}


def test_listings_carry_the_metadata(fake: FakeGcs) -> None:
    STORAGE.write(URI, b"mask", expected=None, metadata={"maskbeam": "{}", "ü": "ñ"})
    assert [found.metadata for found in STORAGE.list("gs://bucket/run/")] == [{"maskbeam": "{}", "ü": "ñ"}]


def test_pages_of_a_listing_come_one_by_one(fake: FakeGcs) -> None:
    for i in range(2500):
        fake.service.store("bucket", f"in/{i:05d}.png", b"")
    listing = STORAGE.list("gs://bucket/in/*.png")
    assert [found.uri[-9:] for found in islice(listing, 1000)] == [f"{i:05d}.png" for i in range(1000)]
    assert fake.calls["list"] == 1
    assert sum(1 for _ in listing) == 1500
    assert fake.calls == {"list": 3}


def test_only_what_a_pattern_can_match_is_asked_for(fake: FakeGcs) -> None:
    for i in range(3000):
        fake.service.store("bucket", f"in/deep/{i}.png", b"")
        fake.service.store("bucket", f"other/{i}.png", b"")
    fake.service.store("bucket", "in/a.png", b"")
    assert [found.uri for found in STORAGE.list("gs://bucket/in/*.png")] == ["gs://bucket/in/a.png"]
    assert fake.calls == {"list": 1}


def test_placeholders_of_folders_are_no_files(fake: FakeGcs) -> None:
    for name in ("in/", "in/deep/", "in/deep/a.png", "in//b.png"):
        fake.service.store("bucket", name, b"")
    fake.service.store("bucket", "in/full/", b"not empty")
    assert [found.uri[12:] for found in STORAGE.list("gs://bucket/in")] == ["in//b.png", "in/deep/a.png", "in/full/"]


def test_a_whole_bucket(fake: FakeGcs) -> None:
    fake.service.store("bucket", "a.png", b"")
    for pattern in ("gs://bucket", "gs://bucket/", "gs://bucket/*", "gs://bucket/**"):
        assert [found.uri for found in STORAGE.list(pattern)] == ["gs://bucket/a.png"]


def test_a_page_tells_of_a_thousand_names(fake: FakeGcs) -> None:
    for i in range(0, 5000, 2):
        fake.service.store("bucket", f"in/{i:05d}.png", b"")
    uris = [f"gs://bucket/in/{i:05d}.png" for i in range(1000, 2000)]
    told = STORAGE.look_up(uris[::-1])
    assert [uri for uri in uris if told[uri] is None] == uris[1::2]
    assert fake.calls == {"list": 1}


@pytest.mark.parametrize(("step", "lists", "told"), [(1, 1, 200), (50, 10, 200), (200, 3, 15)])
def test_names_that_lie_far_apart_are_given_up(fake: FakeGcs, step: int, lists: int, told: int) -> None:
    for i in range(200 * step):
        fake.service.store("bucket", f"in/{i:05d}.png", b"")
    found = STORAGE.look_up([f"gs://bucket/in/{i:05d}.png" for i in range(0, 200 * step, step)])
    assert (fake.calls["list"], len(found)) == (lists, told)
    assert all(found.values())


def test_a_few_stragglers_spoil_no_look_up(fake: FakeGcs) -> None:
    for i in range(4000):
        fake.service.store("bucket", f"in/{i:05d}.png", b"")
    uris = [f"gs://bucket/in/{i:05d}.png" for i in (*range(5), *range(2500, 3495))]
    assert len(STORAGE.look_up(uris)) == 1000
    assert fake.calls == {"list": 2}


def test_few_names_are_not_worth_a_page(fake: FakeGcs) -> None:
    fake.service.store("bucket", "in/0.png", b"")
    assert STORAGE.look_up([f"gs://bucket/in/{i}.png" for i in range(11)]) == {}
    assert fake.calls == {}


NAMES = st.sets(st.text("ab!.é𝄞", min_size=1, max_size=4))


def test_whatever_a_look_up_tells_is_true(fake: FakeGcs, monkeypatch: pytest.MonkeyPatch) -> None:
    @settings(max_examples=100, deadline=None)
    @given(stored=NAMES, asked=NAMES, page=st.integers(1, 5), worth=st.integers(1, 3))
    def holds(stored: set[str], asked: set[str], page: int, worth: int) -> None:
        monkeypatch.setattr(gcs_listing, "_PAGE", page)
        monkeypatch.setattr(gcs_listing, "_PAGE_WORTH", worth)
        fake.service.buckets["bucket"].clear()
        fake.calls.clear()
        for name in stored:
            fake.service.store("bucket", name, b"")
        told = STORAGE.look_up([f"gs://bucket/{name}" for name in asked])
        assert {uri[12:] for uri, found in told.items() if found} == stored & {uri[12:] for uri in told}
        assert all(found is None or found.uri == uri for uri, found in told.items())
        assert fake.calls["list"] <= 3 + len(told) / worth
        assert worth > 1 or len(told) == len(asked)

    holds()


OPERATIONS: dict[str, Callable[[Storage], object]] = {
    "create": lambda storage: storage.write("gs://bucket/new.png", b"new", expected=None),
    "create large": lambda storage: storage.write("gs://bucket/large.bin", LARGE, expected=None),
    "create of a file": lambda storage: storage.write_file("gs://bucket/made.tif", str(MADE), expected=None),
    "read": lambda storage: storage.read(URI),
    "first bytes": lambda storage: storage.read(URI, limit=100),
    "stream": lambda storage: storage.open(URI).read(),
    "stat": lambda storage: storage.stat(URI),
    "list": lambda storage: list(storage.list("gs://bucket/run")),
    "look up": lambda storage: storage.look_up([URI, *(f"gs://bucket/run/{i}.png" for i in range(20))]),
    "delete": lambda storage: storage.delete(URI),
}


def contents(fake: FakeGcs) -> dict[str, bytes]:
    return {name: stored.data for name, stored in fake.service.buckets["bucket"].items()}


@pytest.mark.parametrize("kind", TRANSIENT)
@pytest.mark.parametrize("name", OPERATIONS)
def test_transient_faults_change_nothing(fake: FakeGcs, name: str, kind: str) -> None:
    def run(*faults: str) -> tuple[object, dict[str, bytes]]:
        fake.service.buckets["bucket"].clear()
        fake.service.store("bucket", "run/Jane Doe.png", b"mask")
        fake.faults.plan(*faults)
        result = OPERATIONS[name](IMPATIENT if kind == "stall" else STORAGE)
        return None if "create" in name else str(result)[:40], contents(fake)

    assert run(kind, "", kind) == run()
    assert fake.faults.injected[kind] >= 1


@pytest.mark.parametrize("kind", FINAL)
@pytest.mark.parametrize("name", OPERATIONS)
def test_refusals_are_not_tried_again(fake: FakeGcs, name: str, kind: str) -> None:
    fake.faults.plan(kind)
    with pytest.raises(Denied, match="gs://bucket") as raised:
        OPERATIONS[name](STORAGE)
    assert fake.calls == {}
    assert "Jane" not in str(raised.value)


def test_a_refusal_says_whom_to_grant_what(fake: FakeGcs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maskbeam.pipeline.storage.gcs_errors.is_anonymous", lambda: False)
    fake.faults.plan("403")
    with pytest.raises(Denied, match=r"grant this account storage\.objects\.create.*Storage Object User"):
        STORAGE.write(URI, b"", expected=None)


def test_an_answer_lost_after_the_commit_is_success_if_the_content_is_ours(fake: FakeGcs) -> None:
    fake.faults.plan("lost")
    version = STORAGE.write(URI, b"ours", expected=None)
    assert STORAGE.read(URI, version=version) == b"ours"
    assert fake.calls["upload"] == 2


@pytest.mark.parametrize("number", [1, 2, 3, 4])
@pytest.mark.parametrize("kind", ["lost", "reset", "503"])
def test_only_the_piece_that_failed_is_sent_again(fake: FakeGcs, kind: str, number: int) -> None:
    """One request begins, three send a piece."""
    fake.faults.plan(*[""] * (number - 1), kind, only="/upload/")
    version = STORAGE.write_file("gs://bucket/made.tif", str(MADE), expected=None)
    assert STORAGE.read_versioned("gs://bucket/made.tif") == (LARGE + LARGE, version)
    # After the last one the object itself says that it is there.
    assert fake.calls["upload"] == 4 + (kind == "lost" and number < 4)


def test_a_service_that_takes_half_a_piece_gets_the_rest(fake: FakeGcs, monkeypatch: pytest.MonkeyPatch) -> None:
    real = fake_gcs._Handler._upload_piece

    def half(self: Any, session: str, piece: bytes) -> Answer:
        span, _, size = self.headers["Content-Range"].removeprefix("bytes ").partition("/")
        first = int(span.partition("-")[0])
        kept = piece[: max(len(piece) // 2, 3 << 20)]
        self.headers.replace_header("Content-Range", f"bytes {first}-{first + len(kept) - 1}/{size}")
        return real(self, session, kept)

    monkeypatch.setattr(fake_gcs._Handler, "_upload_piece", half)
    STORAGE.write_file("gs://bucket/made.tif", str(MADE), expected=None)
    assert contents(fake) == {"made.tif": LARGE + LARGE}


def test_a_session_that_the_service_has_forgotten_is_begun_again(fake: FakeGcs) -> None:
    calls: list[int] = []

    def forget() -> None:
        calls.append(len(calls))
        if len(calls) == 3:
            fake.sessions.clear()

    storage = GcsStorage(HASTY, guard=forget)
    storage.write_file("gs://bucket/made.tif", str(MADE), expected=None)
    assert contents(fake) == {"made.tif": LARGE + LARGE}


def test_what_is_always_altered_on_its_way_is_never_stored(fake: FakeGcs) -> None:
    fake.faults = Faults(rate=1.0, kinds=("altered",))
    with pytest.raises(Unavailable, match=r"gs://bucket/run lost or altered a large file 5 times"):
        STORAGE.write_file("gs://bucket/run/Jane Doe.tif", str(MADE), expected=None)
    assert contents(fake) == {}


def test_other_bytes_that_a_service_has_stored_are_replaced(fake: FakeGcs, monkeypatch: pytest.MonkeyPatch) -> None:
    """fake-gcs-server forgets after the first piece which checksum was declared."""
    put = fake.service.put
    monkeypatch.setattr(fake.service, "put", lambda *args: put(args[0], {"name": "made.tif"}, *args[2:]))
    fake.faults.plan("", "altered", only="/upload/")
    version = STORAGE.write_file("gs://bucket/made.tif", str(MADE), expected=None)
    assert STORAGE.read_versioned("gs://bucket/made.tif") == (LARGE + LARGE, version)


def test_a_rival_who_comes_between_pieces_wins(fake: FakeGcs) -> None:
    calls: list[int] = []

    def rival() -> None:
        calls.append(len(calls))
        if len(calls) == 3:
            fake.service.store("bucket", "made.tif", b"theirs")

    with pytest.raises(Conflict):
        GcsStorage(HASTY, guard=rival).write_file("gs://bucket/made.tif", str(MADE), expected=None)
    assert contents(fake) == {"made.tif": b"theirs"}


def test_a_run_that_lost_its_lease_between_pieces_writes_nothing(fake: FakeGcs) -> None:
    calls: list[int] = []

    def guard() -> None:
        calls.append(len(calls))
        if len(calls) == 4:
            raise RunError("another run holds the output")

    with pytest.raises(RunError, match="another run"):
        GcsStorage(HASTY, guard=guard).write_file("gs://bucket/made.tif", str(MADE), expected=None)
    assert contents(fake) == {}


def test_a_file_for_a_bucket_that_is_not_there_stops_the_run(fake: FakeGcs) -> None:
    with pytest.raises(RunError, match="no bucket gs://nowhere"):
        STORAGE.write_file("gs://nowhere/made.tif", str(MADE), expected=None)


def test_an_answer_lost_before_a_rival_wrote_is_a_conflict(fake: FakeGcs, monkeypatch: pytest.MonkeyPatch) -> None:
    # Ours fails before the commit, theirs gets in between.
    fake.faults.plan("503")
    monkeypatch.setattr(
        "maskbeam.pipeline.storage.retry.time.sleep",
        lambda _: fake.service.store("bucket", "run/Jane Doe.png", b"theirs"),
    )
    with pytest.raises(Conflict):
        STORAGE.write(URI, b"ours", expected=None)
    assert contents(fake) == {"run/Jane Doe.png": b"theirs"}


def test_equal_content_that_was_there_before_is_still_a_conflict(fake: FakeGcs) -> None:
    fake.service.store("bucket", "run/Jane Doe.png", b"same")
    with pytest.raises(Conflict):
        STORAGE.write(URI, b"same", expected=None)


def test_a_download_that_always_arrives_altered_is_never_returned(fake: FakeGcs) -> None:
    for data in (b"mask", LARGE):
        fake.service.store("bucket", "run/Jane Doe.png", data)
        fake.faults = Faults(rate=1.0, kinds=("altered",))
        for read in (STORAGE.read, lambda uri: STORAGE.open(uri).read()):
            with pytest.raises(Unavailable) as raised:
                read(URI)
            assert "Jane" not in str(raised.value)


def test_a_large_stream_is_checked_at_its_end(fake: FakeGcs) -> None:
    fake.service.store("bucket", "run/Jane Doe.png", LARGE)
    fake.faults.plan("altered", only="/download/")
    with STORAGE.open(URI) as stream, pytest.raises(Unavailable, match="altered on its way"):
        stream.read()


def test_attempts_have_a_limit(fake: FakeGcs) -> None:
    fake.faults = Faults(rate=1.0, kinds=("503",))
    storage = GcsStorage(replace(HASTY, attempts=5))
    with pytest.raises(Unavailable, match=r"gs://bucket/run failed 5 times in 0 s, the last time with ServiceUnav"):
        storage.read(URI)
    assert fake.faults.injected["503"] == 5


def test_time_has_a_limit(fake: FakeGcs, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("maskbeam.pipeline.storage.retry.time.monotonic", lambda: clock[0])
    monkeypatch.setattr(
        "maskbeam.pipeline.storage.retry.time.sleep", lambda seconds: clock.__setitem__(0, clock[0] + seconds)
    )
    monkeypatch.setattr("maskbeam.pipeline.storage.retry.random.uniform", lambda low, high: high)
    fake.faults = Faults(rate=1.0, kinds=("429",))
    with pytest.raises(Unavailable):
        GcsStorage().read(URI)
    assert 40 < clock[0] <= 60
    assert 8 < fake.faults.injected["429"] < 20


def test_pauses_grow_and_are_spread() -> None:
    policy = RetryPolicy()
    for number in range(1, 20):
        pauses = [policy.pause_after(number) for _ in range(200)]
        longest = min(8.0, 0.25 * 2 ** (number - 1))
        assert max(pauses) <= longest
        assert max(pauses) - min(pauses) > longest / 2


def test_a_bucket_that_is_not_there_stops_the_run(fake: FakeGcs) -> None:
    with pytest.raises(RunError, match="no bucket gs://nowhere"):
        STORAGE.write("gs://nowhere/a.png", b"", expected=None)
    with pytest.raises(RunError, match="no bucket gs://nowhere"):
        list(STORAGE.list("gs://nowhere/*.png"))
    with pytest.raises(NotFound):
        STORAGE.read("gs://nowhere/a.png")


@pytest.mark.parametrize("seed", range(3))
def test_one_request_in_five_fails_and_the_tree_is_the_same(fake: FakeGcs, seed: int) -> None:
    fake.faults = Faults(rate=0.2, kinds=tuple(kind for kind in TRANSIENT if kind != "stall"), seed=seed)

    def work(number: int) -> bytes:
        uri = f"gs://bucket/masks/{number % 7}/{number}.png"
        version = STORAGE.write(uri, b"first", expected=None)
        STORAGE.write(uri, b"%d" % number * 100, expected=version)
        return STORAGE.read(uri)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(100))) == [b"%d" % number * 100 for number in range(100)]
    assert len(list(STORAGE.list("gs://bucket/masks"))) == 100
    assert contents(fake) == {f"masks/{n % 7}/{n}.png": b"%d" % n * 100 for n in range(100)}
    assert sum(fake.faults.injected.values()) > 40


def test_threads_share_one_client_and_few_connections(fake: FakeGcs, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: Counter[object] = Counter()
    accept = fake.get_request

    def counting() -> tuple[socket.socket, object]:
        opened["connections"] += 1
        return accept()

    monkeypatch.setattr(fake, "get_request", counting)
    fake.service.store("bucket", "run/Jane Doe.png", b"mask")
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: (id(client()), STORAGE.read(URI)), range(200))) == {(id(client()), b"mask")}
    assert opened["connections"] <= 8


def test_without_credentials_the_answer_is_quick_and_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("GCE_METADATA_HOST", f"127.0.0.1:{unused.getsockname()[1]}")
        monkeypatch.setenv("CLOUDSDK_CONFIG", "/nowhere")
        monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
        monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
        forget_client()
        with FakeGcs() as server:
            monkeypatch.setenv("API_ENDPOINT_OVERRIDE", server.url)
            server.faults = Faults(rate=1.0, kinds=("401",))
            with pytest.raises(Denied, match="no credentials were found; run gcloud auth application-default login"):
                open_storage("gs://bucket").read("gs://bucket/a.png")
            assert server.faults.injected == {"401": 1}
            forget_client()


def test_credentials_that_cannot_be_used_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/key.json")
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    forget_client()
    with pytest.raises(Denied, match=r"cannot be used: .*/nowhere/key\.json"):
        open_storage("gs://bucket").read("gs://bucket/a.png")


def test_messages_about_inputs_and_outputs_name_no_folder_of_theirs(fake: FakeGcs) -> None:
    uri = "gs://bucket/run/Jane Doe/a.png"
    for storage, place in ((open_input(uri), "gs://bucket"), (open_storage(uri, named="gs://bucket/run"), "/run")):
        for action in (storage.read, storage.stat, partial(storage.write, data=b"", expected=None)):
            fake.faults.plan("403")
            with pytest.raises(Denied, match=place) as raised:
                action(uri)
            assert "Jane" not in str(raised.value)


def test_of_a_large_object_both_ends_are_fetched_of_one_version(
    fake: FakeGcs, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = bytes(9 << 20), b"1" * (9 << 20)
    fake.service.store("bucket", "a.tif", first)
    fetched: list[int] = []

    def noted(*asked: Any) -> Part | None:
        part = download(*asked)
        fetched.append(len(part.data) if part else 0)
        if len(fetched) == 1:
            fake.service.store("bucket", "a.tif", second)
        return part

    monkeypatch.setattr(gcs_storage, "download", noted)
    assert STORAGE.read_ends("gs://bucket/a.tif", head=9, tail=7) == (second[:9], second[:7])
    assert sum(fetched) < 3 << 20
