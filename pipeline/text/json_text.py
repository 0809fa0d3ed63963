"""JSON as the reports hold it: the same bytes for the same values."""

import json
from collections.abc import Mapping, Set
from typing import Any


def json_text(content: Any, *, indent: int | None = None) -> str:
    r"""A value as JSON: floats with nine significant digits, sets sorted, mappings in their own order.

    Halves of surrogate pairs, which names of old files may hold and UTF-8 may not, become `\udcXX`, which is just
    these halves in JSON.

    Raises:
        ValueError: A number that JSON does not have, such as NaN.
    """
    text = json.dumps(_plain(content), indent=indent, ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "backslashreplace").decode()


def in_order(value: Any) -> Any:
    """The value with all its mappings sorted by key."""
    if isinstance(value, Mapping):
        return {str(key): in_order(value[key]) for key in sorted(value, key=str)}
    return [in_order(item) for item in value] if isinstance(value, list | tuple) else value


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return float(format(value, ".9g"))
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, Set):
        return sorted(map(_plain, value), key=str)
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
