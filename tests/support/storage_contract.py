"""What every storage has to do alike: a suite that each kind of storage runs as it is."""

import pickle
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from maskbeam.pipeline.storage import Conflict, NotFound, SourceChanged, Storage, join

TREE = (
    ".hidden/a.png",
    "a/.b.png",
    "a/b.png",
    "a/c/d.png",
    "a/c/e.jpg",
    "a-1.png",
    "a1.png",
    "b[1]/x.png",
    "b1/x.png",
    "odd/*.png",
    "odd/100% #1?&+.png",
    "odd/ü ñ.png",
    "zero",
)
VISIBLE = tuple(name for name in TREE if "/." not in f"/{name}")
# Pattern below the root, and what it means.
PATTERNS = {
    "": set(VISIBLE),
    "/": set(VISIBLE),
    "/a": {"a/b.png", "a/c/d.png", "a/c/e.jpg"},
    "/a/": {"a/b.png", "a/c/d.png", "a/c/e.jpg"},
    "/a/b.png": {"a/b.png"},
    "/a/.b.png": {"a/.b.png"},
    "/.hidden": {".hidden/a.png"},
    "/*": {"a-1.png", "a1.png", "zero"},
    "/*.png": {"a-1.png", "a1.png"},
    "/a?.png": {"a1.png"},
    "/a[!-]*.png": {"a1.png"},
    "/a[0-9].png": {"a1.png"},
    "/*/*.png": {"a/b.png", "b[1]/x.png", "b1/x.png"} | {name for name in TREE if name.startswith("odd/")},
    "/a/**": {"a/b.png", "a/c/d.png", "a/c/e.jpg"},
    "/**/*.jpg": {"a/c/e.jpg"},
    "/**/c/*.png": {"a/c/d.png"},
    "/a/*/": {"a/c/d.png", "a/c/e.jpg"},
    "/a**.png": {"a-1.png", "a1.png"},
    "/b[1]": {"b[1]/x.png"},
    "/b[1]/*": {"b[1]/x.png"},
    "/b[12]/*": {"b1/x.png"},
    "/odd/*.png": {"odd/*.png", "odd/100% #1?&+.png", "odd/ü ñ.png"},
    "/odd/[*].png": {"odd/*.png"},
    "/odd/1*": {"odd/100% #1?&+.png"},
    "/nothing": set[str](),
    "/nothing/*.png": set[str](),
    "/a/b.png/x": set[str](),
}
# Several patterns below the root, and what they mean together.
TOGETHER = {
    ("/a/*.png", "/a/c/*.png"): {"a/b.png", "a/c/d.png"},
    ("/*/x.png", "/*/d.png", "/*/*/d.png"): {"a/c/d.png", "b1/x.png", "b[1]/x.png"},
    ("/a1.png", "/a-1.png"): {"a-1.png", "a1.png"},
    ("/a1.png", "/a*.png"): {"a-1.png", "a1.png"},
    ("/a", "/zero"): {"zero"},
    ("/b[1]/x.png", "/b[12]/x.png"): {"b1/x.png", "b[1]/x.png"},
    ("/b[1]/*", "/b[1]/y"): {"b[1]/x.png"},
    ("/odd/[*].png", "/odd/1*"): {"odd/*.png", "odd/100% #1?&+.png"},
    ("/a/.b.png", "/.hidden/a.png"): set[str](),
    ("/**/d.png", "/a/c/e.jpg", "/nothing/*"): {"a/c/d.png", "a/c/e.jpg"},
}


@dataclass(frozen=True)
class Place:
    """A storage under test, an empty folder in it, and a way to put files there that is not ours."""

    storage: Storage
    root: str
    put: Callable[[str, bytes], None]
    checks_deletes: bool = True

    def uri(self, name: str) -> str:
        return f"{self.root}/{name}"

    def names(self, *patterns: str) -> list[str]:
        listing = self.storage.list(*(self.root + pattern for pattern in patterns))
        return [found.uri.removeprefix(self.root + "/") for found in listing]


class StorageContract:
    def test_what_is_written_is_read(self, place: Place) -> None:
        for name, data in (("deep/er/a.png", b"\x00png\xff" * 999), ("empty", b""), ("ü [1]*?#.png", b"1")):
            version = place.storage.write(join(place.root, name), data, expected=None)
            assert place.storage.read(place.uri(name)) == data
            assert place.storage.read(place.uri(name), version=version) == data
            assert place.storage.read_versioned(place.uri(name)) == (data, version)
            found = place.storage.stat(place.uri(name))
            assert found is not None
            assert (found.uri, found.size, found.version) == (place.uri(name), len(data), version)
            assert list(place.storage.list(place.uri(name))) == [found]

    @pytest.mark.parametrize("size", [0, 5, (17 << 20) + 3])
    def test_a_file_is_written_as_its_content_is(self, place: Place, tmp_path: Path, size: int) -> None:
        data, path = random.Random(size).randbytes(size), tmp_path / "made.tif"
        path.write_bytes(data)
        uri = join(place.root, "deep/er/ü [1].tif")
        version = place.storage.write_file(uri, str(path), expected=None, metadata={"maskbeam": '{"a":1}'})
        assert place.storage.read_versioned(uri) == (data, version)
        found = place.storage.stat(uri)
        assert found is not None
        assert (found.size, found.version) == (size, version)
        assert found.metadata in (None, {"maskbeam": '{"a":1}'})
        assert path.read_bytes() == data
        path.unlink()
        assert place.storage.read(uri) == data

    @pytest.mark.parametrize("size", [5, (9 << 20) + 1])
    def test_a_file_replaces_the_version_that_it_names_and_no_other(
        self, place: Place, tmp_path: Path, size: int
    ) -> None:
        data, path, uri = random.Random(size).randbytes(size), tmp_path / "made.tif", place.uri("a.tif")
        path.write_bytes(data)
        first = place.storage.write(uri, b"1", expected=None)
        for wrong in (None, "12345", "5-12345"):
            with pytest.raises(Conflict) as conflict:
                place.storage.write_file(uri, str(path), expected=wrong)
            assert "a.tif" not in str(conflict.value)
        assert place.storage.read(uri) == b"1"
        second = place.storage.write_file(uri, str(path), expected=first)
        assert place.storage.read(uri, version=second) == data
        # Other bytes: of the same ones an attempt whose answer was lost may have been the first to write them.
        other = tmp_path / "other.tif"
        other.write_bytes(data[::-1])
        with pytest.raises(Conflict):
            place.storage.write_file(uri, str(other), expected=first)
        assert place.storage.read(uri, version=second) == data
        place.storage.delete(uri)
        with pytest.raises(Conflict):
            place.storage.write_file(uri, str(other), expected=second)
        assert place.storage.stat(uri) is None

    def test_one_of_many_files_wins(self, place: Place, tmp_path: Path) -> None:
        for number in range(6):
            (tmp_path / str(number)).write_bytes(b"%d" % number * (9 << 20))

        def create(number: int) -> int | None:
            try:
                place.storage.write_file(place.uri("new/a.tif"), str(tmp_path / str(number)), expected=None)
            except Conflict:
                return None
            return number

        with ThreadPoolExecutor(6) as pool:
            winners = [number for number in pool.map(create, range(6)) if number is not None]
        assert len(winners) == 1
        assert place.storage.read(place.uri("new/a.tif")) == b"%d" % winners[0] * (9 << 20)

    def test_creating_never_replaces(self, place: Place) -> None:
        place.put("a.png", b"theirs")
        with pytest.raises(Conflict):
            place.storage.write(place.uri("a.png"), b"ours", expected=None)
        assert place.storage.read(place.uri("a.png")) == b"theirs"

    def test_replacing_needs_the_version_that_is_there(self, place: Place) -> None:
        first = place.storage.write(place.uri("a.png"), b"1", expected=None)
        second = place.storage.write(place.uri("a.png"), b"22", expected=first)
        assert second != first
        for wrong in (first, "12345", "5-12345"):
            with pytest.raises(Conflict):
                place.storage.write(place.uri("a.png"), b"333", expected=wrong)
        assert place.storage.read(place.uri("a.png"), version=second) == b"22"

    def test_replacing_what_is_gone_is_a_conflict(self, place: Place) -> None:
        version = place.storage.write(place.uri("a.png"), b"1", expected=None)
        place.storage.delete(place.uri("a.png"))
        with pytest.raises(Conflict):
            place.storage.write(place.uri("a.png"), b"2", expected=version)
        assert place.storage.stat(place.uri("a.png")) is None

    def test_one_of_many_creators_wins(self, place: Place) -> None:
        def create(number: int) -> int | None:
            try:
                place.storage.write(place.uri("new/a.png"), b"%d" % number, expected=None)
            except Conflict:
                return None
            return number

        with ThreadPoolExecutor(8) as pool:
            winners = [number for number in pool.map(create, range(24)) if number is not None]
        assert place.storage.read(place.uri("new/a.png")) == b"%d" % winners[0]
        assert len(winners) == 1

    def test_one_of_many_replacers_wins_each_round(self, place: Place) -> None:
        uri, rounds = place.uri("a.png"), 12
        versions = [place.storage.write(uri, b"00", expected=None)]

        def replace(number: int) -> str | None:
            try:
                return place.storage.write(uri, b"%02d" % number, expected=versions[-1])
            except Conflict:
                return None

        with ThreadPoolExecutor(8) as pool:
            for _ in range(rounds):
                written = [version for version in pool.map(replace, range(8)) if version]
                assert len(written) == 1
                versions += written
        assert len(set(versions)) == rounds + 1

    def test_reading_an_older_version_says_so(self, place: Place) -> None:
        version = place.storage.write(place.uri("a.png"), b"1", expected=None)
        place.storage.write(place.uri("a.png"), b"22", expected=version)
        for stale in (version, "12345", "5-12345"):
            with pytest.raises(SourceChanged):
                place.storage.read(place.uri("a.png"), version=stale)
            with pytest.raises(SourceChanged):
                place.storage.open(place.uri("a.png"), version=stale)

    def test_what_is_not_there(self, place: Place) -> None:
        place.put("a.png", b"1")
        for name in ("nothing", "a.png/b", "no/thing", "a" * 300):
            assert place.storage.stat(place.uri(name)) is None
            with pytest.raises(NotFound):
                place.storage.read(place.uri(name))
            with pytest.raises(NotFound):
                place.storage.read(place.uri(name), version="1")
            with pytest.raises(NotFound):
                place.storage.read_versioned(place.uri(name))
            with pytest.raises(NotFound):
                place.storage.read_ends(place.uri(name), head=1, tail=1)
            with pytest.raises(NotFound):
                place.storage.open(place.uri(name))

    def test_errors_do_not_name_the_file(self, place: Place) -> None:
        place.put("Jane Doe.png", b"1")
        with pytest.raises(Conflict) as conflict:
            place.storage.write(place.uri("Jane Doe.png"), b"", expected=None)
        with pytest.raises(NotFound) as not_found:
            place.storage.read(place.uri("Jane Roe.png"))
        assert "Jane" not in str(conflict.value) + str(not_found.value)

    @pytest.mark.parametrize("limit", [0, 1, 9, 10, 11])
    def test_the_first_bytes(self, place: Place, limit: int) -> None:
        for data in (b"0123456789", b""):
            place.put(f"digits{len(data)}", data)
            assert place.storage.read(place.uri(f"digits{len(data)}"), limit=limit) == data[:limit]

    @pytest.mark.parametrize(("head", "tail"), [(1, 1), (4, 3), (9, 1), (10, 10), (11, 11), (0, 0), (3, 0)])
    def test_both_ends(self, place: Place, head: int, tail: int) -> None:
        for data in (b"0123456789", b"0", b""):
            name = f"digits{len(data)}"
            place.put(name, data)
            last = bytes(data[at] for at in range(len(data)) if at >= len(data) - tail)
            assert place.storage.read_ends(place.uri(name), head=head, tail=tail) == (data[:head], last)

    def test_both_ends_of_a_large_file(self, place: Place) -> None:
        data = random.Random(0).randbytes(3 << 20)
        place.put("large", data)
        for head, tail in ((10, 20), (1 << 20, 1 << 20), (2 << 20, 2 << 20), (5, 0)):
            found = place.storage.read_ends(place.uri("large"), head=head, tail=tail)
            assert found == (data[:head], data[len(data) - tail :])

    def test_streams_give_the_bytes_of_their_range(self, place: Place) -> None:
        data = bytes(range(256)) * 40
        place.put("shard", data)
        for start, end in (
            (0, None),
            (0, 1),
            (0, 10240),
            (7, 99),
            (10239, None),
            (10240, None),
            (20000, None),
            (5, 5),
        ):
            with place.storage.open(place.uri("shard"), start=start, end=end) as stream:
                assert stream.read(3) + stream.read() == data[start:end]
                assert stream.read(1) == b""

    def test_a_stream_never_mixes_versions(self, place: Place) -> None:
        old, new = b"o" * (20 << 20), b"n" * (20 << 20)
        version = place.storage.write(place.uri("shard"), old, expected=None)
        with place.storage.open(place.uri("shard")) as stream:
            read = stream.read(1)
            place.storage.write(place.uri("shard"), new, expected=version)
            try:
                read += stream.read()
            except SourceChanged:
                return
        assert read == old

    def test_deleting(self, place: Place) -> None:
        version = place.storage.write(place.uri("a.png"), b"1", expected=None)
        if place.checks_deletes:
            with pytest.raises(Conflict):
                place.storage.delete(place.uri("a.png"), version="12345")
        place.storage.delete(place.uri("a.png"), version=version)
        place.storage.delete(place.uri("a.png"), version=version)
        place.storage.delete(place.uri("a.png"))
        place.storage.delete(place.uri("no/such/folder"))
        assert place.names("") == []

    def test_patterns(self, place: Place) -> None:
        for name in TREE:
            place.put(name, b"" if name == "zero" else b"data")
        for pattern, meant in PATTERNS.items():
            assert place.names(pattern) == sorted(meant, key=str.encode), pattern
        for patterns, meant in TOGETHER.items():
            assert place.names(*patterns) == sorted(meant, key=str.encode), patterns

    def test_what_a_look_up_tells_is_what_there_is(self, place: Place) -> None:
        for name in TREE:
            place.put(name, b"data")
        uris = [place.uri(name) for name in (*TREE, "a", "a/b.pn", "a/b.png/x", "odd/ü", "zero!", "zz")]
        told = place.storage.look_up(uris)
        assert dict(told) == {uri: place.storage.stat(uri) for uri in uris if uri in told}
        assert len(told) in (0, len(uris))
        assert not place.storage.look_up([])

    def test_a_folder_and_a_file_that_starts_alike_are_told_apart(self, place: Place) -> None:
        place.put("run/a.png", b"1")
        place.put("run-2/a.png", b"1")
        assert place.names("/run") == ["run/a.png"]

    def test_storages_travel_to_workers(self, place: Place) -> None:
        place.put("a.png", b"1")
        assert pickle.loads(pickle.dumps(place.storage)).read(place.uri("a.png")) == b"1"
