"""Whatever a user names is read within bounds: files without an end, without a true size, and far too large ones."""

import os
from pathlib import Path

import pytest

from maskbeam.pipeline.classes.class_files import read_file
from maskbeam.pipeline.inputs.survey import survey
from maskbeam.pipeline.models.files.model_file import recognise
from maskbeam.pipeline.options import ReadOptions
from maskbeam.transforms.errors import RunError


def test_what_a_user_names_beside_images_is_read_within_bounds(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_bytes(b"name\na\n")
    assert read_file(f"{tmp_path}/labels.csv") == b"name\na\n"
    with (tmp_path / "large.csv").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(RunError, match="has 1048576 MiB, and may have 64"):
        read_file(f"{tmp_path}/large.csv")
    for odd, message in (
        ("/dev/zero", "pipe or a device"),
        (str(tmp_path), "is a folder"),
        ("/proc/self/maps", "more"),
    ):
        with pytest.raises(RunError, match=message):
            read_file(odd)
    with (tmp_path / "large.txt").open("wb") as file:
        file.write(b"large.txt\n")
        file.truncate(2 << 30)
    with pytest.raises(RunError, match="1 GiB at most"):
        survey(ReadOptions((f"{tmp_path}/large.txt",)))


@pytest.mark.parametrize("odd", ["pipe", "/dev/zero", "/proc/self/maps", "/proc/self/pagemap"])
def test_what_has_no_end_is_no_model(tmp_path: Path, odd: str) -> None:
    file, folder = tmp_path / "model.keras", tmp_path / "saved"
    folder.mkdir()
    (folder / "saved_model.pb").write_bytes(b"")
    if odd == "pipe":
        os.mkfifo(file)
    else:
        file.symlink_to(odd)
        (folder / "more").symlink_to(odd)
    with pytest.raises(RunError, match=r"pipe or a device|more bytes than|cannot be read"):
        recognise(str(file))
    if odd.startswith("/proc"):
        with pytest.raises(RunError, match=r"more bytes than|cannot be read"):
            recognise(str(folder))
