"""Files become images of several files: against a plain loop over all names, and whatever the listing holds."""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from maskbeam.pipeline.inputs.bands import entry_of, find_bands, grouped, list_groups
from maskbeam.pipeline.inputs.braces import Braces
from maskbeam.pipeline.inputs.containers.kinds import Kind
from maskbeam.pipeline.inputs.find_inputs import Input, find_inputs
from maskbeam.pipeline.inputs.listing import chunks_of, describe_inputs, list_chunks
from maskbeam.pipeline.inputs.read import read_chunk, reread
from maskbeam.pipeline.inputs.sampling import sample
from maskbeam.pipeline.inputs.survey import survey
from maskbeam.pipeline.options import Part, ReadOptions
from maskbeam.pipeline.storage import Listed, Storage
from maskbeam.pipeline.storage.gcs_client import forget_client
from maskbeam.transforms.elements import Companion, EncodedImage, Entry, Failure, Source
from maskbeam.transforms.errors import ImageError, RunError
from tests.support.fake_gcs import FakeGcs
from tests.support.shard_files import png, write_tree

OPTIONS = ReadOptions()
FOUR = [f"T{number}_{band}.tif" for number in range(3) for band in ("B02", "B03", "B04", "B08")]


def entries(pattern: Path | str, options: ReadOptions = OPTIONS) -> list[Entry]:
    found = list(find_inputs(str(pattern), options))
    assert {each.kind for each in found} <= {Kind.IMAGE}
    return [each.entry for each in found]


def read(pattern: Path | str, options: ReadOptions = OPTIONS) -> list[EncodedImage | Failure]:
    return [item for chunk in list_chunks(str(pattern), options) for item in read_chunk(chunk, options)]


def names(entry: Entry) -> list[str]:
    return [os.path.basename(band.where) for band in entry.bands]


def test_each_group_of_files_is_one_image_in_the_order_of_the_braces(tmp_path: Path) -> None:
    write_tree(tmp_path / "s2", [*FOUR, "other.tif", "x/T9_B04.tif"])
    found = entries(tmp_path / "s2" / "*_{B04,B03,B02,B08}.tif")
    assert [entry.image_id for entry in found] == ["T0", "T1", "T2"]
    assert names(found[1]) == ["T1_B04.tif", "T1_B03.tif", "T1_B02.tif", "T1_B08.tif"]
    assert [band.name for band in found[1].bands] == ["B04", "B03", "B02", "B08"]
    assert found[1].uri == f"{tmp_path}/s2/T1_{{B04,B03,B02,B08}}.tif"
    assert found[1].size == 4 * len(png())
    status = (tmp_path / "s2" / "T1_B03.tif").stat()
    assert found[1].bands[1].version == f"{status.st_size}-{status.st_mtime_ns}"


def test_alternatives_may_hold_folders_and_globs(tmp_path: Path) -> None:
    granules = [f"{product}.SAFE/GRANULE/L2A_{product}/IMG_DATA" for product in ("A", "B")]
    write_tree(tmp_path, [f"{each}/R10m/T_1_{band}_10m.jp2" for each in granules for band in ("B04", "B03")])
    write_tree(tmp_path, [f"{each}/R20m/T_1_{band}_20m.jp2" for each in granules for band in ("B04", "B05")])
    found = entries(tmp_path / "*.SAFE/GRANULE/*/IMG_DATA/{R10m/*_B04_10m,R20m/*_B05_20m}.jp2")
    assert [entry.image_id for entry in found] == granules
    assert names(found[0]) == ["T_1_B04_10m.jp2", "T_1_B05_20m.jp2"]
    assert found[0].uri == f"{tmp_path}/{granules[0]}/{{R10m/*_B04_10m,R20m/*_B05_20m}}.jp2"


@pytest.mark.parametrize(
    ("files", "pattern", "ids"),
    [
        (["T_a.tif", "T_b.tif"], "*_{a,b}.tif", ["T"]),
        (["T-a.tif", "T-b.tif"], "*{a,b}.tif", ["T"]),
        (["a_T.tif", "b_T.tif"], "{a,b}_*.tif", ["T"]),
        (["T_a_10m.v2.tif", "T_b_10m.v2.tif"], "*_{a,b}_*.tif", ["T_10m.v2"]),
        (["T_a2.tif", "T_b2.tif"], "*_{a,b}2.tif", ["T_2"]),
        (["T.S_a.tif", "T.S_b.jp2"], "*_{a.tif,b.jp2}", ["T.S"]),
        (["x/T/a.tif", "x/T/b.tif", "x/U/a.tif", "x/U/b.tif"], "x/*/{a,b}.tif", ["T", "U"]),
        (["T/a.tif", "T/b.tif"], "T/{a,b}.tif", ["T"]),
        (["red/x.png", "nir/x.png", "red/y.png", "nir/y.png"], "{red,nir}/*.png", ["x", "y"]),
        (["s_red/x.png", "s_nir/x.png"], "s_{red,nir}/*", ["s/x"]),
        (["t_red/r_1.tif", "t_nir/n_1.tif"], "t_{red/r,nir/n}_*.tif", ["t_1"]),
        (["..T_a.tif", "T/..x_a.tif", "T/..x_b.tif"], "*/*_{a,b}.tif", []),
        (["T_a.TIF", "T_b.TIF"], "*_{a,b}.TIF", ["T"]),
    ],
)
def test_ids_are_paths_without_the_braces(tmp_path: Path, files: list[str], pattern: str, ids: list[str]) -> None:
    write_tree(tmp_path / "d", files)
    found = entries(tmp_path / "d" / pattern, ReadOptions(allow_empty=True))
    assert sorted(entry.image_id for entry in found) == ids
    assert all(band.version for entry in found for band in entry.bands)


def test_options_for_ids(tmp_path: Path) -> None:
    write_tree(tmp_path, ["x/y/T_a.tif", "x/y/T_b.tif", "x/y/R/c.tif", "x/y/R/d.tif"])
    pattern = f"{tmp_path}/x/y/*_{{a,b}}.tif"

    def of(pattern: str, **options: object) -> list[str]:
        return [entry.image_id for entry in entries(pattern, ReadOptions(**options))]  # type: ignore[arg-type]

    assert of(pattern, keep_extension=True) == ["T.tif"]
    assert of(pattern, id_root=str(tmp_path)) == ["x/y/T"]
    assert of(f"{tmp_path}/x/y/{{R/c,R/d}}.tif", id_root=f"{tmp_path}/x/y") == ["y"]
    assert of(f"{tmp_path}/x/y/{{R/c,R/d}}.tif", id_root=f"{tmp_path}/x") == ["y"]
    assert of(f"{tmp_path}/x/y/{{R/c,R/d}}.tif", keep_extension=True) == ["y"]
    with pytest.raises(RunError, match="id_root"):
        of(pattern, id_root=f"{tmp_path}/z")


def matches(pattern: str, text: str) -> bool:
    """Whether `*`, which stands for anything but folders, and plain letters make up a text."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return matches(pattern[1:], text) or (bool(text) and text[0] != "/" and matches(pattern, text[1:]))
    return bool(text) and pattern[0] == text[0] and matches(pattern[1:], text[1:])


def placed(braces: Braces, name: str) -> tuple[str, str, str] | None:
    """What comes first of: the longest part before the braces, the first alternative, its longest text."""
    for start in range(len(name), -1, -1):
        for alternative in braces.alternatives:
            for end in range(len(name), start - 1, -1):
                parts = (name[:start], name[start:end], name[end:])
                if all(map(matches, (braces.before, alternative, braces.after), parts)):
                    return name[:start], alternative, name[end:]
    return None


SHAPES = st.sampled_from(
    [
        Braces("/d/*_", ("A", "B"), ".t"),
        Braces("/d/*_", ("A", "AB", "B"), "*.t"),
        Braces("/d/*/", ("A", "B"), ".t"),
        Braces("/d/*/", ("A/*", "B/*_B"), ".t"),
        Braces("/d/*", ("A", "_"), "*"),
        Braces("/d/", ("A", "B"), "_*"),
        Braces("/d/", ("A", "B", "_"), "/*"),
        Braces("/d/_", ("A", "A/B"), "/*"),
    ]
)
PATHS = st.builds("/d/{}{}".format, st.text("AB_/", min_size=1, max_size=6), st.sampled_from(["", ".t"]))


class OfNames:
    """A storage that lists what a pattern of `*` means among names."""

    def __init__(self, paths: set[str]) -> None:
        self.paths = sorted(paths)
        self.given = 0

    def list(self, *patterns: str, special: Callable[[], None] | None = None) -> Iterator[Listed]:
        for path in self.paths:
            if any(matches(pattern, path) for pattern in patterns):
                self.given += 1
                yield Listed(path, len(path), f"v{path}")


@given(braces=SHAPES, paths=st.sets(PATHS, max_size=24))
@example(Braces("/d/*_", ("A", "B"), "*.t"), {"/d/x_A_A.t", "/d/x_A_B.t", "/d/x_A.t", "/d/x_B.t"})
@example(Braces("/d/*", ("A", "_"), "*"), {"/d/A", "/d/AA", "/d/A_A", "/d/__", "/d/_A"})
def test_groups_are_those_of_a_plain_loop_over_all_names(braces: Braces, paths: set[str]) -> None:
    expected: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for path in paths:
        place = placed(braces, path)
        if place:
            expected.setdefault((place[0], place[2]), set()).add((place[1], path))
    groups = list(list_groups(cast("Storage", OfNames(paths)), braces))
    found = {
        (group.before, group.after): {(braces.alternatives[file.alternative], file.uri) for file in group.files}
        for group in groups
    }
    assert found == expected
    assert len(groups) == len(found)
    uris = [entry_of(group, braces).uri for group in groups]
    assert len(set(uris)) == len(uris)


@pytest.mark.parametrize(
    "braces",
    [
        Braces("/d/*_", ("B04", "B03"), ".tif"),
        Braces("/d/*/", ("B04", "B03"), ".tif"),
        Braces("/d/", ("red", "nir"), "/*.tif"),
        Braces("/d/", ("red", "nir"), "_*.tif"),
    ],
)
def test_groups_come_while_the_listing_goes_on(braces: Braces) -> None:
    count = 500
    parts = [f"{number:06}" for number in range(count)]
    paths = {pattern.replace("*", part) for pattern in braces.patterns for part in parts}
    storage = OfNames(paths)
    ahead = [
        storage.given - 2 * number
        for number, group in enumerate(list_groups(cast("Storage", storage), braces), 1)
        if len(group.files) == 2
    ]
    assert len(ahead) == count
    assert max(ahead) <= 2


def test_groups_are_never_cut_by_chunks(tmp_path: Path) -> None:
    bands = ("a", "b", "c")
    write_tree(tmp_path, [f"{number:03}_{band}.tif" for number in range(120) for band in bands])
    chunks = [chunk for chunk in list_chunks(f"{tmp_path}/*_{{c,a,b}}.tif", OPTIONS) if chunk.files]
    assert len(chunks) > 20
    assert {len(entry.bands) for chunk in chunks for entry in chunk.files} == {3}
    assert [entry.image_id for chunk in chunks for entry in chunk.files] == [f"{i:03}" for i in range(120)]


def test_a_chunk_of_many_bands_holds_fewer_images() -> None:
    bands = tuple(Companion(str(i), "1", name=str(i)) for i in range(13))
    inputs = (Input(Kind.IMAGE, Entry(str(i), 1, "1", bands=bands)) for i in range(20_000))
    sizes = [len(chunk.files) for chunk in chunks_of(inputs)]
    assert sizes[:10] == [1] * 10
    assert max(sizes) == 1000 // 13 + 1
    assert sum(sizes) == 20_000


def test_an_image_carries_its_files_and_the_versions_of_all(tmp_path: Path) -> None:
    write_tree(tmp_path, ["T_a.tif", "T_b.tif"])
    (image,) = read(tmp_path / "*_{b,a}.tif")
    assert isinstance(image, EncodedImage)
    assert [(band.name, os.path.basename(band.where)) for band in image.origin.companions] == [
        ("b", "T_b.tif"),
        ("a", "T_a.tif"),
    ]
    assert image.file_size == 2 * len(png())
    assert image.source.where == f"{tmp_path}/T_{{b,a}}.tif"
    (again,) = read(tmp_path / "*_{b,a}.tif")
    assert again.source == image.source
    os.utime(tmp_path / "T_a.tif", ns=(1, 1))
    (changed,) = read(tmp_path / "*_{b,a}.tif")
    assert changed.source.where == image.source.where
    assert changed.source.version != image.source.version
    (other_order,) = read(tmp_path / "*_{a,b}.tif")
    assert other_order.source.place != changed.source.place


def test_an_image_that_lacks_a_file_is_one_failure_that_names_the_band(tmp_path: Path) -> None:
    write_tree(tmp_path, [name for name in FOUR if name not in ("T0_B03.tif", "T2_B08.tif", "T2_B02.tif")])
    found = read(tmp_path / "*_{B04,B03,B02,B08}.tif")
    lacking, whole, both = found
    assert isinstance(whole, EncodedImage)
    for failure, image_id, band in ((lacking, "T0", "B03"), (both, "T2", "B02")):
        assert isinstance(failure, Failure)
        assert (failure.code, failure.image_id) == ("SOURCE_MISSING", image_id)
        assert failure.reason == f"the file of band {band} is not there, or cannot be read"
        assert failure.source.where == f"{tmp_path}/{image_id}_{{B04,B03,B02,B08}}.tif"


def test_two_files_for_one_band_are_refused(tmp_path: Path) -> None:
    write_tree(tmp_path, ["T/x_a.tif", "T/y_a.tif", "T/x_b.tif", "U/x_a.tif", "U/x_b.tif"])
    failure, image = read(tmp_path / "*/{*_a,*_b}.tif")
    assert isinstance(failure, Failure)
    assert (failure.code, failure.image_id) == ("BAD_CHANNELS", "T")
    assert failure.reason == "two files fit band *_a; write more of its name in the braces"
    assert isinstance(image, EncodedImage)


def test_companions_of_bands_are_left_out_and_nothing_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("maskbeam.pipeline.storage.local_storage.LocalStorage.read", None)
    write_tree(tmp_path, ["T_a.tif", "T_b.tif", "T_a.tif.aux.xml", "T_b.tif.ovr", "T_a.jp2", "T_b.jp2"])
    os.mkfifo(tmp_path / "U_a.tif")
    left_out: Counter[str] = Counter()
    found = [each.entry for each in find_inputs(f"{tmp_path}/*_{{a,b}}*", OPTIONS, left_out=left_out)]
    assert [len(entry.bands) for entry in found] == [2, 2]
    assert all(band.version for entry in found for band in entry.bands)
    assert left_out == {".xml": 1, ".ovr": 1, "special file": 1}


def test_nothing_found_stops_unless_allowed(tmp_path: Path) -> None:
    write_tree(tmp_path, ["x.tif"])
    with pytest.raises(RunError, match="allow_empty"):
        entries(tmp_path / "*_{a,b}.tif")
    assert entries(tmp_path / "*_{a,b}.tif", ReadOptions(allow_empty=True)) == []


def test_names_that_hold_braces_are_found_under_themselves(tmp_path: Path) -> None:
    write_tree(tmp_path, ["{a,b}.tif", "{c}.tif", "{d,e}/x.tif", "a.tif", "b.tif", "{x}/T_a.tif", "{x}/T_b.tif"])
    assert [entry.uri for entry in entries(tmp_path / "{a,b}.tif")] == [f"{tmp_path}/{{a,b}}.tif"]
    assert [entry.image_id for entry in entries(tmp_path / "{c}.tif")] == ["{c}"]
    assert [entry.image_id for entry in entries(tmp_path / "{d,e}")] == ["x"]
    assert [entry.image_id for entry in entries(tmp_path / "{d,e}/*.tif")] == ["x"]
    assert [entry.image_id for entry in entries(tmp_path / "*[{]c}.tif")] == ["{c}"]
    (found,) = entries(tmp_path / "{x}/*_{a,b}.tif")
    assert (found.image_id, found.uri) == ("T", f"{tmp_path}/[{{]x}}/T_{{a,b}}.tif")
    (tmp_path / "{a,b}.tif").unlink()
    assert names(entries(tmp_path / "{a,b}.tif")[0]) == ["a.tif", "b.tif"]


def test_files_are_found_again_by_what_reports_say(tmp_path: Path) -> None:
    write_tree(tmp_path, ["[1]*/T{_a.tif", "[1]*/T{_b.tif", "1/T{_a.tif", "{c}.tif"])
    write_tree(tmp_path, ["list/T_a.tif", "list/T,}_b.tif"])
    (tmp_path / "list.jsonl").write_text('{"uri": ["list/T,}_b.tif", "list/T_a.tif"]}')
    for pattern in ("[1]*/*_{a,b}.tif", "list.jsonl"):
        (image,) = read(tmp_path / pattern)
        assert isinstance(image, EncodedImage)
        found = find_bands(image.source)
        assert [band.where for band in found] == [band.where for band in image.origin.companions]
        with pytest.raises(ImageError, match="UNSUPPORTED_FORMAT: its bands are 2 files"):
            reread(image.source, OPTIONS)
        os.utime(found[0].where, ns=(1, 1))
        with pytest.raises(ImageError, match="SOURCE_CHANGED"):
            find_bands(image.source)
        os.unlink(found[0].where)
        with pytest.raises(ImageError, match="SOURCE_MISSING"):
            find_bands(image.source)
    (single,) = read(tmp_path / "{c}.tif")
    assert find_bands(single.source) == ()
    assert find_bands(Source("gs://b/x", "1234567890123456")) == ()


def test_a_sample_and_parts_hold_whole_images(tmp_path: Path) -> None:
    bands = ("a", "b")
    write_tree(tmp_path, [f"{number:02}_{band}.tif" for number in range(40) for band in bands])
    pattern = f"{tmp_path}/*_{{b,a}}.tif"
    options = ReadOptions(patterns=(pattern,), limit=7)
    drawn = [item for chunk in sample(options) for item in read_chunk(chunk, options)]
    assert [len(item.origin.companions) for item in drawn if isinstance(item, EncodedImage)] == [2] * 7
    ids = {item.image_id for item in read(pattern)}
    parts = [{image_id for image_id in ids if Part(i, 3).holds(image_id)} for i in (1, 2, 3)]
    assert sum(map(len, parts)) == 40 == len(set.union(*parts))


def test_what_is_said_before_work_starts(tmp_path: Path) -> None:
    write_tree(tmp_path / "s2", FOUR)
    write_tree(tmp_path / "more", ["x.tif", "T1.tif"])
    options = ReadOptions(patterns=(f"{tmp_path}/s2/*_{{B04,B03}}.tif", f"{tmp_path}/more"))
    amount = "3 images of several files and 2 image files"
    found = survey(options)
    assert (found.amount, found.roots, found.rivals) == (amount, (f"{tmp_path}/s2/", f"{tmp_path}/more/"), 1)
    summary = describe_inputs(options)
    assert str(summary).startswith(amount)
    assert (summary.files, summary.joined, summary.ids) == (5, 3, ("T0", "T1", "T2"))
    assert summary.bytes == 8 * len(png())
    assert describe_inputs(ReadOptions(patterns=(f"{tmp_path}/more",))).ids == ()


def test_bands_of_a_manifest(tmp_path: Path) -> None:
    write_tree(tmp_path, ["in/T_a.tif", "far/b.tif"])
    lines = [
        '{"uri": ["in/T_a.tif", "far/b.tif"], "bands": ["red", "nir"], "id": "x"}',
        '{"uri": ["far/b.tif", "in/T_a.tif"]}',
        '{"uri": ["in/T_a.tif"]}',
        '{"uri": ["in/T_a.tif", "gone.tif"]}',
        '{"uri": ["in/T_a.tif", "gone.tif"], "bands": ["red", "nir"]}',
    ]
    (tmp_path / "list.jsonl").write_text("\n".join(lines))
    first, second, single, *lost = read(tmp_path / "list.jsonl")
    assert isinstance(first, EncodedImage)
    assert isinstance(second, EncodedImage)
    assert [(band.name, os.path.basename(band.where)) for band in first.origin.companions] == [
        ("red", "T_a.tif"),
        ("nir", "b.tif"),
    ]
    assert (first.image_id, second.image_id, single.image_id) == ("x", "far/b", "in/T_a")
    assert (first.file_size, first.source.where) == (2 * len(png()), f"{tmp_path}/{{in/T_a.tif,far/b.tif}}")
    assert all(band.version and band.size for band in (*first.origin.companions, *second.origin.companions))
    assert single.source == read(tmp_path / "in/T_a.tif")[0].source
    assert [item.reason for item in lost if isinstance(item, Failure)] == [
        "the file of band 2 is not there, or cannot be read",
        "the file of band nir is not there, or cannot be read",
    ]
    assert [item.code for item in lost if isinstance(item, Failure)] == ["SOURCE_MISSING"] * 2


@pytest.mark.parametrize(
    ("band", "words"),
    [
        (Companion("", "", name="B04"), {"B04"}),
        (Companion("", "", name="R20m/*_SCL_20m"), {"SCL", "20m", "R20m", "SCL_20m", "R20m/*_SCL_20m"}),
        (Companion("", "", name="*_QA_PIXEL.TIF"), {"QA_PIXEL", "QA", "QA_PIXEL.TIF", "TIF"}),
        (Companion("/d/x/T_B04.tif", "1"), {"T_B04.tif", "T_B04", "B04", "T"}),
    ],
)
def test_a_band_is_called_by_its_name_or_parts_of_it(band: Companion, words: set[str]) -> None:
    tried = {*words, "", "B0", "B4", "L_20m", "QA_PIX", "x", "."}
    assert {word for word in tried if band.is_called(word)} == words


@pytest.fixture
def objects(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGcs]:
    with FakeGcs() as fake:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", fake.url)
        fake.service.buckets["b"] = {}
        yield fake
        forget_client()


def test_objects_are_grouped_like_files(objects: FakeGcs) -> None:
    for name in [*FOUR, "deep/T7_B04.tif", "{a,b}.tif"]:
        objects.service.store("b", f"s2/{name}", png())
    found = entries("gs://b/s2/*_{B04,B03,B02,B08}.tif")
    assert [(entry.image_id, entry.uri) for entry in found] == [
        (f"T{number}", f"gs://b/s2/T{number}_{{B04,B03,B02,B08}}.tif") for number in range(3)
    ]
    assert names(found[0]) == ["T0_B04.tif", "T0_B03.tif", "T0_B02.tif", "T0_B08.tif"]
    assert objects.calls["list"] == 1
    assert all(re.fullmatch(r"\d+", band.version) for entry in found for band in entry.bands)
    assert [entry.image_id for entry in entries("gs://b/s2/{a,b}.tif")] == ["{a,b}"]
    with pytest.raises(RunError, match="name of a bucket"):
        entries("gs://{b,c}/s2/x.tif")
    (image, *_) = read("gs://b/s2/*_{B04,B03}.tif")
    assert len(find_bands(image.source)) == 2
    objects.service.store("b", "s2/T0_B03.tif", png(1))
    with pytest.raises(ImageError, match="SOURCE_CHANGED"):
        find_bands(image.source)


def test_bands_in_folders_of_a_bucket_are_listed_once(objects: FakeGcs) -> None:
    for number in range(1200):
        for band in ("red", "nir"):
            objects.service.store("b", f"d/{band}/{number:04}.png", b"1")
    found = entries("gs://b/d/{red,nir}/*.png")
    assert [entry.image_id for entry in found] == [f"{number:04}" for number in range(1200)]
    assert all(band.version for entry in found for band in entry.bands)
    assert objects.calls["list"] <= 4 + 2  # two pages a folder, and a look whether a name holds the braces


def test_a_listing_by_names_gives_each_group_once() -> None:
    braces = Braces("/d/*_", ("A", "B"), ".t")
    listing = [Listed(path, 1, "1") for path in sorted(f"/d/{i}_{band}.t" for i in range(99) for band in "AB")]
    befores = [group.before for group in grouped(listing, braces)]
    assert all(one < other for one, other in pairwise(befores))
    assert len(befores) == 99
