"""A plugin for `make check`: tests that load a slow library or run a whole graph are skipped where they begin to."""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

import pytest

_SLOW = (
    "apache_beam.runners.portability.fn_api_runner",
    "keras",
    "maskbeam.pipeline.build",
    "openvino",
    "tensorflow",
    "tf_keras",
)


class _Skips(MetaPathFinder):
    """Ends the test, or the file of tests, that imports what is slow; so no list of fast tests is to be kept up."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname in _SLOW:
            pytest.skip(f"imports {fullname}; make test runs it", allow_module_level=True)
        return None


sys.meta_path.insert(0, _Skips())
