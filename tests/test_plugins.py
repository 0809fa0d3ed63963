"""The plugins of `make fuzz` and `make check` do what these promise."""

import subprocess
import sys
from pathlib import Path

PROPERTY = """
from hypothesis import given, settings, strategies as st

@given(st.integers(), st.text())
@settings(database=None)
def test_property(tmp_path_factory, number: int, text: str) -> None:
    assert number < LIMIT

def test_plain() -> None:
    raise AssertionError("is no property")
"""
SLOW = """
def test_slow() -> None:
    import tensorflow

def test_in_a_file_that_goes_on() -> None:
    pass
"""


def run_tests(folder: Path, program: str, *words: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_it.py").write_text(program)
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", *words, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_what_new_seeds_find_is_printed_as_a_fixed_example(tmp_path: Path) -> None:
    words = ["-p", "tests.support.fuzz", "--fuzz_minutes", "0.2", "-m", "hypothesis"]
    done = run_tests(tmp_path, PROPERTY.replace("LIMIT", "1000"), *words)
    assert done.returncode == 1, done.stdout
    told = done.stdout[done.stdout.index("= 1 found =") :]
    assert "test_property:\n@example(\n    number=1000,\n    text=''," in told


def test_new_seeds_that_find_nothing_go_on_until_the_time_is_over(tmp_path: Path) -> None:
    words = ["-p", "tests.support.fuzz", "--fuzz_minutes", "0.02", "-m", "hypothesis"]
    done = run_tests(tmp_path, PROPERTY.replace("LIMIT", "1e99"), *words)
    assert done.returncode == 0, done.stdout
    assert "= 0 found =" in done.stdout


def test_tests_that_load_tensorflow_are_no_fast_ones(tmp_path: Path) -> None:
    done = run_tests(tmp_path, SLOW, "-p", "tests.support.fast")
    assert done.returncode == 0, done.stdout
    assert "1 passed, 1 skipped" in done.stdout
    assert "imports tensorflow; make test runs it" in done.stdout
