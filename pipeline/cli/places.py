"""Paths among options, as they read from any working directory: they identify images from run to run."""

from typing import Any

from maskbeam.pipeline.cli.flags import ALL, value_of, with_value
from maskbeam.pipeline.options import RunOptions
from maskbeam.pipeline.options.flag import Flag

# Class tables, which may be called by a name that is known here.
_TABLES = ("label.classes", "compare.truth_classes", "compare.old_classes")


def absolute_options(options: RunOptions) -> RunOptions:
    """The same options with absolute paths.

    Raises:
        RunError: A path is a URI of a scheme that is not supported.
    """
    for flag in (flag for flag in ALL if flag.place):
        if value := value_of(options, flag):
            options = with_value(options, flag, _absolute(flag, value))
    return options


def _absolute(flag: Flag, value: Any) -> Any:
    from maskbeam.pipeline.storage import absolute

    if flag.many:
        return tuple(map(absolute, value))
    if flag.target in _TABLES and _is_known_table(value):
        return value
    path = absolute(value)
    # A folder that is written to is called by one name.
    return path.rstrip("/") or "/" if flag.target == "output.path" else path


def _is_known_table(name: str) -> bool:
    from maskbeam.pipeline.classes.known_classes import known_names

    return name in known_names()
