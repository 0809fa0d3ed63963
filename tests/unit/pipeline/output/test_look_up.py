"""What a rerun asks of objects: pages of listings where names lie close, else masks."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from apache_beam.pvalue import TaggedOutput

from maskbeam.pipeline.inputs.anonymous import PLAIN
from maskbeam.pipeline.inputs.fetch import fetch_content
from maskbeam.pipeline.output import claim
from maskbeam.pipeline.output.claim import Record, record_metadata, record_text
from maskbeam.pipeline.output.look_up import LookedUp, LookUpAll, held_record
from maskbeam.pipeline.output.redraw import Redraw
from maskbeam.pipeline.output.tree import Tree
from maskbeam.pipeline.output.write import SkipDone
from maskbeam.pipeline.storage import gcs_listing, open_storage
from maskbeam.pipeline.storage.gcs_client import forget_client
from maskbeam.pipeline.storage.local_storage import LocalStorage
from maskbeam.pipeline.verify.verify import verify
from maskbeam.transforms.codecs.codec import END_BYTES, TEXT_BYTES
from maskbeam.transforms.codecs.encode import encode_mask, read_text
from maskbeam.transforms.elements import EncodedImage, Source
from maskbeam.transforms.products.rendering import Rendering
from tests.support.elements import encoded_image
from tests.support.fake_gcs import FakeGcs
from tests.support.numpy_engine import command, run_numpy
from tests.support.trees import differing, draw, draw_folder, pixels, tree_of

OUT = "gs://b/out"
FLAGS = ("--products", "color")


@dataclass
class Bucket:
    """The bucket `b`, and since `forget` the ranges listed, the names read or looked at, and the names written."""

    fake: FakeGcs
    ranges: list[str] = field(default_factory=list)
    read: list[str] = field(default_factory=list)
    written: list[str] = field(default_factory=list)

    def forget(self) -> None:
        for seen in (self.ranges, self.read, self.written):
            seen.clear()

    def below(self, *folders: str) -> list[str]:
        """What was read or looked at in these folders of the output."""
        return [name for name in self.read if name.startswith(tuple(f"out/{folder}/" for folder in folders))]

    def tree(self) -> dict[str, bytes]:
        names = (name for name in self.fake.service.buckets["b"] if name.startswith("out/"))
        files = {name.removeprefix("out/"): self.fake.service.buckets["b"][name].data for name in names}
        return {name: data for name, data in files.items() if not name.startswith("runs/")}

    def alter(self, path: str, metadata: dict[str, str]) -> None:
        name = f"out/{path}"
        self.fake.service.buckets["b"][name] = replace(self.fake.service.buckets["b"][name], metadata=metadata)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    with FakeGcs() as fake:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", fake.url)
        fake.service.buckets["b"] = {}
        seen, service = Bucket(fake), fake.service
        get, put, listing = service.get, service.put, service.list

        def seen_get(bucket: str, name: str, query: Any) -> Any:
            seen.read.append(name)
            return get(bucket, name, query)

        def seen_put(bucket: str, resource: Any, data: bytes, query: Any) -> Any:
            seen.written.append(resource["name"])
            return put(bucket, resource, data, query)

        def seen_list(bucket: str, query: Any) -> Any:
            seen.ranges += [query["startOffset"]] if "startOffset" in query else []
            return listing(bucket, query)

        monkeypatch.setattr(service, "get", seen_get)
        monkeypatch.setattr(service, "put", seen_put)
        monkeypatch.setattr(service, "list", seen_list)
        # The report reads the masks of its samples, whatever was done before.
        monkeypatch.setattr("maskbeam.pipeline.reports.report_writer.draw_samples", lambda job, outcomes: [])
        yield seen
        forget_client()


def run(inputs: Path | str, *flags: str) -> None:
    assert run_numpy(command(str(inputs), OUT, *FLAGS, *flags)) == 0


def test_a_rerun_over_what_is_done_costs_a_few_listings_and_new_images_cost_themselves(
    tmp_path: Path, bucket: Bucket
) -> None:
    inputs = draw_folder(tmp_path / "in", 300)
    run(inputs)
    assert not bucket.below("masks", "color")
    before = bucket.tree()
    bucket.forget()
    lists = bucket.fake.calls["list"]
    run(inputs)
    assert not bucket.below("masks", "color")
    assert len(bucket.ranges) == 2
    assert bucket.fake.calls["list"] - lists <= 12
    assert differing(before, bucket.tree()) == []

    for number in range(0, 300, 30):
        draw(inputs / f"img{number:04}-new.png", ("new", number))
    bucket.forget()
    run(inputs)
    assert not bucket.below("masks", "color")
    assert len(bucket.ranges) == 2
    assert sum(name.startswith("out/masks/") for name in bucket.written) == 10
    assert run_numpy(command(str(inputs), str(tmp_path / "at_once"), *FLAGS)) == 0
    assert differing(tree_of(tmp_path / "at_once"), bucket.tree()) == []


@pytest.mark.parametrize(
    "metadata",
    [
        lambda text: {},
        lambda text: {"another": "program"},
        lambda text: {"maskbeam": text[:-1]},
        lambda text: {"maskbeam": '{"claim": {}}'},
        lambda text: {"maskbeam": "[1]"},
    ],
)
def test_a_mask_whose_metadata_says_nothing_is_read(
    tmp_path: Path, bucket: Bucket, metadata: Callable[[str], dict[str, str]]
) -> None:
    inputs = draw_folder(tmp_path / "in", 15)
    run(inputs)
    before = bucket.tree()
    for path in ("masks/img0003.png", "masks/img0014.png"):
        bucket.alter(path, metadata(read_text(before[path])["maskbeam"]))
    bucket.forget()
    run(inputs)
    assert sorted(bucket.below("masks")) == ["out/masks/img0003.png", "out/masks/img0014.png"]
    assert not [name for name in bucket.written if "/masks/" in name]
    assert differing(before, bucket.tree()) == []


def test_records_that_are_too_long_for_metadata_are_read(
    tmp_path: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claim, "METADATA_BYTES", 100)
    inputs = draw_folder(tmp_path / "in", 15)
    run(inputs)
    before = bucket.tree()
    assert not bucket.fake.service.buckets["b"]["out/masks/img0000.png"].metadata
    bucket.forget()
    run(inputs)
    assert len(bucket.below("masks")) == 15
    assert differing(before, bucket.tree()) == []


def test_metadata_is_the_mask_s_own_text_within_what_the_service_takes() -> None:
    assert record_metadata({"maskbeam": "x" * 6144, "Software": "y"}) == {"maskbeam": "x" * 6144}
    assert record_metadata({"maskbeam": "x" * 6145}) is None
    assert record_metadata({}) is None


def test_names_that_lie_far_apart_are_read_one_by_one(
    tmp_path: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = draw_folder(tmp_path / "in", 120)
    run(inputs)
    masks = {name: data for name, data in bucket.tree().items() if not name.startswith((".", "_", "reports/"))}
    monkeypatch.setattr(gcs_listing, "_PAGE", 5)
    monkeypatch.setattr(gcs_listing, "_PAGE_WORTH", 2)
    bucket.forget()
    run(f"{inputs}/img*0.png")
    assert len(bucket.ranges) == 3 + 2  # of masks, three pages with one name each; of the three's products, two
    assert len(bucket.below("masks")) == 12 - 3
    assert differing(masks, {name: data for name, data in bucket.tree().items() if name in masks}) == []
    assert not [name for name in bucket.written if name.startswith(("out/masks/", "out/color/"))]


def image(tmp_path: Path, name: str, version: str = "1") -> EncodedImage:
    path = tmp_path / f"{name}.png"
    path.write_bytes(name.encode())
    found = open_storage(str(path)).stat(str(path))
    assert found is not None
    return encoded_image(name, Source(str(path), found.version if version == "1" else version))


def test_verify_compares_metadata_with_what_is_inside(
    tmp_path: Path, bucket: Bucket, capsys: pytest.CaptureFixture[str]
) -> None:
    run(draw_folder(tmp_path / "in", 3))
    assert verify(OUT) == 0
    metadata = bucket.fake.service.buckets["b"]["out/masks/img0000.png"].metadata
    bucket.alter("masks/img0001.png", dict(metadata))
    bucket.alter("masks/img0002.png", {})
    capsys.readouterr()
    assert verify(OUT) == 1
    found = [line for line in capsys.readouterr().out.splitlines() if line.startswith("DIFFERENT")]
    assert found == ["DIFFERENT masks/img0001.png says something else in its metadata than inside"]


@dataclass(frozen=True)
class State:
    """An image's outputs: `size` is that of its product; None: there is none."""

    name: str
    size: int | None = 3
    change: dict[str, str] = field(default_factory=dict)
    whole: bool = True


STATES = (
    State("absent", change={"absent": "yes"}),
    State("done"),
    State("product-lost", size=None),
    State("product-cut", size=2),
    State("older", change={"version": "older"}),
    State("other-model", change={"fingerprint": "other"}),
    State("other-command", change={"inputs": "other"}),
    State("moved", change={"inputs": "other", "place": "0"}),
    State("first-source", change={"place": "0"}),
    State("second-source", change={"place": "g"}),
    State("foreign", change={"inputs": "other", "place": "0", "content": "other"}),
)


def write_state(tree: Tree, state: State, image: EncodedImage, *, metadata: bool) -> None:
    change = {key: value for key, value in state.change.items() if key != "absent"}
    held = replace(tree.claim(fetch_content(image, PLAIN).source), **change)
    path = f"color/{state.name}.png"
    if state.size is not None:
        tree.storage.write(tree.uri(path), b"x" * state.size, expected=None)
    text = record_text(Record(held, 16, 16, {"classes": {}}, {path: 3}))
    mask = encode_mask(pixels(state.name)[..., 0] % 3, text=text)
    if "absent" not in state.change:
        uri = tree.uri(tree.record.format(state.name))
        tree.storage.write(uri, mask, expected=None, metadata=record_metadata(text) if metadata else None)


def _unused(*_: Any, **__: Any) -> NoReturn:
    raise AssertionError("nothing is drawn here")


def shown(result: Any) -> Any:
    return (result.tag, result.value) if isinstance(result, TaggedOutput) else "goes on"


@pytest.mark.parametrize("metadata", [True, False])
def test_listings_and_masks_lead_to_the_same_verdicts(
    tmp_path: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, metadata: bool
) -> None:
    monkeypatch.setattr(gcs_listing, "_PAGE_WORTH", 1)
    tree = Tree(OUT, "", "masks/{}.png", "model", "command")
    images = [image(tmp_path, state.name) for state in STATES]
    for state, one in zip(STATES, images, strict=True):
        write_state(tree, state, one, metadata=metadata)
    skip = SkipDone(tree, False, Redraw(tree, Rendering(frozenset(), {}, ()), planes=True, decode=_unused))
    read = [shown(skip(one)) for one in images]
    bucket.forget()
    looked_up = LookUpAll(tree)(images)
    assert [shown(skip(one)) for one in looked_up] == read
    assert {state.name for state, verdict in zip(STATES, read, strict=True) if verdict == "goes on"} == {
        "absent", "product-lost", "product-cut", "older", "other-model", "second-source",
    }  # fmt: skip
    assert len(bucket.below("masks")) == (0 if metadata else len(STATES) - 1)
    assert all(
        isinstance(one, LookedUp) and one.source == was.source for one, was in zip(looked_up, images, strict=True)
    )


CLAIM = claim.Claim("p", "v", "c", "f", "i")


def written(tmp_path: Path, record: Record, side: int) -> tuple[Tree, Path]:
    """A mask of noise, which does not get smaller, in an output of its own."""
    noise = np.random.default_rng(0).integers(0, 256, (side, side), np.uint8)
    mask = tmp_path / "masks" / "a.png"
    mask.parent.mkdir()
    mask.write_bytes(encode_mask(noise, text=record_text(record)))
    return Tree(str(tmp_path), f"{tmp_path}/.tmp/run", "masks/{}.png", "", ""), mask


@pytest.mark.parametrize("side", [8, 240, 256, 600])
def test_of_a_mask_its_ends_are_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, side: int) -> None:
    record = Record(CLAIM, side, side, {"classes": {}})
    tree, mask = written(tmp_path, record, side)
    monkeypatch.setattr(LocalStorage, "read", _unused)
    one = encoded_image("a", Source("/in/a.png", "1"))
    assert held_record(tree, one) == record
    whole = mask.read_bytes()
    for length in (len(whole) - 1, len(whole) - END_BYTES - 1, len(whole) // 2, 300, 0):
        mask.write_bytes(whole[:length])
        assert held_record(tree, one) is None
    mask.unlink()
    assert held_record(tree, one) is None
    mask.mkdir()
    assert held_record(tree, one) is None


def test_a_record_that_is_longer_than_the_head_is_read_to_its_end(tmp_path: Path) -> None:
    classes = {str(number): [number, number * 7] for number in range(9000)}
    record = Record(CLAIM, 30, 30, {"classes": classes})
    assert len(record_text(record)["maskbeam"]) > TEXT_BYTES
    tree, mask = written(tmp_path, record, 30)
    one = encoded_image("a", Source("/in/a.png", "1"))
    assert held_record(tree, one) == record
    whole = mask.read_bytes()
    mask.write_bytes(whole[:99] + b"?" + whole[100:])
    assert held_record(tree, one) is None
    mask.write_bytes(whole[:-1])
    assert held_record(tree, one) is None


def test_images_that_a_listing_told_of_keep_their_bytes(tmp_path: Path, bucket: Bucket) -> None:
    tree = Tree(OUT, "", "masks/{}.png", "model", "command")
    held = [encoded_image(f"i{n}", Source(f"s#{n}", "1"), b"raw" * n, (1, 1, 3), "uint16") for n in range(20)]
    for one, was in zip(LookUpAll(tree)(held), held, strict=True):
        assert one.told
        assert {name: getattr(one, name) for name in vars(was)} == vars(was)
