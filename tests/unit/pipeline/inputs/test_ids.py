"""Ids and the paths that outputs get from them: reversible, injective, and never outside their folder."""

import posixpath
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskbeam.pipeline.inputs import ids
from maskbeam.transforms.errors import ImageError, RunError

HOSTILE = st.text(alphabet=st.sampled_from("a./\\% C:~-_\n\x00\ud800\udc80éÅ") | st.characters(), max_size=40)


@pytest.mark.parametrize(
    ("path", "image_id"),
    [
        ("sub/a.jpg", "sub/a"),
        ("a.tar.gz", "a.tar"),
        ("scan.0012", "scan.0012"),
        ("1.2.840.10008", "1.2.840.10008"),
        ("v1.2_frame", "v1.2_frame"),
        ("sub/.jpg", "sub/.jpg"),
        ("sub.dir/a", "sub.dir/a"),
        ("a b é.JPEG", "a b é"),
    ],
)
def test_the_last_extension_is_dropped(path: str, image_id: str) -> None:
    assert ids.image_id_of(path) == image_id
    assert ids.image_id_of(path, keep_extension=True) == path


def test_of_a_known_extension_all_dots_are_dropped() -> None:
    assert ids.image_id_of("d/scan.01.NII.gz", known=".nii.gz") == "d/scan.01"
    assert ids.image_id_of("d/scan.01.NII.gz") == "d/scan.01.NII"
    assert ids.image_id_of("d/scan.01.NII.gz", keep_extension=True, known=".nii.gz") == "d/scan.01.NII.gz"


def test_a_file_outside_the_root_is_refused() -> None:
    assert ids.path_below("/data/a/b.jpg", "/data") == "a/b.jpg"
    assert ids.path_below("gs://b//a", "gs://b/") == "/a"
    for outside in ("/database/b.jpg", "/data/", "/other"):
        with pytest.raises(RunError, match="id_root"):
            ids.path_below(outside, "/data")


@pytest.mark.parametrize("kept", ["a b/c d", "v1.2/x.y", "naïve/東京 🙂", "[a]*?/b#c", "a'b\"c<>|&=+,;@~"])
def test_spaces_dots_unicode_and_globs_stay(kept: str) -> None:
    assert ids.encode_id(kept) == kept


@pytest.mark.parametrize(
    ("image_id", "path"),
    [
        ("../../etc/x", "%2E%2E/%2E%2E/etc/x"),
        ("/abs", "%_/abs"),
        ("C:\\x", "C%3A%5Cx"),
        ("a//b", "a/%_/b"),
        (".hidden", "%2Ehidden"),
        ("a\n\x00b", "a%0A%00b"),
        ("100%", "100%25"),
        ("end ", "end%20"),
        ("\udcff", "%uDCFF"),
        ("a.png/b.png", "a%2Epng/b.png"),
    ],
)
def test_what_storage_forbids_is_encoded(image_id: str, path: str) -> None:
    assert ids.encode_id(image_id) == path


@given(HOSTILE | HOSTILE.map(lambda text: text * 40))
@settings(max_examples=400, deadline=None)
def test_encoding_is_reversible_and_stays_inside(image_id: str) -> None:
    path = ids.encode_id(image_id)
    assert ids.decode_id(path) == image_id
    assert posixpath.normpath(f"root/{path}") == f"root/{path}"
    for part in path.split("/"):
        assert 0 < len(part.encode()) <= ids.MAX_COMPONENT_BYTES
        assert not part.startswith(".")
        assert not part.endswith((" ", "."))
        assert not any(unicodedata.category(letter) in ("Cc", "Cs") or letter == "\\" for letter in part)


@given(st.lists(HOSTILE, min_size=2, max_size=5, unique=True))
@settings(max_examples=100, deadline=None)
def test_no_output_stands_where_another_needs_a_folder(names: list[str]) -> None:
    files = {f"{ids.encode_id(name)}.png" for name in names}
    assert len(files) == len(names)
    assert not any(other.startswith(f"{file}/") for file in files for other in files)


def test_an_output_never_needs_a_folder_where_another_is_a_file(tmp_path: Path) -> None:
    for image_id in ("a", "a.png/b", "a.PNG/b", "x" * 300, "x" * 198, "x" * 198 + "/y"):
        file = tmp_path / f"{ids.encode_id(image_id)}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("x") as made:
            made.write(image_id)
    assert sum(path.is_file() for path in tmp_path.rglob("*")) == 6


def test_names_that_differ_by_case_or_normalisation_are_different() -> None:
    names = ["é", unicodedata.normalize("NFD", "é"), "É", "a/b", "a_b", "a//b"]
    assert len({ids.encode_id(name) for name in names}) == len(names)


@pytest.mark.parametrize("wrong", ["%", "%zz", "a%20b", "..", "", "%2e"])
def test_decoding_refuses_what_encoding_never_makes(wrong: str) -> None:
    with pytest.raises(ValueError, match="not the path of an id"):
        ids.decode_id(wrong)


def test_ids_that_cannot_name_an_output_are_refused() -> None:
    assert ids.check_id("a") == "a"
    for wrong in ("", "x" * 1000):
        with pytest.raises(ImageError, match="BAD_ID"):
            ids.check_id(wrong)


def test_what_is_too_long_as_it_is_is_not_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids, "encode_id", pytest.fail)
    with pytest.raises(ImageError, match=r"BAD_ID: .* 801 bytes"):
        ids.check_id("n" * 801)


def test_ids_import_nothing_heavy() -> None:
    heavy = {"apache_beam", "numpy", "tensorflow"}
    code = f"import sys, maskbeam.pipeline.inputs.ids; assert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
