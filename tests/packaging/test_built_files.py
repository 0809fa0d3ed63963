"""The source distribution and the wheel hold the files of the tree."""

import tarfile
import zipfile
from pathlib import Path

from tests.packaging.conftest import BUILD


def tree() -> dict[str, bytes]:
    """All files of the package as they are here, by their path in it."""
    files = [Path("maskbeam/__init__.py"), Path("maskbeam/py.typed")]
    files += [path for top in ("pipeline", "transforms") for path in Path(top).rglob("*") if path.is_file()]
    kept = [path for path in files if "__pycache__" not in path.parts]
    return {str(path) if path.parts[0] == "maskbeam" else f"maskbeam/{path}": path.read_bytes() for path in kept}


def test_the_source_distribution_holds_the_tree_and_what_builds_it(source: Path) -> None:
    with tarfile.open(source) as archive:
        members = [member for member in archive if member.isfile()]
        found = {member.name.partition("/")[2]: archive.extractfile(member) for member in members}
        package = {path: file.read() for path, file in found.items() if file and path.startswith("maskbeam/")}
    assert package == tree()
    others = {path for path in found if not path.startswith(("maskbeam/", "maskbeam.egg-info/"))}
    assert others == {*BUILD, "PKG-INFO", "setup.cfg"}


def test_the_wheel_holds_the_tree_and_the_licence(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        files = {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}
    about = {name.partition("/")[2] for name in files if ".dist-info/" in name}
    assert {name: data for name, data in files.items() if ".dist-info/" not in name} == tree()
    assert about == {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE", "top_level.txt"}
