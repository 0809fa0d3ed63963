"""Every input comes out once, as an image or as a failure, alone and in a graph."""

import errno
import gzip
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.testing.util import assert_that, equal_to, is_not_empty

from maskbeam.pipeline.inputs import fetch as fetching
from maskbeam.pipeline.inputs import listing
from maskbeam.pipeline.inputs.containers.example import make_example
from maskbeam.pipeline.inputs.containers.kinds import Kind
from maskbeam.pipeline.inputs.containers.tfrecord import frame
from maskbeam.pipeline.inputs.fetch import fetch
from maskbeam.pipeline.inputs.find_inputs import Input
from maskbeam.pipeline.inputs.listing import chunks_of, list_chunks
from maskbeam.pipeline.inputs.read import List, Read, read_chunk, reread
from maskbeam.pipeline.options import RAW_TYPES, ReadOptions
from maskbeam.pipeline.storage import SourceChanged, local_errors
from maskbeam.pipeline.storage.gcs_client import forget_client
from maskbeam.pipeline.storage.local_storage import LocalStorage
from maskbeam.transforms.elements import EncodedImage, Entry, Failure, SizedCoder
from maskbeam.transforms.errors import Code, ImageError
from tests.support.fake_gcs import FakeGcs
from tests.support.graph import local_pipeline
from tests.support.shard_files import examples, png, write_shard, write_tree

OPTIONS = ReadOptions()


def read_all(pattern: Path | str, options: ReadOptions = OPTIONS) -> list[EncodedImage | Failure]:
    return [item for chunk in list_chunks(str(pattern), options) for item in read_chunk(chunk, options)]


def images(items: Iterable[EncodedImage | Failure]) -> list[EncodedImage]:
    return [item for item in items if isinstance(item, EncodedImage)]


def codes(items: Iterable[EncodedImage | Failure]) -> list[str]:
    return [item.code for item in items if isinstance(item, Failure)]


def test_files_come_without_bytes_and_are_fetched(tmp_path: Path) -> None:
    write_tree(tmp_path, ["a.png", "b/c.png"])
    found = images(read_all(tmp_path))
    assert [image.image_id for image in found] == ["a", "b/c"]
    assert [image.data for image in found] == [None, None]
    assert [fetch(image).data for image in found] == [png(), png()]
    assert fetch(found[0]).source == found[0].source


def test_records_come_with_bytes(tmp_path: Path) -> None:
    path = write_shard(tmp_path / "s", examples(3))
    found = images(read_all(path))
    assert [image.image_id for image in found] == ["im0", "im1", "im2"]
    assert [image.data for image in found] == [png(0), png(1), png(2)]
    assert found[0].source.where == f"{path}#0"
    assert fetch(found[0]) is found[0]


@pytest.mark.parametrize("compress", [False, True])
def test_whatever_was_read_can_be_read_again(tmp_path: Path, compress: bool) -> None:
    write_tree(tmp_path, ["a#12", "b.png"])
    write_shard(tmp_path / "s#1", examples(3), compress=compress)
    for image in images(read_all(tmp_path)):
        again = reread(image.source, OPTIONS, image_id=image.image_id)
        assert again.data == fetch(image).data
        assert (again.image_id, again.source) == (image.image_id, image.source)


def test_reading_again_notices_what_changed(tmp_path: Path) -> None:
    path = write_shard(tmp_path / "s", examples(2))
    source = images(read_all(path))[1].source
    write_shard(path, examples(2, first=5))
    with pytest.raises(ImageError, match="SOURCE_CHANGED"):
        reread(source, OPTIONS)
    path.unlink()
    with pytest.raises(ImageError, match="SOURCE_MISSING"):
        reread(source, OPTIONS)


def test_a_record_without_a_name_gets_its_place(tmp_path: Path) -> None:
    payloads = [make_example({"image/encoded": png()}), make_example({"image/encoded": png(), "image/filename": b""})]
    path = write_shard(tmp_path / "sub" / "train-00000-of-00001.tfrecord", payloads)
    assert [image.image_id for image in images(read_all(tmp_path))] == [
        "sub/train-00000-of-00001/000000000000",
        f"sub/train-00000-of-00001/{len(frame(payloads[0])):012}",
    ]
    assert images(read_all(path))[0].image_id == "train-00000-of-00001/000000000000"


@pytest.mark.parametrize(("name", "image_id"), [("x/a.jpg", "x/a"), (b"\xff.png", "\udcff"), (17, "17")])
def test_names_of_records(tmp_path: Path, name: str | bytes | int, image_id: str) -> None:
    path = write_shard(tmp_path / "s", [make_example({"image/encoded": png(), "image/filename": name})])
    assert [image.image_id for image in images(read_all(path))] == [image_id]


def test_each_bad_record_fails_alone(tmp_path: Path) -> None:
    payloads = [
        *examples(1),
        b"no example",
        make_example({"image/filename": "named.png", "image": b"secret"}),
        make_example({"image/encoded": 7}),
        make_example({"image/encoded": png(), "image/filename": "x" * 2000}),
        *examples(1, first=1),
    ]
    path = write_shard(tmp_path / "s", payloads)
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(bytes(data) + frame(b"cut off")[:-1])
    found = read_all(path)
    assert codes(found) == ["BAD_EXAMPLE", "MISSING_KEY", "MISSING_KEY", "BAD_ID", "DAMAGED_RECORD", "DAMAGED_RECORD"]
    assert len(images(found)) == 1
    failure = found[2]
    assert isinstance(failure, Failure)
    assert failure.image_id == "named"
    assert "'image/filename'" in failure.reason
    assert "secret" not in repr(found)


@pytest.mark.parametrize("dtype", [None, *RAW_TYPES])
def test_raw_tensors(tmp_path: Path, dtype: str | None) -> None:
    named, dtype = dtype, dtype or "uint8"
    pixels = np.arange(24).reshape(2, 3, 4).astype(dtype)
    sizes = {"image/height": 2, "image/width": 3, "image/channels": 4}
    path = write_shard(
        tmp_path / "s",
        [
            make_example({"image/encoded": pixels.tobytes(), **sizes}),
            make_example({"image/encoded": png(), **sizes}),
            make_example({"image/encoded": bytes(25), **sizes}),
            make_example({"image/encoded": b"", **sizes, "image/width": 0}),
            make_example({"image/encoded": bytes(24), **sizes, "image/width": -3, "image/height": -2}),
            make_example({"image/encoded": bytes(24), "image/height": 2}),
        ],
    )
    found = read_all(path, replace(OPTIONS, raw_type=named))
    raw, encoded, unknown = images(found)
    assert (raw.raw_shape, raw.raw_dtype, raw.data) == ((2, 3, 4), dtype, pixels.tobytes())
    assert raw.source.version.endswith(f":{dtype}") == (dtype not in ("uint8", "uint16", "float32"))
    assert encoded.source.version.isalnum()
    again = reread(raw.source, replace(OPTIONS, raw_type=named))
    assert (again.data, again.raw_dtype, again.source) == (raw.data, dtype, raw.source)
    assert encoded.raw_shape is unknown.raw_shape is None
    assert codes(found) == ["UNREADABLE"] * 3


@pytest.mark.parametrize(
    ("size", "named", "told"),
    [
        (2, None, "uint16, int16, float16"),
        (4, None, "uint32, int32, float32"),
        (8, None, "float64"),
        (2, "int32", "uint16, int16, float16"),
        (1, "int16", "uint8, int8"),
    ],
)
def test_a_raw_tensor_s_type_is_never_guessed(tmp_path: Path, size: int, named: str | None, told: str) -> None:
    sizes = {"image/height": 2, "image/width": 3, "image/channels": 4}
    path = write_shard(tmp_path / "s", [make_example({"image/encoded": bytes(24 * size), **sizes})])
    [failure] = read_all(path, replace(OPTIONS, raw_type=named))
    assert isinstance(failure, Failure)
    assert failure.code == "RAW_TYPE"
    assert told in failure.reason
    assert "--raw_type" in failure.reason
    assert Code[failure.code].passing  # the same command with --raw_type tries it again


def test_files_that_are_gone_changed_or_huge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tree(tmp_path, ["a.png", "b.png"])
    changed, gone = images(read_all(tmp_path))
    (tmp_path / "a.png").write_bytes(png(9))
    (tmp_path / "b.png").unlink()
    fetched = fetch(changed)
    assert fetched.data == png(9)
    assert fetched.source.version != changed.source.version
    with pytest.raises(ImageError, match="SOURCE_MISSING"):
        fetch(gone)
    monkeypatch.setattr(fetching, "MAX_FILE_BYTES", 10)
    assert codes(read_all(tmp_path)) == ["TOO_LARGE"]
    with pytest.raises(ImageError, match="TOO_LARGE"):
        fetch(changed)


def test_a_file_that_keeps_changing_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def changing(*args: object, **kwargs: object) -> bytes:
        raise SourceChanged

    write_tree(tmp_path, ["a.png"])
    (image,) = images(read_all(tmp_path))
    monkeypatch.setattr(LocalStorage, "read", changing)
    with pytest.raises(ImageError, match="SOURCE_CHANGED"):
        fetch(image)


def test_a_shard_that_is_gone_or_changed_is_one_failure(tmp_path: Path) -> None:
    path = write_shard(tmp_path / "s", examples(3))
    chunks = list(list_chunks(str(path), OPTIONS))
    path.write_bytes(path.read_bytes() + b"more")
    assert codes(read_chunk(chunks[0], OPTIONS)) == ["SHARD_UNREAD"]
    path.unlink()
    assert codes(read_chunk(chunks[0], OPTIONS)) == ["SHARD_UNREAD"]


def test_what_is_named_like_a_shard_and_not_there_is_no_single_image(tmp_path: Path) -> None:
    os.symlink("/nowhere", tmp_path / "a.tfrecord")
    os.symlink("/nowhere", tmp_path / "b")
    assert codes(read_all(tmp_path)) == ["SHARD_UNREAD"]
    (tmp_path / "list.txt").write_text("c-00000-of-00002\nd\ne.png")
    assert codes(read_all(tmp_path / "list.txt")) == ["SHARD_UNREAD", "SOURCE_MISSING", "SOURCE_MISSING"]


@pytest.mark.parametrize("compress", [False, True])
def test_a_shard_whose_size_is_not_known_is_read_whole(tmp_path: Path, compress: bool) -> None:
    path = write_shard(tmp_path / "s", examples(3), compress=compress)
    for version, found in (("", ["im0", "im1", "im2"]), ("0-0", [])):
        (chunk,) = chunks_of([Input(Kind.SHARD, Entry(str(path), 0, version))])
        items = list(read_chunk(chunk, OPTIONS))
        assert [image.image_id for image in images(items)] == found
        assert codes(items) == ([] if found else ["SHARD_UNREAD"])


def test_a_manifests_images_get_their_versions_when_they_are_read(tmp_path: Path) -> None:
    write_tree(tmp_path, ["a.png"])
    (tmp_path / "list.jsonl").write_text('{"uri": "a.png", "id": "x"}\n{"uri": "gone.png"}')
    found = read_all(tmp_path / "list.jsonl")
    assert images(found)[0].source == images(read_all(tmp_path / "a.png"))[0].source
    assert images(found)[0].image_id == "x"
    assert codes(found) == ["SOURCE_MISSING"]


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    write_tree(tmp_path, [os.fsdecode(b"\xff.png")])
    (image,) = images(read_all(tmp_path))
    assert fetch(image).data == png()
    assert len(image.source.place) == 32


@pytest.fixture
def objects(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGcs]:
    with FakeGcs() as fake:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", fake.url)
        fake.service.buckets["b"] = {}
        yield fake
        forget_client()


def test_objects_are_read_like_files(objects: FakeGcs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "_MIN_RANGE_BYTES", 5000)
    shard = b"".join(map(frame, examples(200)))
    stored = {
        "s": shard,
        "a/b.png": png(1),
        "a//b.png": png(2),
        "z.gz": gzip.compress(b"".join(map(frame, examples(3)))),
    }
    for name, data in stored.items():
        objects.service.store("b", f"in/{name}", data)
    found = images(read_all("gs://b/in"))
    assert [image.image_id for image in found[:2]] == ["a//b", "a/b"]
    assert [fetch(image).data for image in found[:2]] == [png(2), png(1)]
    assert [image.image_id for image in found[2:]] == [f"im{i}" for i in (*range(200), 0, 1, 2)]
    assert reread(found[100].source, OPTIONS).data == found[100].data
    objects.service.store("b", "in/a/b.png", png(3))
    assert fetch(found[1]).data == png(3)


def run(options: ReadOptions, *, ids: list[str] | None, failed: list[str], counted: int) -> None:
    with local_pipeline() as root:
        found = root | beam.Create(options.patterns) | List(options) | Read(options)
        assert found.main.element_type is EncodedImage
        names = found.main | beam.Map(lambda image: image.image_id)
        assert_that(names, is_not_empty() if ids is None else equal_to(ids), label="main")
        assert_that(found.failed | beam.Map(lambda failure: failure.code), equal_to(failed), label="failed")
        assert_that(
            found.counted | beam.Map(lambda each: each.inputs) | beam.CombineGlobally(sum),
            equal_to([counted]),
            label="counted",
        )


@pytest.fixture
def encodes(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    encoded: list[object] = []
    real = SizedCoder.encode

    def counting(self: SizedCoder, value: object) -> bytes:
        encoded.append(value)
        return real(self, value)

    monkeypatch.setattr(SizedCoder, "encode", counting)
    return encoded


def test_the_graph(tmp_path: Path, encodes: list[object]) -> None:
    write_tree(tmp_path, [f"f/{i}.png" for i in range(30)])
    write_shard(tmp_path / "s", [*examples(5), b"no example"])
    options = ReadOptions(patterns=(str(tmp_path / "f"), str(tmp_path / "s")))
    names = [*(str(i) for i in range(30)), *(f"im{i}" for i in range(5))]
    run(options, ids=names, failed=["BAD_EXAMPLE"], counted=36)
    assert not encodes


def test_the_graph_of_a_sample(tmp_path: Path) -> None:
    write_tree(tmp_path, [f"f/{i}.png" for i in range(30)])
    write_tree(tmp_path, [f"g/{i}.png" for i in range(30)])
    run(ReadOptions(patterns=(f"{tmp_path}/f", f"{tmp_path}/g"), limit=7), ids=None, failed=[], counted=7)


def test_the_graph_of_nothing() -> None:
    run(ReadOptions(patterns=("/nowhere/*.jpg",), allow_empty=True), ids=[], failed=[], counted=0)


def test_what_belongs_to_another_image_is_none_even_where_a_manifest_lists_it(tmp_path: Path) -> None:
    write_tree(tmp_path, ["a.png", "a.png.ovr", "b.MSK"])
    assert [image.image_id for image in images(read_all(tmp_path))] == ["a"]
    (tmp_path / "list.txt").write_text("a.png.ovr\na.png\nb.MSK\n")
    found = read_all(tmp_path / "list.txt")
    assert [item.code if isinstance(item, Failure) else "" for item in found] == [
        "UNSUPPORTED_FORMAT",
        "",
        "UNSUPPORTED_FORMAT",
    ]


@pytest.mark.parametrize("number", [errno.EACCES, errno.EAGAIN, errno.ESTALE, errno.EIO])
def test_one_file_that_cannot_be_read_costs_one_image_or_shard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    write_tree(tmp_path, ["a.png", "b", "c.png"])
    shard = write_shard(tmp_path / "s.tfrecord", examples(1))
    (tmp_path / "list.txt").write_text("a.png\nb\nc.png\ns.tfrecord")
    monkeypatch.setattr(local_errors, "PAUSES", (0.0,))
    real = os.open

    def failing(path: str, *args: int) -> int:
        if str(path) in (f"{tmp_path}/b", f"{tmp_path}/c.png", str(shard)):
            raise OSError(number, os.strerror(number), path)
        return real(path, *args)

    monkeypatch.setattr(os, "open", failing)
    for pattern in (tmp_path, tmp_path / "list.txt"):
        a, b, c, lost = read_all(pattern)
        assert isinstance(a, EncodedImage)
        assert fetch(a).data == png()
        for image in (b, c):
            assert isinstance(image, EncodedImage)
            with pytest.raises(ImageError, match="SOURCE_MISSING") as raised:
                fetch(image)
            assert str(tmp_path) not in str(raised.value)
        assert codes([lost]) == ["SHARD_UNREAD"]


def test_a_link_to_a_file_without_an_end_is_a_source_that_cannot_be_read(tmp_path: Path) -> None:
    for name in ("a.png", "b", "c.tfrecord"):
        (tmp_path / name).symlink_to("/proc/self/pagemap")
    found = read_all(tmp_path)
    assert [item.code for item in found if isinstance(item, Failure)] == ["SHARD_UNREAD"]
    for image in images(found):
        with pytest.raises(ImageError, match="SOURCE_MISSING"):
            fetch(image)
