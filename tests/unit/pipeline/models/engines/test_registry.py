"""The registry names engines; what each is, its own file says."""

import subprocess
import sys
from importlib.metadata import version

import pytest

from maskbeam.pipeline.models.engines.registry import AUTO, MODULES, REFERENCE, WORDS, candidates, engine_kind
from maskbeam.transforms.errors import RunError


def test_each_is_known_by_its_own_name() -> None:
    assert [engine_kind(name).name for name in MODULES] == list(MODULES)
    assert len({engine_kind(name).title for name in MODULES}) == len(MODULES)
    for name in MODULES:
        kind = engine_kind(name)
        assert not kind.module or kind.install.startswith("pip install ")
        assert dict(kind.versions) == {package: version(package) for package in kind.packages}


def test_the_reference_runs_everything_and_stands_in_nobody_s_place() -> None:
    reference = engine_kind(REFERENCE)
    assert reference.is_installed
    assert reference.keeping() is None
    assert candidates(REFERENCE) == []
    assert [kind.name for kind in candidates(AUTO)] == ["openvino"]
    assert [kind.name for kind in candidates("openvino")] == ["openvino"]


def test_words_are_those_of_the_registry_at_any_time(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(WORDS) == ["auto", "tensorflow", "openvino"]
    monkeypatch.setitem(MODULES, "another", "somewhere")
    assert list(WORDS) == ["auto", "tensorflow", "openvino", "another"]


@pytest.mark.parametrize("ask", [engine_kind, candidates])
def test_an_engine_that_is_not_there(ask: object) -> None:
    assert callable(ask)
    with pytest.raises(RunError, match="has no engine 'numpy', but tensorflow and openvino: name one"):
        ask("numpy")


def test_to_be_told_of_an_engine_loads_no_library() -> None:
    code = (
        "import sys\n"
        "from maskbeam.pipeline.models.engines.registry import *\n"
        "[engine_kind(name) for name in MODULES]\n"
        "print(*{'tensorflow', 'keras', 'tf_keras', 'openvino'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"
