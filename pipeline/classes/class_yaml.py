"""Class files in YAML: Ultralytics' `data.yaml`, lists of names, and whatever else JSON may hold."""

import re
from typing import Any

from maskbeam.pipeline.classes.class_json import rows_of, unique_keys
from maskbeam.pipeline.classes.class_rows import Rows
from maskbeam.transforms.errors import RunError

# YAML is parsed slowly; a million characters take ten seconds.
_MAX_CHARACTERS = 100_000
_MAX_DEPTH = 8
_INTEGER, _NULL = "tag:yaml.org,2002:int", "tag:yaml.org,2002:null"


def is_yaml(text: str) -> bool:
    """True if this is YAML for certain: it begins with `---`, has a key such as `names`, or is a list with dashes."""
    lines = [line for line in text.split("\n") if line.strip() and not line.startswith("#")]
    return bool(lines) and (
        lines[0].rstrip() == "---"
        or any(re.match(r"(names|labels|categories|id2label):(\s|\Z)", line) for line in lines)
        or all(line.startswith("- ") for line in lines)
    )


def read_yaml(text: str, source: str) -> Rows:
    """Reads a class file in YAML; its shape tells which. Names such as `no` stay texts.

    Raises:
        RunError: It is not YAML, or of no known shape, or a value is wrong; names the place and the value.
    """
    if len(text) > _MAX_CHARACTERS:
        raise RunError(f"{source}: it has over {_MAX_CHARACTERS:,} characters, too many for YAML; write a CSV table")
    return rows_of(_load(text, source), source, "YAML")


def _load(text: str, source: str) -> Any:
    import yaml

    try:
        _check_tokens(text)
        return _plain(yaml.compose(text, yaml.SafeLoader))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise RunError(f"{source}, line {line}: not YAML ({error.problem})") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise RunError(f"{source}: not usable as YAML ({str(error)[:80]})") from None


def _check_tokens(text: str) -> None:
    """Stops before what takes more time than any class table: references, and deep nesting."""
    import yaml

    blocks = (yaml.BlockSequenceStartToken, yaml.BlockMappingStartToken)
    opening = (yaml.FlowSequenceStartToken, yaml.FlowMappingStartToken, *blocks)
    closing = (yaml.FlowSequenceEndToken, yaml.FlowMappingEndToken, yaml.BlockEndToken)
    depth = 0
    for token in yaml.scan(text):
        depth += isinstance(token, opening) - isinstance(token, closing)
        if depth > _MAX_DEPTH:
            raise ValueError("it is nested deeper than any class table")
        if isinstance(token, yaml.AliasToken):
            raise ValueError("it refers from one place to another, with *")


def _plain(node: Any) -> Any:
    """A node as JSON would give it: keys are texts, scalars are whole numbers, None or texts."""
    if node is None or node.tag == _NULL:
        return None
    if node.id == "mapping":
        return unique_keys([(str(key.value), _plain(value)) for key, value in node.value])
    if node.id == "sequence":
        return [_plain(value) for value in node.value]
    return int(node.value) if node.tag == _INTEGER and node.value.isdecimal() else str(node.value)
