"""The rooms of the house stand one above the other: each imports only what is below it, none in a circle."""

import ast
from collections import defaultdict
from pathlib import Path

import pytest

# From the ground up. Rooms of one floor do not know each other.
FLOORS = (
    ("transforms",),
    ("pipeline.text", "pipeline.digests", "pipeline.exit_codes", "pipeline.tally", "pipeline.options"),
    ("pipeline.process", "pipeline.storage", "pipeline.terminal"),
    ("pipeline.inputs", "pipeline.classes", "pipeline.models"),
    ("pipeline.runners",),
    ("pipeline.cli",),
    ("pipeline.output",),
    ("pipeline.job", "pipeline.references"),
    ("pipeline.guards", "pipeline.workers", "pipeline.reports"),
    ("pipeline.verify", "pipeline.build", "pipeline.compare"),
    ("pipeline.run",),
    ("pipeline.commands",),
    ("pipeline.main",),
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
FILES = sorted(path for top in ("pipeline", "transforms") for path in Path(top).rglob("*.py"))


def module_of(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def room_of(module: str) -> str:
    parts = module.split(".")
    return parts[0] if parts[0] == "transforms" else ".".join(parts[:2])


def folder_of(module: str) -> str:
    """The folder of a module, or the module itself where it lies loose at the top."""
    parts = module.split(".")
    inner = parts if Path(*parts).is_dir() else parts[:-1]
    return module if len(inner) == 1 else ".".join(inner)


def imported(path: Path) -> set[str]:
    """Modules of this house that a file imports, anywhere in it."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module:
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= {name for name in whole if is_module(name)} or {node.module}
    return {name.removeprefix("maskbeam.") for name in names if name.startswith("maskbeam.")}


def is_module(name: str) -> bool:
    path = Path(*name.removeprefix("maskbeam.").split("."))
    return path.with_suffix(".py").exists() or path.is_dir()


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_run_downwards(path: Path) -> None:
    own = room_of(module_of(path))
    wrong = {name for name in imported(path) if room_of(name) != own and FLOOR[room_of(name)] >= FLOOR[own]}
    assert not wrong, f"{path} imports {sorted(wrong)}, which is not below it"


def test_every_room_has_its_floor() -> None:
    assert {room_of(module_of(path)) for path in FILES} - {"pipeline"} == set(FLOOR)


def test_no_folders_import_each_other_in_a_circle() -> None:
    above: dict[str, set[str]] = defaultdict(set)
    for path in FILES:
        own = folder_of(module_of(path))
        above[own] |= {folder_of(name) for name in imported(path)} - {own}

    def below(folder: str) -> set[str]:
        found: set[str] = set()
        ahead = [folder]
        while ahead:
            new = above[ahead.pop()] - found
            found |= new
            ahead += new
        return found

    assert [folder for folder in sorted(above) if folder in below(folder)] == []
