"""The user's own layers and functions, imported only when the user trusts the model that needs them."""

import importlib
import inspect
import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from transforms.errors import RunError


def import_custom_objects(modules: Sequence[str]) -> dict[str, Any]:
    """Imports modules, which registers what they decorate, and returns the classes and functions that they define.

    Raises:
        RunError: A module cannot be imported.
    """
    found: dict[str, Any] = {}
    for name in modules:
        module = _import(name)
        found |= {key: value for key, value in vars(module).items() if _is_own(value, module)}
    return found


def _is_own(value: object, module: ModuleType) -> bool:
    return (inspect.isclass(value) or inspect.isfunction(value)) and value.__module__ == module.__name__


def _import(name: str) -> ModuleType:
    # A console script does not look where it was started, where people keep the module they name.
    here = os.getcwd()
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise RunError(
            f"--custom_objects {name}: it cannot be imported ({type(error).__name__}: {error})."
        ) from error
