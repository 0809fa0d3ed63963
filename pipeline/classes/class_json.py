"""Class files in JSON: Hugging Face, Keras, nnU-Net, CVAT, and a plain list of names."""

import json
from typing import Any

from pipeline.classes.class_rows import Row, Rows, parse_color, parse_id
from transforms.errors import RunError

_KNOWN = "Hugging Face's id2label, Keras' class_indices, nnU-Net's dataset.json, CVAT's labels or a list of names"


def read_json(text: str, source: str) -> Rows:
    """Reads a class file in JSON; its shape tells which.

    Raises:
        RunError: It is not JSON, or of no known shape, or a value is wrong; names the place and the value.
    """
    content = _load(text, source)
    if isinstance(content, dict) and isinstance(content.get("labels"), list):
        content = content["labels"]
    if isinstance(content, list):
        return _names(content, source) if isinstance(next(iter(content), ""), str) else _cvat(content, source)
    if isinstance(content, dict):
        if isinstance(content.get("id2label"), dict):
            return _id_to_name(content["id2label"], source, "id2label")
        if isinstance(content.get("labels"), dict):
            return _nnunet(content["labels"], source)
        if content and all(isinstance(value, str) for value in content.values()):
            return _id_to_name(content, source, "id-to-name table")
        if content and all(_is_int(value) for value in content.values()):
            return _name_to_id(content, source, "class_indices")
    raise RunError(f"{source}: this JSON is none of {_KNOWN}")


def _load(text: str, source: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_unique_keys)
    except json.JSONDecodeError as error:
        raise RunError(f"{source}, line {error.lineno}: not JSON ({error.msg}, column {error.colno})") from error
    except (ValueError, RecursionError) as error:
        raise RunError(f"{source}: not usable as JSON ({error})") from error


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        doubled = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"key {doubled!r} stands twice in one object")
    return content


def _names(content: list[Any], source: str) -> Rows:
    for i, name in enumerate(content):
        if not isinstance(name, str):
            raise RunError(f"{source}, entry {i}: {str(name)[:40]!r} is no name, but the entries before it are")
    return Rows("list of names", tuple(Row(name.strip(), f"entry {i}") for i, name in enumerate(content)))


def _cvat(content: list[Any], source: str) -> Rows:
    """CVAT's labels ("Raw" in its label constructor). Their `id` is CVAT's own and not what masks hold."""
    rows = []
    for i, entry in enumerate(content):
        place = f"{source}, entry {i}"
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            raise RunError(f"{place}: {str(entry)[:40]!r} has no `name`, which every label of CVAT's has")
        color = entry.get("color")
        if color is not None and not isinstance(color, str):
            raise RunError(f"{place}: colour {str(color)[:40]!r} is no text such as #rrggbb")
        rows.append(Row(entry["name"].strip(), f"entry {i}", color=parse_color(color, place) if color else None))
    return Rows("CVAT label list", tuple(rows))


def _id_to_name(content: dict[str, Any], source: str, kind: str) -> Rows:
    rows = []
    for key, name in content.items():
        if not isinstance(name, str):
            raise RunError(f"{source}, key {key!r}: {str(name)[:40]!r} is no name")
        channel = parse_id(key, "key", f"{source}, {kind}")
        rows.append(Row(name.strip(), f"key {key!r}", channel, channel))
    return Rows(kind, tuple(rows))


def _name_to_id(content: dict[str, Any], source: str, kind: str) -> Rows:
    rows = []
    for name, value in content.items():
        if not _is_int(value):
            raise RunError(f"{source}, key {name!r}: {str(value)[:40]!r} is no whole number")
        channel = parse_id(str(value), "id", f"{source}, key {name!r}")
        rows.append(Row(name.strip(), f"key {name!r}", channel, channel))
    return Rows(kind, tuple(rows))


def _nnunet(labels: dict[str, Any], source: str) -> Rows:
    """The `labels` of nnU-Net's `dataset.json`: number to name in version 1, name to number in version 2.

    Version 2 may hold an `ignore` label, which the network does not predict, and regions, which are sets of labels.
    """
    if labels and all(isinstance(value, str) for value in labels.values()):
        return _id_to_name(labels, source, "dataset.json of nnU-Net 1")
    single = {
        name: value[0] if isinstance(value, list) and len(value) == 1 else value for name, value in labels.items()
    }
    regions = [name for name, value in single.items() if isinstance(value, list)]
    if regions:
        raise RunError(
            f"{source}, key {regions[0]!r}: {single[regions[0]]} is a region, a set of labels, so its channels "
            "overlap; write the model's channels as a CSV table (channel,id,name) and use --head multilabel"
        )
    ignored = single.pop("ignore", None)
    rows = _name_to_id(single, source, "dataset.json of nnU-Net 2")
    if ignored is None:
        return rows
    return Rows(rows.kind, rows.rows, (f"label 'ignore' ({ignored}) is no class: nnU-Net does not predict it",))


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
