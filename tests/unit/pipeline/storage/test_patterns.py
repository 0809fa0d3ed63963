"""Several patterns at once mean what each of them means."""

from hypothesis import example, given
from hypothesis import strategies as st

from maskbeam.pipeline.storage.patterns import Glob, escape, split, split_all

COMPONENTS = st.sampled_from(["a", "b", "ab", "a*", "*", "?", "**", "[ab]", "b[1]", "b1"])
PATTERNS = st.lists(COMPONENTS, min_size=1, max_size=4).map(lambda parts: "/r/" + "/".join(parts))
NAMES = st.lists(st.sampled_from(["a", "b", "ab", "b1", "b[1]", ".a"]), min_size=1, max_size=4)


def exists(path: str) -> bool:
    return path.endswith("b[1]")


def below(path: str, fixed: str) -> list[str]:
    assert path.startswith(f"{fixed}/")
    return path.removeprefix(f"{fixed}/").split("/")


def means(glob: Glob, path: str) -> bool:
    """Whether one pattern means a file: by its name, or by its glob below the folder where that begins."""
    if not glob.parts:
        return path == glob.fixed
    return path.startswith(f"{glob.fixed}/") and glob.matches(below(path, glob.fixed))


@given(patterns=st.lists(PATTERNS, min_size=2, max_size=4), names=NAMES)
@example(["/r/a/a", "/r/a/a"], ["a", "a"])
def test_a_file_is_meant_if_any_pattern_means_it(patterns: list[str], names: list[str]) -> None:
    together = split_all(patterns, exists)
    path = "/r/" + "/".join(names)
    expected = any(means(split(pattern, exists), path) for pattern in patterns)
    if not path.startswith(f"{together.fixed}/"):
        assert not expected
        return
    parts = below(path, together.fixed)
    found = together.matches(parts)
    assert found == (expected and not any(each.startswith(".") for each in parts))
    # No folder on the way to it is passed by, and no object's name begins otherwise.
    assert not found or all(together.may_hold(parts[:n]) for n in range(1, len(parts)))
    assert not found or path.startswith(together.prefix)


@given(st.text("ab*?[]!{},", max_size=6), st.text("ab*?[]!{},", max_size=6))
def test_an_escaped_name_means_itself_alone(name: str, other: str) -> None:
    glob = Glob("", (escape(name),))
    assert glob.matches([name])
    assert glob.matches([other]) == (name == other)


def test_what_lies_in_one_folder_is_told() -> None:
    def flat(*patterns: str) -> bool:
        return split_all(patterns, lambda path: False).is_flat

    assert flat("s2/*_B04.tif", "s2/*_B03.tif")
    assert flat("*_B04.tif", "x.tif")
    assert not flat("s2/*_B04.tif", "s2/x/*_B03.tif")
    assert not flat("s2/**", "s2/*_B03.tif")
    assert split_all(["s2/*_B04.tif", "s2/*_B03.tif"], lambda path: False).prefix == "s2/"
    assert split_all(["s2/B04_*.tif", "s2/B03_*.tif"], lambda path: False).prefix == "s2/B0"
