"""Braces in patterns: what they list, what is a name, and what is refused with the way out."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from maskbeam.pipeline.inputs.braces import Braces, braces_of_files, braces_of_image, expanded, parse_braces
from maskbeam.transforms.errors import RunError


def parsed(pattern: str, *names: str) -> Braces | None:
    return parse_braces(pattern, set(names).__contains__)


@pytest.mark.parametrize(
    ("pattern", "parts"),
    [
        ("gs://b/s2/*_{B04,B03,B02}.tif", ("gs://b/s2/*_", ("B04", "B03", "B02"), ".tif")),
        (
            "/d/*.SAFE/{R10m/*_B04_10m,R20m/*_B05_20m}.jp2",
            ("/d/*.SAFE/", ("R10m/*_B04_10m", "R20m/*_B05_20m"), ".jp2"),
        ),
        ("/d/{red,nir}/", ("/d/", ("red", "nir"), "/**")),
        ("/d/x_{B0[4,3],B8[A]}", ("/d/x_", ("B0[4,3]", "B8[A]"), "")),
        ("/d/[{]x}_{a,b}}", ("/d/[{]x}_", ("a", "b"), "}")),
    ],
)
def test_a_pattern_is_cut_at_its_braces(pattern: str, parts: tuple[str, tuple[str, ...], str]) -> None:
    assert parsed(pattern) == Braces(*parts)


@pytest.mark.parametrize("pattern", ["/d/*.tif", "/d/a}.tif", "/d/[{]a,b}.tif", "gs://b/x"])
def test_a_pattern_without_braces_has_none(pattern: str) -> None:
    assert parsed(pattern) is None


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("/d/{a,b}.tif", "/d/{a,b}.tif"),
        ("/d/{a,b}/*.tif", "/d/{a,b}"),
        ("/d/{a/b,c}.tif", "/d/{a/b,c}.tif"),
        ("/d/{a.tif", "/d/{a.tif"),
        ("/d/{}/x.tif", "/d/{}"),
        ("/d/{a}{b}/x", "/d/{a}{b}"),
    ],
)
def test_a_name_that_is_there_stays_a_name(pattern: str, name: str) -> None:
    assert parsed(pattern, name) is None


def test_braces_behind_a_name_that_holds_some_are_braces() -> None:
    assert parsed("/d/{x}/*_{a,b}.tif", "/d/{x}") == Braces("/d/{x}/*_", ("a", "b"), ".tif")


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("/d/*_{B04,B03.tif", r"not closed; .*scene_\{B04,B03,B02\}.tif.*written \[\{\]"),
        ("/d/*_{B04}.tif", "one alternative alone"),
        ("/d/*_{}.tif", "one alternative alone"),
        ("/d/*_{B04,,B03}.tif", "is empty"),
        ("/d/*_{B04,}.tif", "is empty"),
        ("/d/*_{B04, B03}.tif", "a blank"),
        ("/d/*_{B04,B04}.tif", "twice"),
        ("/d/*_{B0{4,3},B02}.tif", "braces inside braces; .* write out every alternative.*written"),
        ("/d/{a,b}/*_{B04,B03}.tif", "several braces; .* write out every alternative.*written"),
        ("/d/{**/a,b}.tif", "`..`; write plain names"),
        ("/d/{x/../a,b}.tif", "write plain names"),
        ("/d/{/a,b}.tif", "write plain names"),
        ("gs://{a,b}/x.tif", "name of a bucket"),
        ("/d/*.{jpg,png}", "kinds of files: name a folder, or a pattern for each"),
        ("/d/*{.JPG,.tif}", "kinds of files"),
        ("/d/{train,val}-*.tfrecord", "name each shard or manifest"),
        ("/d/{train,val}.txt", "name each shard or manifest"),
    ],
)
def test_what_lists_no_bands_is_refused_with_the_way_out(pattern: str, message: str) -> None:
    with pytest.raises(RunError, match=message) as raised:
        parsed(pattern)
    assert str(raised.value).startswith(f"--input {pattern}: ")


@pytest.mark.parametrize(
    ("pattern", "uri", "place"),
    [
        ("/d/*_{B04,B03}.tif", "/d/T_1_B03.tif", ("/d/T_1_", 1, ".tif")),
        ("/d/*_{B04,B03}.tif", "/d/T_B04_B03.tif", ("/d/T_B04_", 1, ".tif")),
        ("/d/*_{B04,B03}*", "/d/T_B04_B03x", ("/d/T_B04_", 1, "x")),
        ("/d/*_{B0?,B04}.tif", "/d/T_B04.tif", ("/d/T_", 0, ".tif")),
        ("/d/*_{B04,B03}.tif", "/d/x/T_B04.tif", None),
        ("/d/**/*_{B04,B03}.tif", "/d/x/y/T_B04.tif", ("/d/x/y/T_", 0, ".tif")),
        ("/d/**/*_{B04,B03}.tif", "/d/T_B04.tif", ("/d/T_", 0, ".tif")),
        ("/d/{R1/*_B4_1,R2/*_B5_2}.jp2", "/d/R2/T_x_B5_2.jp2", ("/d/", 1, ".jp2")),
        ("/d/{red,nir}/", "/d/nir/x/y.png", ("/d/", 1, "/x/y.png")),
        ("/d/b[1]/*_{[!A],B}.tif", "/d/b[1]/x_C.tif", ("/d/b[1]/x_", 0, ".tif")),
        ("/d/b[1]/*_{[!A],B}.tif", "/d/b1/x_B.tif", ("/d/b1/x_", 0, ".tif")),
        ("/d/b[1]/*_{[!A],B}.tif", "/d/b1/x_A.tif", None),
        ("/d/*_{B,C}", "/d/two\nlines_B", ("/d/two\nlines_", 0, "")),
    ],
)
def test_the_place_of_a_file(pattern: str, uri: str, place: tuple[str, int, str] | None) -> None:
    braces = parsed(pattern)
    assert braces is not None
    assert braces.place(uri) == place


def test_each_alternative_as_a_pattern() -> None:
    assert expanded("/d/*_{a,b/c}.tif") == ["/d/*_a.tif", "/d/*_b/c.tif"]
    assert expanded("/d/{a}/x") == ["/d/a/x"]
    for pattern in ("/d/*.tif", "/d/{a", "/d/a}"):
        assert expanded(pattern) == []


ODD = st.text("ab_{}[],*?.", min_size=1, max_size=6)


@given(before=ODD, after=ODD, which=st.integers(0, 1))
def test_the_pattern_of_one_image_means_its_files(before: str, after: str, which: int) -> None:
    pattern = Braces("/d/*", ("B0?", "[b]/B[{]1"), "*")
    braces = braces_of_image(pattern.where(f"/d/{before}", after))
    assert braces.alternatives == pattern.alternatives
    place = braces.place(f"/d/{before}{('B04', 'b/B{1')[which]}{after}")
    assert place == (f"/d/{before}", which, after)
    assert braces.place(f"/d/{before}xB04{after}") is None


@given(st.lists(ODD, min_size=2, max_size=4, unique=True), st.sampled_from(["/d/", "gs://b/x{1}/", "/"]))
def test_the_pattern_of_a_list_of_files_means_these(names: list[str], folder: str) -> None:
    # Where a name such as `[?]` is there, a listing takes it for itself and not for the `?` that it would mean.
    assume(not any("[" in name and "]" in name for name in names))
    files = tuple(f"{folder}{name}" for name in names)
    braces = braces_of_image(braces_of_files(files))
    assert len(braces.alternatives) == len(files)
    found = [braces.place(file) for file in files]
    assert [place and place.alternative for place in found] == list(range(len(files)))
    assert braces.place(f"{folder}z") is None


def test_the_pattern_of_files_in_several_folders() -> None:
    assert braces_of_files(("/d/x/R1/a", "/d/x/R2/b")) == "/d/x/{R1/a,R2/b}"
    assert braces_of_files(("/a", "/b/c")) == "/{a,b/c}"
    assert braces_of_files(("gs://b/x/a", "gs://b/xy/a")) == "gs://b/{x/a,xy/a}"
    assert braces_of_files(("gs://b/a", "gs://b/x/a")) == "gs://b/{a,x/a}"
