"""Reads TensorFlow's SavedModel folders without TensorFlow: what they hold, and what their graphs would do.

Only the fields that are needed are declared, with their numbers as in TensorFlow's `saved_model.proto`,
`graph.proto`, `function.proto` and `saved_object_graph.proto`; the parser skips all others.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Set
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from maskbeam.pipeline.models.files.allowed_ops import ALLOWED_OPS, RESTORING_OPS, SAVING_OPS
from maskbeam.transforms.errors import RunError

# message: {field: (number, type)}; a type in brackets is repeated, one in braces a map from strings.
_MESSAGES = {
    "SavedModel": {"meta_graphs": (2, "[MetaGraph]")},
    "MetaGraph": {
        "meta_info": (1, "MetaInfo"),
        "graph": (2, "Graph"),
        "saver": (3, "Saver"),
        "collections": (4, "{Collection}"),
        "signatures": (5, "{Signature}"),
        "objects": (7, "Objects"),
    },
    "MetaInfo": {"tags": (4, "[string]"), "tensorflow_version": (5, "string")},
    "Graph": {"nodes": (1, "[Node]"), "library": (2, "Library")},
    "Library": {"functions": (1, "[Function]")},
    "Function": {
        "signature": (1, "OpDef"),
        "nodes": (3, "[Node]"),
        "returned": (4, "{string}"),
        "attrs": (5, "{Ignored}"),
    },
    "OpDef": {"name": (1, "string"), "inputs": (2, "[Argument]"), "outputs": (3, "[Argument]")},
    "Argument": {"name": (1, "string")},
    "Node": {"name": (1, "string"), "op": (2, "string"), "inputs": (3, "[string]"), "attrs": (5, "{Attr}")},
    "Attr": {"list": (1, "AttrList"), "tensor": (8, "Constant"), "function": (10, "Called")},
    "Constant": {
        "dtype": (1, "int"),
        "content": (4, "bytes"),
        "floats": (5, "[float]"),
        "doubles": (6, "[double]"),
        "ints": (7, "[int]"),
    },
    "AttrList": {"functions": (9, "[Called]")},
    "Called": {"name": (1, "string")},
    "Saver": {"filename": (1, "string"), "save": (2, "string"), "restore": (3, "string")},
    "Collection": {"nodes": (1, "NodeList"), "serialized": (2, "BytesList")},
    "NodeList": {"names": (1, "[string]")},
    "BytesList": {"values": (1, "[bytes]")},
    "Variable": {"name": (1, "string"), "initializer": (2, "string"), "initial_value": (6, "string")},
    "Signature": {"inputs": (1, "{Tensor}"), "outputs": (2, "{Tensor}")},
    "Tensor": {"name": (1, "string"), "dtype": (2, "int"), "sparse": (4, "Sparse"), "composite": (5, "Composite")},
    "Sparse": {"values": (1, "string"), "indices": (2, "string"), "dense_shape": (3, "string")},
    "Composite": {"components": (2, "[Tensor]")},
    "Objects": {"nodes": (1, "[Object]"), "functions": (2, "{Ignored}")},
    "Object": {"function": (6, "ObjectFunctions"), "bare_function": (8, "ObjectFunctions")},
    "ObjectFunctions": {"names": (1, "[string]")},
    "Ignored": {},
    "KerasMetadata": {"nodes": (1, "[KerasNode]")},
    "KerasNode": {"path": (3, "string"), "identifier": (4, "string"), "metadata": (5, "string")},
}

# What no function that TensorFlow calls by its name is called like, and all of its operations are.
_OPERATION = re.compile(r"_*[A-Z][A-Za-z0-9]*(>\w+)?")
# TensorFlow swaps functions that share this attribute, called or not.
_SWAPPED = "api_implements"
_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
_RESTORES = frozenset({"RestoreV2", "Restore", "RestoreSlice"})


def read_saved_model(path: Path, uri: str) -> Any:
    """The parsed `saved_model.pb` of the folder `path`.

    Raises:
        RunError: The file is damaged or holds no graph.
    """
    model = _parse("SavedModel", path / "saved_model.pb", uri)
    if not model.meta_graphs:
        raise RunError(f"--model {uri}: saved_model.pb holds no graph; export the model again.")
    return model


def read_keras_config(path: Path, uri: str) -> dict[str, Any]:
    """The layers' configuration that Keras 2 keeps beside the graph, for what it tells; empty where there is none."""
    metadata = path / "keras_metadata.pb"
    if not metadata.is_file():
        return {}
    for node in _parse("KerasMetadata", metadata, uri).nodes:
        if node.path == "root":
            try:
                described = json.loads(node.metadata, object_hook=_untuple)
            except (ValueError, RecursionError):
                return {}
            return described if isinstance(described, dict) and "config" in described else {}
    return {}


def _untuple(value: dict[str, Any]) -> Any:
    return value["items"] if value.get("class_name") == "__tuple__" and "items" in value else value


def forbidden_ops(model: Any) -> list[str]:
    """The operations, sorted, that are not known to compute on tensors only and that might be run.

    All functions are searched, called or not: TensorFlow swaps some, calls others while it loads, and takes gradients
    from others. Every SavedModel holds functions that save and restore its variables; where nothing but the saver
    reaches them, they may do that: restore from the model's own folder only, and save where loading runs none of it.
    """
    return sorted({op for meta in model.meta_graphs for op in _forbidden_in(meta)})


def _forbidden_in(meta: Any) -> Iterator[str]:
    functions: dict[str, list[Any]] = defaultdict(list)
    for function in meta.graph.library.functions:
        functions[function.signature.name].append(function)
    main = {node.name: node for node in meta.graph.nodes}
    restoring, saving = _upstream(main, [meta.saver.restore]), _upstream(main, [meta.saver.save])
    served = _upstream(main, _served(meta))
    apart = _apart(functions, meta, served, [*restoring, *saving])
    loaded = _reached(functions, _called(restoring))
    named = {name for name in functions if not _OPERATION.fullmatch(name)}
    yield from _beyond(served, ALLOWED_OPS | named)
    yield from _beyond(restoring, ALLOWED_OPS | RESTORING_OPS | named)
    for name, bodies in functions.items():
        of_saver = RESTORING_OPS | (frozenset() if name in loaded else SAVING_OPS)
        for body in bodies:
            yield from _beyond(body.nodes, ALLOWED_OPS | named | (of_saver if name in apart else frozenset()))
    yield from _strays(functions, apart, restoring, _tensor(meta.saver.filename))


def _beyond(nodes: Iterable[Any], allowed: Set[str]) -> set[str]:
    return {node.op for node in nodes} - allowed


def _apart(functions: dict[str, list[Any]], meta: Any, served: list[Any], saver: list[Any]) -> set[str]:
    """Names of the functions that the saver reaches and nothing else could call."""
    inside = _reached(functions, _called(saver))
    inside -= {name for name in inside if any(_SWAPPED in body.attrs for body in functions[name])}
    outside = [*_object_functions(meta.objects), *_called(served), *(functions.keys() - inside)]
    return inside - _reached(functions, outside)


def _strays(functions: dict[str, list[Any]], apart: set[str], restoring: list[Any], filename: str) -> Iterator[str]:
    """Yields what restores from another file than the one that TensorFlow names to the saver.

    That name is handed as it is to the operation that restores, or to the one function around it.
    """
    yield from _misled(restoring, {filename})
    seen = set()
    for node in restoring:
        for name in _called([node]):
            seen.add(name)
            for body in functions.get(name, ()):
                yield from _misled(body.nodes, _handed(node, name, body, filename))
    for name in apart - seen:
        for body in functions[name]:
            yield from _misled(body.nodes, set())


def _handed(node: Any, name: str, body: Any, filename: str) -> set[str]:
    """The arguments of a function that hold the file's name; branches and loops count their inputs otherwise."""
    given = [_tensor(value) for value in node.inputs if not value.startswith("^")]
    arguments = [argument.name for argument in body.signature.inputs]
    if node.op not in (*_CALLS, name) or len(given) != len(arguments):
        return set()
    return {argument for argument, value in zip(arguments, given, strict=True) if value == filename}


def _misled(nodes: Iterable[Any], own: set[str]) -> Iterator[str]:
    for node in nodes:
        if node.op in _RESTORES and not (node.inputs and _tensor(node.inputs[0]) in own):
            yield node.op


def _tensor(name: str) -> str:
    """A tensor's name as it stands among inputs; others than a node's first keep their number."""
    return name.removesuffix(":0")


def _object_functions(objects: Any) -> Iterator[str]:
    yield from objects.functions
    for node in objects.nodes:
        yield from node.function.names
        yield from node.bare_function.names


def _served(meta: Any) -> Iterator[str]:
    """Names of nodes of the main graph that loading or calling the model evaluates."""
    for signature in meta.signatures.values():
        for tensor in signature.outputs.values():
            yield from _tensor_names(tensor)
    for collection in meta.collections.values():
        yield from collection.nodes.names
        for value in collection.serialized.values:
            yield from _variable_nodes(value)


def _tensor_names(tensor: Any) -> Iterator[str]:
    yield from (tensor.name, tensor.sparse.values, tensor.sparse.indices, tensor.sparse.dense_shape)
    for component in tensor.composite.components:
        yield from _tensor_names(component)


def _variable_nodes(serialized: bytes) -> Iterator[str]:
    """Names of nodes that initialise the variable that a collection of TensorFlow 1 may hold; else none."""
    from google.protobuf.message import DecodeError

    variable = _classes()["Variable"]()
    with suppress(DecodeError):
        variable.ParseFromString(serialized)
        yield from (variable.name, variable.initializer, variable.initial_value)


def _node(name: str) -> str:
    return name.lstrip("^").partition(":")[0]


def _upstream(nodes: dict[str, Any], names: Iterable[str]) -> list[Any]:
    """The nodes that `names` (of tensors, `node:0`, or control inputs, `^node`) depend on, themselves included."""
    pending, seen = list(names), set()
    while pending:
        name = _node(pending.pop())
        if name in nodes and name not in seen:
            seen.add(name)
            pending.extend(nodes[name].inputs)
    return [nodes[name] for name in seen]


def _reached(functions: dict[str, list[Any]], names: Iterable[str]) -> set[str]:
    """The functions `names`, and all that these call."""
    pending, seen = list(names), set()
    while pending:
        name = pending.pop()
        if name in functions and name not in seen:
            seen.add(name)
            pending.extend(called for body in functions[name] for called in _called(body.nodes))
    return seen


def _called(nodes: Iterable[Any]) -> Iterator[str]:
    for node in nodes:
        yield node.op  # An operation of a function's name is a call of it.
        for attr in node.attrs.values():
            yield attr.function.name
            yield from (called.name for called in attr.list.functions)


def _parse(message: str, path: Path, uri: str) -> Any:
    from google.protobuf.message import DecodeError

    parsed = _classes()[message]()
    try:
        parsed.ParseFromString(path.read_bytes())
    except DecodeError as error:
        raise RunError(f"--model {uri}: {path.name} is damaged ({error}); copy the folder again.") from error
    return parsed


@cache
def _classes() -> dict[str, Any]:
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="saved_model_subset.proto", package="subset", syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            _add_field(message, field, number, kind)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {n: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"subset.{n}")) for n in _MESSAGES}


# Of `FieldDescriptorProto`.
_PLAIN = {"double": 1, "float": 2, "int": 5, "string": 9, "bytes": 12}


def _add_field(message: Any, field: str, number: int, kind: str) -> None:
    added = message.field.add(name=field, number=number, label=3 if kind[0] in "[{" else 1)
    target = kind.strip("[]{}")
    if kind.startswith("{"):
        # Maps are repeated entries of a key and a value, nested in the message.
        entry = message.nested_type.add(name="".join(part.title() for part in field.split("_")) + "Entry")
        entry.options.map_entry = True
        _add_field(entry, "key", 1, "string")
        _add_field(entry, "value", 2, target)
        target = f"{message.name}.{entry.name}"
    if target in _PLAIN:
        added.type = _PLAIN[target]
    else:
        added.type, added.type_name = added.TYPE_MESSAGE, f".subset.{target}"
