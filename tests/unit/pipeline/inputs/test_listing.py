"""Which inputs a pattern means, how they are cut into chunks, and samples of them."""

import os
import socket
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from maskbeam.pipeline.inputs import listing, sampling
from maskbeam.pipeline.inputs import read_shard as shards
from maskbeam.pipeline.inputs.containers.kinds import Kind
from maskbeam.pipeline.inputs.find_inputs import Input, find_inputs, root_of
from maskbeam.pipeline.inputs.listing import chunks_of, describe_inputs, list_chunks
from maskbeam.pipeline.inputs.read import read_chunk
from maskbeam.pipeline.inputs.sampling import sample
from maskbeam.pipeline.options import ReadOptions
from maskbeam.pipeline.storage.local_storage import LocalStorage
from maskbeam.transforms.elements import Chunk, EncodedImage, Entry, Failure, Found
from maskbeam.transforms.errors import RunError
from tests.support.shard_files import examples, png, write_shard, write_tree

OPTIONS = ReadOptions()


def ids(pattern: Path | str, options: ReadOptions = OPTIONS) -> list[str]:
    return [found.entry.image_id for found in find_inputs(str(pattern), options)]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("", ["a", "sub/b", "sub/deep.er/c"]),
        ("/", ["a", "sub/b", "sub/deep.er/c"]),
        ("/a.jpg", ["a"]),
        ("/sub/b.png", ["b"]),
        ("/*/*.png", ["sub/b"]),
        ("/s*/**", ["sub/b", "sub/deep.er/c"]),
        ("/sub/deep.er/*", ["c"]),
    ],
)
def test_ids_are_paths_below_the_fixed_part(tmp_path: Path, pattern: str, expected: list[str]) -> None:
    write_tree(tmp_path, ["a.jpg", "sub/b.png", "sub/deep.er/c.tif"])
    assert ids(f"{tmp_path}{pattern}") == expected


def test_options_for_ids(tmp_path: Path) -> None:
    write_tree(tmp_path, ["x/a.jpg", "x/a.png"])
    assert ids(tmp_path / "x") == ["a", "a"]
    assert ids(tmp_path / "x", ReadOptions(keep_extension=True)) == ["a.jpg", "a.png"]
    assert ids(tmp_path / "x", ReadOptions(id_root=str(tmp_path))) == ["x/a", "x/a"]
    with pytest.raises(RunError, match="id_root"):
        ids(tmp_path / "x", ReadOptions(id_root=str(tmp_path / "y")))


def test_relative_patterns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tree(tmp_path, ["x/a.jpg"])
    monkeypatch.chdir(tmp_path)
    assert ids("x") == ids("./x/") == ids("x/*.jpg") == ids("x/../x/a.jpg") == ["a"]


def test_names_with_glob_characters_are_never_globbed_again(tmp_path: Path) -> None:
    names = ["[a]*?", "a b", "é", unicodedata.normalize("NFD", "é"), "A", "a"]
    write_tree(tmp_path, [f"[1]*/{name}.png" for name in names])
    write_tree(tmp_path, ["1/other.png"])
    assert sorted(ids(tmp_path / "[1]*")) == sorted(names)
    assert sorted(ids(tmp_path / "[1]*" / "*.png")) == sorted(names)
    assert ids(tmp_path / "[1]*" / "[a]*?.png") == ["[a]*?"]


@pytest.mark.parametrize(
    ("pattern", "uri", "root"),
    [
        ("gs://b/x/*.jpg", "gs://b/x/a.jpg", "gs://b/x/"),
        ("gs://b", "gs://b/x/a.jpg", "gs://b/"),
        ("gs://b/x/a.jpg", "gs://b/x/a.jpg", "gs://b/x/"),
        ("gs://b/x//", "gs://b/x//a.jpg", "gs://b/x/"),
        ("/", "/a/b.jpg", "/"),
        ("/a*/b/c.jpg", "/a1/b/c.jpg", "/"),
        ("/a*/b/*.jpg", "/a*/b/c.jpg", "/a*/b/"),
    ],
)
def test_the_root_as_a_match_shows_it(pattern: str, uri: str, root: str) -> None:
    assert root_of(pattern, uri) == root


def listed(chunks: Iterable[Chunk]) -> Found:
    return Found.sum(chunk.listed for chunk in chunks if chunk.listed)


def test_files_of_other_kinds_are_left_out_and_counted(tmp_path: Path) -> None:
    write_tree(tmp_path, ["a.jpg", "b", "x/c.png"])
    write_tree(tmp_path, ["README.md", "x/y.MD", "labels.json", "notes.docx", "scan.miller", "miller"], b"text")
    write_tree(tmp_path, ["1.2.840", "d.dcm"], bytes(128) + b"DICM")
    os.mkfifo(tmp_path / "pipe.png")
    os.symlink("/dev/zero", tmp_path / "x" / "zero.png")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"/proc/self/fd/{os.open(tmp_path, os.O_RDONLY)}/s")
    assert ids(tmp_path) == ["a", "b", "x/c"]
    left_out = {
        ".md": 2,
        ".json": 1,
        ".docx": 1,
        "with another extension": 1,
        "without extension": 1,
        "DICOM": 2,
        "special file": 3,
    }
    assert listed(list_chunks(str(tmp_path), OPTIONS)) == Found(files=3, left_out=left_out)
    assert describe_inputs(ReadOptions(patterns=(str(tmp_path),))).left_out == left_out
    one = ReadOptions(patterns=(str(tmp_path), str(tmp_path / "x/*.png")), limit=1)
    assert listed(sample(one)) == Found(files=4, left_out={**left_out, "special file": 4})


def test_what_was_found_adds_up_in_any_order() -> None:
    parts = [Found(3, 2, {"DICOM": 1}), Found(), Found(0, 5, {".md": 2, "DICOM": 4}), Found(7)]
    total = Found(10, 7, {".md": 2, "DICOM": 5})
    assert Found.sum(parts) == Found.sum(reversed(parts)) == total
    assert Found.sum([Found.sum(parts[:2]), Found.sum(parts[2:])]) == total
    assert list(Found.sum(parts).left_out) == [".md", "DICOM"]


def test_a_named_file_is_always_an_input(tmp_path: Path) -> None:
    write_tree(tmp_path, ["notes.docx", "data.json"], b"text")
    assert ids(tmp_path / "notes.docx") == ["notes"]
    assert ids(tmp_path / "data.json") == ["data"]


def test_nothing_found_stops_unless_allowed(tmp_path: Path) -> None:
    write_tree(tmp_path, ["README.md"], b"text")
    for pattern in (tmp_path, tmp_path / "*.jpg", tmp_path / "no" / "a.jpg"):
        with pytest.raises(RunError, match="allow_empty"):
            ids(pattern)
        assert ids(pattern, ReadOptions(allow_empty=True)) == []


def test_images_are_listed_unopened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tree(tmp_path, ["a.jpg", "b.png"], b"no image")
    monkeypatch.setattr(LocalStorage, "read", None)
    assert ids(tmp_path) == ["a", "b"]


def test_a_broken_link_shows_up(tmp_path: Path) -> None:
    os.symlink("/nowhere", tmp_path / "lost")
    assert ids(tmp_path) == ["lost"]


def test_manifests_list_images_and_shards(tmp_path: Path) -> None:
    write_tree(tmp_path, ["in/a.jpg", "far/b.jpg", "in/c"])
    write_shard(tmp_path / "in" / "s.x", examples(1))
    lines = ["a.jpg", "../far/b.jpg", "c", "s.x", "gone.jpg", "gone"]
    (tmp_path / "in" / "list.txt").write_text("\n".join(lines))
    found = list(find_inputs(str(tmp_path / "in" / "*.txt"), OPTIONS))
    far = str(tmp_path / "far" / "b").lstrip("/")
    assert [(each.kind, each.entry.image_id) for each in found] == [
        (Kind.IMAGE, "a"),
        (Kind.IMAGE, far),
        (Kind.IMAGE, "c"),
        (Kind.SHARD, "s"),
        (Kind.IMAGE, "gone"),
        (Kind.IMAGE, "gone"),
    ]
    assert found[3].entry.size > 0


def test_a_manifests_own_ids_win(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("uri,id\na.jpg,night/1.x\n/far/b.jpg,\n")
    options = ReadOptions(id_root="/far")
    assert ids(tmp_path / "list.csv", options) == ["night/1.x", "b"]


@pytest.mark.parametrize("compress", [False, True])
def test_a_manifest_lists_records_as_reports_name_them(tmp_path: Path, compress: bool) -> None:
    shards = [write_shard(tmp_path / name, examples(6, first=i), compress=compress) for i, name in enumerate("st")]
    whole = {
        image.source.where: image
        for shard in shards
        for chunk in list_chunks(str(shard), OPTIONS)
        for image in read_chunk(chunk, OPTIONS)
    }
    s, t = ([where for where in whole if where.startswith(str(shard))] for shard in shards)
    lines = [f"{s[4]},", f"{t[1]},mine/1", f"{s[0]},", f"{s[0][:-1]}9999999,"]
    (tmp_path / "list.csv").write_text("uri,id\n" + "\n".join(lines))
    chunks = list(list_chunks(str(tmp_path / "list.csv"), OPTIONS))
    assert [chunk.shard.uri for chunk in chunks if chunk.shard] == list(map(str, shards))
    found = {each.source.where: each for chunk in chunks for each in read_chunk(chunk, OPTIONS)}
    assert found.keys() == {s[4], t[1], s[0], f"{s[0][:-1]}9999999"}
    missing = found.pop(f"{s[0][:-1]}9999999")
    assert isinstance(missing, Failure)
    assert missing.code == "SOURCE_MISSING"
    for where, each in found.items():
        own = whole[where]
        assert isinstance(each, EncodedImage)
        assert isinstance(own, EncodedImage)
        assert (each.data, each.source) == (own.data, own.source)
        assert each.image_id == ("mine/1" if where == t[1] else own.image_id)
    summary = describe_inputs(replace(OPTIONS, patterns=(str(tmp_path / "list.csv"),)))
    assert (summary.files, summary.shards) == (4, 0)


def test_a_record_that_is_listed_twice_comes_twice(tmp_path: Path) -> None:
    shard = write_shard(tmp_path / "s", examples(3))
    (tmp_path / "list.csv").write_text(f"uri,id\n{shard}#0,a\n{shard}#0,b\n")
    chunks = list_chunks(str(tmp_path / "list.csv"), OPTIONS)
    assert [image.image_id for chunk in chunks for image in read_chunk(chunk, OPTIONS)] == ["a", "b"]


def test_a_file_that_is_called_as_a_record_is_a_file(tmp_path: Path) -> None:
    write_tree(tmp_path, ["a#12"])
    (tmp_path / "list.txt").write_text("a#12\n")
    found = list(find_inputs(str(tmp_path / "list.txt"), OPTIONS))
    assert [(each.kind, each.offset) for each in found] == [(Kind.IMAGE, None)]


def test_a_sample_of_records_that_a_manifest_lists(tmp_path: Path) -> None:
    shard = write_shard(tmp_path / "s", examples(20))
    chunks = list_chunks(str(shard), OPTIONS)
    places = [image.source.where for chunk in chunks for image in read_chunk(chunk, OPTIONS)]
    (tmp_path / "list.txt").write_text("\n".join(places[5:15]))
    options = ReadOptions(patterns=(str(tmp_path / "list.txt"),), limit=4)
    found = [image.source.where for chunk in sample(options) for image in read_chunk(chunk, options)]
    assert len(found) == 4
    assert set(found) <= set(places[5:15])


def test_images_of_several_files_are_listed_as_reports_name_them(tmp_path: Path) -> None:
    write_tree(tmp_path, [f"in/{image}_{band}.tif" for image in "xy" for band in ("r", "g")])
    (first, second) = find_inputs(str(tmp_path / "in" / "*_{r,g}.tif"), OPTIONS)
    assert first.entry.bands
    (tmp_path / "list.csv").write_text(f'id,source\nsecond,"{second.entry.uri}"\n,"{first.entry.uri}"\n')
    listed = list(find_inputs(str(tmp_path / "list.csv"), OPTIONS))
    assert listed == [
        second._replace(entry=replace(second.entry, image_id="second")),
        first._replace(entry=replace(first.entry, image_id="in/x")),
    ]


def test_few_files_still_make_several_chunks() -> None:
    def sizes(count: int, size: int = 1) -> list[int]:
        inputs = (Input(Kind.IMAGE, Entry(str(i), size, "1")) for i in range(count))
        return [len(chunk.files) for chunk in chunks_of(inputs)]

    assert len(sizes(10)) == 10
    assert max(sizes(100)) <= 8
    assert sum(sizes(50_000)) == 50_000
    assert max(sizes(50_000)) == 1000
    assert len(sizes(50_000)) < 200
    assert max(sizes(1000, 1 << 29)) == 2


def test_shards_are_cut_into_ranges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "_MIN_RANGE_BYTES", 300)
    path = write_shard(tmp_path / "s", examples(20))
    packed = write_shard(tmp_path / "z", examples(20), compress=True)
    (tmp_path / "empty.tfrecord").write_bytes(b"")
    chunks = list(list_chunks(str(tmp_path), OPTIONS))
    plain = [chunk for chunk in chunks if chunk.shard and chunk.shard.uri == str(path)]
    assert len(plain) > 5
    assert [chunk.start for chunk in plain] == [0, *(chunk.end for chunk in plain[:-1])]
    assert plain[-1].end == path.stat().st_size
    others = [chunk for chunk in chunks if chunk not in plain and chunk.shard and chunk.shard.size]
    assert others == [Chunk(shard=plain_entry(packed, "z"))]


def plain_entry(path: Path, image_id: str) -> Entry:
    status = path.stat()
    return Entry(str(path), status.st_size, f"{status.st_size}-{status.st_mtime_ns}", image_id)


def test_an_empty_shard_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "train-00000-of-00001").write_bytes(b"")
    assert [list(read_chunk(chunk, OPTIONS)) for chunk in list_chunks(str(tmp_path), OPTIONS)] == [[], []]
    assert "empty shard" in caplog.text


def test_a_summary_for_people(tmp_path: Path) -> None:
    write_tree(tmp_path, ["x/a.jpg", "x/b.png"])
    write_tree(tmp_path, ["x/notes.txt"], b"text")
    shard = write_shard(tmp_path / "y" / "s", examples(2))
    summary = describe_inputs(ReadOptions(patterns=(str(tmp_path / "x"), str(tmp_path / "y" / "*"))))
    assert (summary.files, summary.shards) == (2, 1)
    assert summary.bytes == 2 * len(png()) + shard.stat().st_size
    assert summary.roots == (f"{tmp_path}/x/", f"{tmp_path}/y/")
    assert summary.left_out == {".txt": 1}
    assert "2 image files and 1 TFRecord shard" in str(summary)
    assert f"ids are paths below {tmp_path}/x/, {tmp_path}/y/, of records their names" in str(summary)
    with pytest.raises(RunError, match="nothing_here"):
        describe_inputs(ReadOptions(patterns=(str(tmp_path / "x"), str(tmp_path / "nothing_here"))))


@pytest.fixture
def many(tmp_path: Path) -> ReadOptions:
    write_tree(tmp_path, [f"f/{i}.png" for i in range(40)])
    write_shard(tmp_path / "s1.tfrecord", examples(40))
    write_shard(tmp_path / "s2.tfrecord", examples(40, first=40), compress=True)
    return ReadOptions(patterns=(str(tmp_path / "f"), str(tmp_path / "s*")), limit=12)


def read_sample(options: ReadOptions) -> list[str]:
    found = [item for chunk in sample(options) for item in read_chunk(chunk, options)]
    assert all(isinstance(item, EncodedImage) for item in found)
    return sorted(item.image_id for item in found)


@pytest.mark.parametrize("limit", [0, 1, 12, 119, 120, 500])
def test_a_sample_has_as_many_images_as_wanted(many: ReadOptions, limit: int) -> None:
    drawn = read_sample(replace(many, limit=limit))
    assert len(drawn) == len(set(drawn)) == min(limit, 120)


def test_a_sample_depends_on_the_seed_alone(many: ReadOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = read_sample(many)
    assert read_sample(replace(many, patterns=many.patterns[::-1])) == drawn
    assert read_sample(replace(many, seed=-1)) != drawn
    assert set(drawn) <= set(read_sample(replace(many, limit=40)))


def test_a_sample_of_large_shards_reads_only_parts(many: ReadOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("_PART_BYTES", 300), ("_WANTED_PARTS", 3)):
        monkeypatch.setattr(sampling, name, value)
    read = 0
    real: Callable[..., object] = shards.read_shard

    def counting(*args: object, **kwargs: object) -> object:
        nonlocal read
        read += 1
        return real(*args, **kwargs)

    monkeypatch.setattr(sampling, "read_shard", counting)
    options = replace(many, patterns=(many.patterns[1].replace("s*", "s1*"),), limit=4)
    assert len(read_sample(options)) == 4
    assert read < 12
