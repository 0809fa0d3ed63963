"""Conventions that hold for everything in `transforms`, so that one who knows a module knows them all.

How docstrings begin holds for `pipeline`, too.
"""

import ast
import importlib
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import apache_beam as beam
import pytest

from maskbeam import pipeline, transforms

FOLDER = Path(transforms.__file__).parent
FILES = [
    (path, f"{top.name}/{path.relative_to(top)}")
    for top in (FOLDER, Path(pipeline.__file__).parent)
    for path in sorted(top.rglob("*.py"))
]
NAMES = sorted(
    ".".join(path.relative_to(FOLDER).with_suffix("").parts)
    for path in FOLDER.rglob("*.py")
    if path.stem != "__init__"
)
SHAPE = re.compile(r"\[[A-Za-z.'1-9]")
WORLD = {"pipeline", "tensorflow", "keras", "tf_keras", "openvino", "google", "os", "pathlib", "shutil", "tempfile"}
# The pool's size follows the processors, which `os` knows.
ALLOWED = {("lookahead", "os")}


def parsed(name: str) -> ast.Module:
    return ast.parse((FOLDER / f"{name.replace('.', '/')}.py").read_text())


def docstrings(tree: ast.Module) -> list[tuple[str, str]]:
    """Those of a module, each with the name that it belongs to; private ones, too."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [node for node in ast.walk(tree) if isinstance(node, kinds)]
    return [(getattr(node, "name", "the module"), text) for node in nodes if (text := ast.get_docstring(node))]


def begins_with_a_question(docstring: str) -> bool:
    return docstring.split()[0].rstrip(".:;,") in ("What", "Whether")


def imported(tree: ast.Module) -> set[str]:
    roots = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            roots |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            roots.add((node.module or "").removeprefix("maskbeam.").split(".")[0])
    return roots


def public_functions(module: ModuleType) -> dict[str, Callable[..., Any]]:
    return {
        name: found
        for name, found in inspect.getmembers(module, inspect.isfunction)
        if found.__module__ == module.__name__ and not name.startswith("_")
    }


def ptransforms(module: ModuleType) -> list[type]:
    classes = inspect.getmembers(module, inspect.isclass)
    return [c for _, c in classes if c.__module__ == module.__name__ and issubclass(c, beam.PTransform)]


@pytest.mark.parametrize("name", NAMES)
def test_transforms_compute_and_touch_no_world(name: str) -> None:
    world = {root for root in imported(parsed(name)) & WORLD if (name, root) not in ALLOWED}
    assert not world, f"transforms/{name}.py imports {sorted(world)}"


@pytest.mark.parametrize("name", NAMES)
def test_no_file_is_opened(name: str) -> None:
    calls = {n.func.id for n in ast.walk(parsed(name)) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
    assert not calls & {"open", "print", "input", "eval", "exec"}


@pytest.mark.parametrize("name", NAMES)
def test_beams_type_checks_are_on(name: str) -> None:
    assert "__future__" not in imported(parsed(name))


@pytest.mark.parametrize("name", NAMES)
def test_a_ptransform_only_wires_a_pure_function_of_its_module(name: str) -> None:
    module = importlib.import_module(f"maskbeam.transforms.{name}")
    if ptransforms(module):
        assert public_functions(module), f"transforms/{name}.py has a PTransform and no pure function"


@pytest.mark.parametrize(
    "name",
    [
        "argmax",
        "codecs.decode",
        "measures.statistics",
        "predict",
        "products.render",
        "resampling.prepare",
    ],
)
def test_steps_come_twice_under_one_stem(name: str) -> None:
    module = importlib.import_module(f"maskbeam.transforms.{name}")
    stem = name.rpartition(".")[2]
    assert callable(public_functions(module)[stem])
    assert [c.__name__.lower() for c in ptransforms(module)] == [stem]


@pytest.mark.parametrize("name", NAMES)
def test_functions_of_arrays_state_their_shapes(name: str) -> None:
    for function_name, function in public_functions(importlib.import_module(f"maskbeam.transforms.{name}")).items():
        kinds = " ".join(map(str, inspect.get_annotations(function).values()))
        if "ndarray" in kinds:
            assert SHAPE.search(inspect.getdoc(function) or ""), f"{name}.{function_name} states no shape"


@pytest.mark.parametrize("name", NAMES)
def test_everything_public_says_what_it_is(name: str) -> None:
    module = importlib.import_module(f"maskbeam.transforms.{name}")
    assert inspect.getdoc(module)
    for function_name, function in public_functions(module).items():
        assert inspect.getdoc(function), f"{name}.{function_name} has no docstring"


@pytest.mark.parametrize(("path", "name"), FILES, ids=[name for _, name in FILES])
def test_docstrings_begin_with_a_noun_or_a_verb(path: Path, name: str) -> None:
    found = [of for of, text in docstrings(ast.parse(path.read_text())) if begins_with_a_question(text)]
    assert not found, f"{name}: begin otherwise, as with `True if` or `The`: {found}"


def test_docstrings_that_begin_otherwise_are_found() -> None:
    source = '''"""What is here."""\nclass A:\n    """Of what."""\n    def _b():\n        """Whether it is."""\n'''
    found = docstrings(ast.parse(source))
    assert [of for of, text in found if begins_with_a_question(text)] == ["the module", "_b"]
