"""Searches a model's configuration for code before anything is loaded.

Keras resolves the names in a configuration to classes and functions, and its Keras 2 line imports any module that a
configuration names, and runs Lambda layers even in its safe mode. So everything is refused that is not known to be a
part of Keras or a plain TensorFlow operation on tensors: the lists are in `allowed_keras.py` and `allowed_ops.py`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from maskbeam.pipeline.models.files.allowed_keras import (
    ALLOWED_ATTRIBUTES,
    ALLOWED_CALLS,
    ALLOWED_CLASSES,
    ALLOWED_FUNCTIONS,
)
from maskbeam.pipeline.models.files.model_archive import read_json
from maskbeam.pipeline.models.files.model_file import ModelFile
from maskbeam.pipeline.models.files.saved_model import forbidden_ops, read_saved_model
from maskbeam.transforms.errors import RunError

Config = dict[str, Any]

# Reasons for what is refused often; what is not here is refused as unknown.
_CARRIES_CODE = {
    "Lambda": "a Lambda layer holds Python code",
    "__lambda__": "a serialised Python function is code",
    "TorchModuleWrapper": "it unpickles a PyTorch module",
    "JaxLayer": "it holds Python code",
    "FlaxLayer": "it holds Python code",
    "ResidualWrapper": "it may hold Python code",
    "DropoutWrapper": "it may hold Python code",
    "TFSMLayer": "it loads a further model from a path of its own",
    "ClassMethod": "it calls a method of any TensorFlow class",
    "TensorFlowOpLayer": "it holds a raw TensorFlow operation",
}
_OWN_PACKAGES = ("keras", "tf_keras", "keras_hub", "keras_nlp", "keras_cv")
_CLASS_MODULE = re.compile(
    r"(tf_)?keras(\.src)?(\.(layers|models|engine|ops|initializers|regularizers|constraints|activations|losses|metrics"
    r"|optimizers|random|dtype_policies|mixed_precision|quantizers|saving\.object_registration|applications)(\.[a-z]\w*)*)?"
)
# Too many classes to list; Keras takes only those that it can save.
_HUB_MODULE = re.compile(r"keras_(hub|nlp|cv)(\.src)?\.(models|layers|tokenizers|samplers)(\.[a-z]\w*)*")
_HUB_CLASS = re.compile(r"[A-Z]\w*")
_FUNCTION_MODULE = re.compile(
    r"builtins|(tf_)?keras(\.src)?\.(activations|initializers|regularizers|constraints|losses|metrics|ops)"
    r"|keras\.src\.(activations|ops)\.[a-z]\w*"
)
_SPEC_MODULE = re.compile(r"tensorflow\.python\.(framework|ops\.ragged)\.\w+")
_TYPE_SPECS = frozenset({"TensorSpec", "SparseTensorSpec", "RaggedTensorSpec"})
_TENSOR_OP = re.compile(
    r"__operators__\.[a-z_]+|keras\.activations\.(relu|sigmoid|softmax|tanh|elu|selu|softplus|softsign|swish|linear)"
    r"|keras\.backend\.(abs|cast|clip|concatenate|expand_dims|max|mean|min|permute_dimensions|repeat_elements"
    r"|reshape|resize_images|shape|softmax|sigmoid|spatial_2d_padding|square|sqrt|squeeze|stack|sum|tile|transpose)"
    r"|(abs|add|add_n|arg(max|min|sort)|boolean_mask|broadcast_to|cast|clip_by_\w+|concat"
    r"|convert_to_tensor|cos|cumsum|divide|einsum|ensure_shape|equal|exp|expand_dims|eye|fill|floor|gather(_nd)?"
    r"|greater(_equal)?|identity|less(_equal)?|logical_\w+|matmul|maximum|meshgrid|minimum|multiply|negative|norm"
    r"|not_equal|one_hot|ones(_like)?|pad|pow|range|rank|realdiv|reduce_\w+|repeat|reshape|reverse|roll|round"
    r"|scalar_mul|shape|shape_n|sigmoid|sign|sin|size|slice|sort|space_to_batch|split|sqrt|square|squeeze|stack"
    r"|stop_gradient|strided_slice|subtract|tan|tanh|tensordot|tile|transpose|truediv|truncatediv|unstack|where"
    r"|zeros(_like)?|batch_to_space|space_to_depth|depth_to_space)"
)
_FILE_KEYS = ("vocabulary", "idf_weights", "merges", "proto")
# Settings that hold a function or a class by its name alone.
_NAMING = re.compile(r"\w*(activation|_initializer|_regularizer|_constraint)")
_FUNCTION_KEY = re.compile(r"\w*fn_type|function_type")


@dataclass(frozen=True)
class Finding:
    """Something in a configuration that is not known to be harmless."""

    layer: str
    class_name: str
    reason: str

    def __str__(self) -> str:
        return f"layer {self.layer!r} of class {self.class_name!r} ({self.reason})"


def check_safety(file: ModelFile, *, trust: bool) -> None:
    """Refuses a model that would run code of its own, or touch files, unless `trust`.

    Raises:
        RunError: Names what was found and `--trust_model`.
    """
    if trust:
        return
    if findings := _findings(file):
        more = f" and {len(findings) - 3} more" if len(findings) > 3 else ""
        raise RunError(
            f"--model {file.uri}: refused, because it may run code or touch files: {'; '.join(findings[:3])}{more}. "
            "If you know where it comes from, --trust_model loads it; --custom_objects pkg.module, given with "
            "it, registers layers of your own."
        )


def _findings(file: ModelFile) -> list[str]:
    if file.kind == "saved_model":
        # What Keras kept beside the graph is read for what it tells, and never loaded.
        return [f"operation {op}" for op in forbidden_ops(read_saved_model(file.path, file.uri))]
    configs: list[Any] = [file.config]
    if file.kind == "keras_folder":
        configs += [read_json(part, file.uri) for part in sorted(file.path.glob("*.json"))]
    return list(dict.fromkeys(str(finding) for config in configs for finding in find_code(config)))


def find_code(config: Any) -> Iterator[Finding]:
    """Yields whatever in a model's configuration is not known to be a plain part of Keras, at any depth."""
    for node, layer in _nodes(config):
        problems = (_class_problem(node), _op_problem(node), _file_problem(node), _name_problem(node))
        for reason in filter(None, problems):
            yield Finding(layer, str(node.get("class_name", "?")), reason)


def _nodes(config: Any) -> Iterator[tuple[Config, str]]:
    """All dictionaries in a configuration, each with the name of the layer that it belongs to."""
    pending: list[tuple[Any, str]] = [(config, "?")]
    while pending:
        value, layer = pending.pop()
        if isinstance(value, dict):
            layer = _layer_name(value) or layer
            yield value, layer
            pending.extend((item, layer) for item in reversed(_loaded(value)))
        elif isinstance(value, list):
            pending.extend((item, layer) for item in reversed(value))


def _loaded(node: Config) -> list[Any]:
    """The parts that loading reads of a part: not how it was compiled, with losses that are often the user's own."""
    described = "class_name" in node and "config" in node
    return [item for key, item in node.items() if not (described and key == "compile_config")]


def _layer_name(node: Config) -> str | None:
    inner = node.get("config")
    name = node.get("name") or (inner.get("name") if isinstance(inner, dict) else None)
    return name if "class_name" in node and isinstance(name, str) else None


def _class_problem(node: Config) -> str | None:
    if "class_name" not in node:
        return None
    name, module, registered = str(node["class_name"]), node.get("module"), str(node.get("registered_name") or "")
    short = name.rpartition(">")[2]
    if carried := _CARRIES_CODE.get(short) or _CARRIES_CODE.get(registered.rpartition(">")[2]):
        return carried
    if name == "__typespec__":
        # The module that it names is imported.
        own = node.get("spec_name") in _TYPE_SPECS and _SPEC_MODULE.fullmatch(str(module))
        return None if own else "an unknown type specification"
    if name == "function":
        return _function_problem(node, module)
    if any(">" in owner and owner.partition(">")[0] not in _OWN_PACKAGES for owner in (name, registered)):
        return f"not a class of Keras; it is registered as {registered or name!r}"
    if isinstance(module, str) and _HUB_MODULE.fullmatch(module) and _HUB_CLASS.fullmatch(short):
        return None
    known = "module" not in node or (isinstance(module, str) and _CLASS_MODULE.fullmatch(module))
    where = f" in the module {module!r}" if "module" in node else ""
    return None if known and short in ALLOWED_CLASSES else f"not a known class of Keras{where}"


def _function_problem(node: Config, module: object) -> str | None:
    names = [node.get("config"), node.get("registered_name") or node.get("config")]
    known = isinstance(module, str) and _FUNCTION_MODULE.fullmatch(module)
    if known and all(isinstance(name, str) and name in ALLOWED_FUNCTIONS for name in names):
        return None
    return f"the function {names[0]!r} of module {module!r} is not one of Keras"


def _name_problem(node: Config) -> str | None:
    for key, value in node.items():
        if _FUNCTION_KEY.fullmatch(key) and value is not None:
            return f"{key} says that it holds a function"
        if isinstance(value, str) and _NAMING.fullmatch(key) and value not in ALLOWED_FUNCTIONS | ALLOWED_CLASSES:
            return f"its {key} {value!r} is not one of Keras"
    return None


def _op_problem(node: Config) -> str | None:
    inner, name = node.get("config"), str(node.get("class_name", "")).rpartition(">")[2]
    if not isinstance(inner, dict):
        return None
    if name in ("TFOpLambda", "SlicingOpLambda"):
        called = inner.get("function")
        return None if _computes(called) else f"it calls tf.{called}, which is not known to touch tensors only"
    if name in ("InstanceMethod", "InstanceProperty"):
        attribute = inner.get("attr_name", inner.get("method_name"))
        return None if str(attribute) in ALLOWED_ATTRIBUTES else f"it uses the attribute {attribute!r}"
    return None


def _computes(called: object) -> bool:
    """True if a function of this name below `tf` is known to touch tensors only."""
    if not isinstance(called, str):
        return False
    name = called.removeprefix("compat.v1.")
    space, _, function = name.rpartition(".")
    return function in ALLOWED_CALLS.get(space, ()) or bool(_TENSOR_OP.fullmatch(name))


def _file_problem(node: Config) -> str | None:
    inner = node.get("config")
    if "class_name" in node and isinstance(inner, dict):
        for key in _FILE_KEYS:
            if isinstance(inner.get(key), str) and inner[key]:
                return f"it reads the file {inner[key]!r}"
    return None
