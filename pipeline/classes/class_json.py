"""Class files in JSON or YAML: Hugging Face, Keras, nnU-Net, CVAT, COCO, Ultralytics, and a plain list of names."""

import json
from typing import Any

from maskbeam.pipeline.classes.class_columns import check_names, find_roles, make_rows
from maskbeam.pipeline.classes.class_rows import Row, Rows, parse_id
from maskbeam.transforms.errors import RunError

_KNOWN = (
    "Hugging Face's id2label, Keras' class_indices, nnU-Net's dataset.json, CVAT's labels, COCO's categories, "
    "Ultralytics' names or a list of names"
)
# Under one of these a file with more in it keeps its classes.
_LISTS = ("labels", "categories", "names")


def read_json(text: str, source: str) -> Rows:
    """Reads a class file in JSON; its shape tells which.

    Raises:
        RunError: It is not JSON, or of no known shape, or a value is wrong; names the place and the value.
    """
    return rows_of(_load(text, source), source, "JSON")


def rows_of(content: Any, source: str, form: str) -> Rows:
    """The classes in what JSON or YAML, as `form` says, was parsed to; keys are texts.

    Raises:
        RunError: It is of no known shape, or a value is wrong; names the place and the value.
    """
    if isinstance(content, dict):
        _check_agreement(content, source)
        content = next((content[key] for key in _LISTS if isinstance(content.get(key), list)), content)
    if isinstance(content, list):
        return _names(content, source) if isinstance(next(iter(content), ""), str) else _objects(content, source)
    found = _mapping(content, source) if isinstance(content, dict) else None
    if found is None:
        raise RunError(f"{source}: this {form} is none of {_KNOWN}")
    return found


def _check_agreement(content: dict[str, Any], source: str) -> None:
    """Makes sure that a file does not contradict itself: Hugging Face's two tables, Ultralytics' count."""
    names, numbers = content.get("id2label"), content.get("label2id")
    if isinstance(names, dict) and isinstance(numbers, dict):
        for name, number in numbers.items():
            if names.get(str(number)) != name:
                raise RunError(
                    f"{source}: label2id says that {name[:40]!r} is {str(number)[:40]}, and id2label calls that "
                    f"{str(names.get(str(number)))[:40]!r}: correct one, or remove label2id"
                )
    names, number = content.get("names"), content.get("nc")
    if isinstance(names, list | dict) and _is_int(number) and number != len(names):
        raise RunError(f"{source}: nc is {number}, and there are {len(names)} names: correct one of them")


def _mapping(content: dict[str, Any], source: str) -> Rows | None:
    for key in ("id2label", "names"):
        if isinstance(content.get(key), dict):
            return _id_to_name(content[key], source, key)
    if isinstance(content.get("labels"), dict):
        return _nnunet(content["labels"], source)
    if content and all(isinstance(value, str) for value in content.values()):
        return _id_to_name(content, source, "id-to-name table")
    if content and all(_is_int(value) for value in content.values()):
        return _name_to_id(content, source, "class_indices")
    return None


def _load(text: str, source: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=unique_keys)
    except json.JSONDecodeError as error:
        raise RunError(f"{source}, line {error.lineno}: not JSON ({error.msg}, column {error.colno})") from error
    except (ValueError, RecursionError) as error:
        raise RunError(f"{source}: not usable as JSON ({error})") from error


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The pairs as a dict; raises ValueError for a key that stands twice."""
    content: dict[str, Any] = {}
    for key, value in pairs:
        if key in content:
            raise ValueError(f"key {key[:40]!r} stands twice in one object")
        content[key] = value
    return content


def _names(content: list[Any], source: str) -> Rows:
    for i, name in enumerate(content):
        if not isinstance(name, str):
            raise RunError(f"{source}, entry {i}: {str(name)[:40]!r} is no name, but the entries before it are")
    check_names(content, source)
    return Rows("list of names", tuple(Row(name.strip(), f"entry {i}") for i, name in enumerate(content)))


def _objects(content: list[Any], source: str) -> Rows:
    """A list of objects: CVAT's labels ("Raw" in its label constructor), COCO's categories, or rows of a table.

    The `id` of CVAT's labels is CVAT's own and not what masks hold; they have `attributes`, and others do not.
    """
    for i, entry in enumerate(content):
        if not isinstance(entry, dict):
            raise RunError(f"{source}, entry {i}: {str(entry)[:40]!r} is no object with a `name`, as classes are")
    if any("attributes" in entry for entry in content):
        kept = [{key: entry[key] for key in ("name", "color") if key in entry} for entry in content]
        return make_rows("CVAT label list", [_cell(entry, i, source) for i, entry in enumerate(kept)], source)
    cells = [_cell(entry, i, source) for i, entry in enumerate(content)]
    for role in ("id", "channel", "train_id"):
        lacking = [where for cell, where in cells if not cell.get(role)]
        if lacking and len(lacking) < len(cells):
            raise RunError(f"{source}, {lacking[0]}: has no {role}, but others have; give it to all or to none")
    return make_rows("list of objects", cells, source)


def _cell(entry: dict[str, Any], i: int, source: str) -> tuple[dict[str, str], str]:
    where, titles = f"entry {i}", list(entry)
    roles = find_roles(titles, f"{source}, {where}")
    if "name" not in roles or not isinstance(entry[titles[roles["name"]]], str):
        raise RunError(f"{source}, {where}: {str(entry)[:40]!r} has no `name`, which every class needs")
    return {role: _text(entry[titles[at]], f"{source}, {where}", titles[at]) for role, at in roles.items()}, where


def _text(value: Any, place: str, title: str) -> str:
    """A value as a CSV table would hold it."""
    if value is None:
        return ""
    if isinstance(value, list) and all(_is_int(number) for number in value):
        return ",".join(map(str, value))
    if isinstance(value, str) or _is_int(value):
        return str(value)
    raise RunError(f"{place}: {title} {str(value)[:40]!r} is neither text nor a whole number nor a list of those")


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
