import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from maskbeam.transforms.errors import Code, RunError, TooManyFailuresError, kinds_of
from tests.support.code_tables import DOCS, TABLES, rows_of

FILES = sorted(path for top in ("pipeline", "transforms") for path in Path(top).rglob("*.py"))
IMPORT_ALL = """
import importlib, os, sys
before = os.fstat(2), os.environ.get("CUDA_VISIBLE_DEVICES")
for name in sys.argv[1:]:
    importlib.import_module(name)
assert os.fstat(2) == before[0], "the error stream is another one"
assert os.environ.get("CUDA_VISIBLE_DEVICES") == before[1]
"""


@pytest.mark.parametrize("page", TABLES)
def test_the_tables_of_the_documents_are_those_of_the_codes(page: str) -> None:
    assert rows_of((DOCS / page).read_text()) == TABLES[page], "python -m tests.support.code_tables writes them"


@pytest.mark.parametrize("page", TABLES)
def test_documents_name_the_codes_that_every_run_tries_again(page: str) -> None:
    (told,) = re.findall(r"((?:`[A-Z_]+`(?:,|\s+and)\s+)+`[A-Z_]+`)\s+are\s+tried\s+again", (DOCS / page).read_text())
    assert set(re.findall(r"[A-Z_]+", told)) == {code for code in Code if code.passing}


def test_every_code_is_the_end_of_some_input() -> None:
    code = "".join(path.read_text() for path in FILES)
    assert [each for each in Code if f"Code.{each}" not in code] == []


def test_codes_are_plain_words_where_they_are_written() -> None:
    assert f"{Code.HANG}" == str(Code.HANG) == "HANG" == Code["HANG"]


def test_only_the_base_of_our_errors_is_not_one_of_them() -> None:
    classes = [
        node for path in FILES for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef)
    ]
    bases = {node.name: {base.id for base in node.bases if isinstance(base, ast.Name)} for node in classes}
    assert {name for name, its in bases.items() if "Exception" in its or "BaseException" in its} == {"MaskbeamError"}
    assert {name for name in bases if name.endswith("Error")} > {"MaskbeamError", "ImageError", "RunError"}


def test_the_kinds_of_an_error_are_all_below_it() -> None:
    from maskbeam.pipeline.output.lease_file import TakenOverError
    from maskbeam.pipeline.storage import Conflict, Denied

    kinds: set[type[Exception]] = set(kinds_of(RunError))
    assert {RunError, TooManyFailuresError, TakenOverError, Denied} <= kinds
    assert Conflict not in kinds


def test_an_import_does_nothing() -> None:
    modules = ["maskbeam." + ".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in FILES]
    done = subprocess.run([sys.executable, "-c", IMPORT_ALL, *modules], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
