"""Reads TensorFlow's SavedModel folders without TensorFlow: what they hold, and what their graphs would do.

Only the fields that are needed are declared, with their numbers as in TensorFlow's `saved_model.proto`,
`graph.proto`, `function.proto` and `saved_object_graph.proto`; the parser skips all others.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from transforms.errors import RunError

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
    "Function": {"signature": (1, "OpDef"), "nodes": (3, "[Node]"), "returned": (4, "{string}")},
    "OpDef": {"name": (1, "string"), "inputs": (2, "[Argument]"), "outputs": (3, "[Argument]")},
    "Argument": {"name": (1, "string")},
    "Node": {"name": (1, "string"), "op": (2, "string"), "inputs": (3, "[string]"), "attrs": (5, "{Attr}")},
    "Attr": {"list": (1, "AttrList"), "function": (10, "Called")},
    "AttrList": {"functions": (9, "[Called]")},
    "Called": {"name": (1, "string")},
    "Saver": {"restore_op_name": (3, "string")},
    "Collection": {"nodes": (1, "NodeList")},
    "NodeList": {"names": (1, "[string]")},
    "Signature": {"inputs": (1, "{Tensor}"), "outputs": (2, "{Tensor}")},
    "Tensor": {"name": (1, "string")},
    "Objects": {"nodes": (1, "[Object]"), "functions": (2, "{Ignored}")},
    "Object": {"function": (6, "ObjectFunctions"), "bare_function": (8, "ObjectFunctions")},
    "ObjectFunctions": {"names": (1, "[string]")},
    "Ignored": {},
    "KerasMetadata": {"nodes": (1, "[KerasNode]")},
    "KerasNode": {"path": (3, "string"), "identifier": (4, "string"), "metadata": (5, "string")},
}

# Operations that touch files, the network, other processes or Python. Iterators and data sets are here because
# they read files or call Python; checkpoints are, because they write wherever they are told.
_FORBIDDEN = re.compile(
    r"File|PyFunc|Dataset|Iterator|Reader|Summary|Debug|Dump|^Print|Rpc|Remote|Host|Send|Recv|Save|Restore|Snapshot"
    r"|^ShardedFile|MergeV2Checkpoints|Checkpoint|LoadAndRemap|LoadLibrary|ImportEvent|RecordInput|LMDB|Sql"
    r"|EncodeProto|DecodeProto|TPU|Collective|SessionHandle|SessionTensor|WorkerHeartbeat|DeserializeSparse$"
)
_RESTORES = frozenset({"RestoreV2", "Restore"})


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
    """The operations, sorted, that touch more than tensors and that loading or calling the model could reach.

    Every SavedModel holds functions that save and restore its variables. Saving is never run here, so it counts
    only where a signature or a function of the object graph leads to it; restoring may read checkpoints.
    """
    found: set[str] = set()
    for meta in model.meta_graphs:
        functions: dict[str, list[Any]] = defaultdict(list)
        for function in meta.graph.library.functions:
            functions[function.signature.name].extend(function.nodes)
        main = {node.name: node for node in meta.graph.nodes}
        found |= _forbidden(_all_ops(functions, _upstream(main, _served(meta)), _object_functions(meta.objects)))
        restored = _all_ops(functions, _upstream(main, [meta.saver.restore_op_name]), [])
        found |= _forbidden(restored) - _RESTORES
    return sorted(found)


def _object_functions(objects: Any) -> Iterator[str]:
    yield from objects.functions
    for node in objects.nodes:
        yield from node.function.names
        yield from node.bare_function.names


def _served(meta: Any) -> list[str]:
    """Names of nodes of the main graph that loading or calling the model evaluates."""
    outputs = [tensor.name for signature in meta.signatures.values() for tensor in signature.outputs.values()]
    return outputs + [name for collection in meta.collections.values() for name in collection.nodes.names]


def _upstream(nodes: dict[str, Any], names: Iterable[str]) -> list[Any]:
    """The nodes that `names` (of tensors, `node:0`, or control inputs, `^node`) depend on, themselves included."""
    pending, seen = list(names), set()
    while pending:
        name = pending.pop().lstrip("^").partition(":")[0]
        if name in nodes and name not in seen:
            seen.add(name)
            pending.extend(nodes[name].inputs)
    return [nodes[name] for name in seen]


def _all_ops(functions: dict[str, list[Any]], nodes: list[Any], names: Iterable[str]) -> Iterator[str]:
    """The operations of `nodes`, of the functions `names`, and of all functions that these call."""
    yield from (node.op for node in nodes)
    pending, seen = [*names, *_functions_called(nodes)], set()
    while pending:
        name = pending.pop()
        if name in functions and name not in seen:
            seen.add(name)
            yield from (node.op for node in functions[name])
            pending.extend(_functions_called(functions[name]))


def _functions_called(nodes: Iterable[Any]) -> Iterator[str]:
    for node in nodes:
        yield node.op  # An operation of a function's name is a call of it.
        for attr in node.attrs.values():
            yield attr.function.name
            yield from (called.name for called in attr.list.functions)


def _forbidden(ops: Iterable[str]) -> set[str]:
    return {op for op in ops if _FORBIDDEN.search(op)}


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
    if target == "string":
        added.type = added.TYPE_STRING
    else:
        added.type, added.type_name = added.TYPE_MESSAGE, f".subset.{target}"
