"""The user's own layers and functions, imported only when the user trusts the model that needs them."""

import importlib
import inspect
import os
import sys
from collections.abc import Sequence
from functools import partial
from types import ModuleType
from typing import Any

from maskbeam.transforms.errors import RunError

_KERAS = frozenset({"keras", "tf_keras", "tensorflow"})
_LIBRARIES = _KERAS | {"numpy", "scipy", "builtins"} | sys.stdlib_module_names


def known_objects(K: Any) -> dict[str, Any]:
    """Classes and functions of popular libraries that no module can be named for, as layers of the Keras `K`.

    efficientnet makes `FixedDropout` inside a function; while predicting it does nothing. Early MobileNets of Keras 2
    come with a `relu6` of their own.
    """
    fixed = type("FixedDropout", (K.layers.Dropout,), {"__doc__": "A dropout, which does nothing while predicting."})
    relu = K.activations.relu
    return {"FixedDropout": fixed, "swish": K.activations.swish, "relu6": partial(relu, max_value=6)}


def import_custom_objects(modules: Sequence[str]) -> dict[str, Any]:
    """Imports modules, which registers what they decorate, and returns the classes and functions that they give.

    Those are what they define, and what they import under its own name from libraries, or by another name from Keras.

    Raises:
        RunError: A module cannot be imported.
    """
    found: dict[str, Any] = {}
    for name in modules:
        module = _import(name)
        found |= {key: value for key, value in vars(module).items() if _is_given(key, value, module)}
    return found


def _is_given(key: str, value: object, module: ModuleType) -> bool:
    if key.startswith("__") or not (inspect.isclass(value) or inspect.isfunction(value)):
        return False
    if value.__module__ == module.__name__:
        return True
    # What Keras knows by this name is its own, and a numpy.pad or scipy.special.softmax is no activation.
    foreign = value.__module__.partition(".")[0] not in _LIBRARIES
    renamed = key != value.__name__ and value.__module__.partition(".")[0] in _KERAS
    return foreign or renamed


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
