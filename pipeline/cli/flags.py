"""The flags of `maskbeam run`, in the order in which a person needs them: the fields of its options, by group."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

from maskbeam.pipeline.models.engines.registry import WORDS as ENGINES
from maskbeam.pipeline.options import RunOptions
from maskbeam.pipeline.options.flag import FLAG, Flag

#: Groups of the help, by the name that fields give them, with their titles.
GROUPS = {
    "needed": "needed",
    "try": "to try first",
    "input": "input",
    "model": "model",
    "tiles": "images larger than the model sees at once",
    "geo": "georeferenced rasters",
    "labels": "labels",
    "output": "output",
    "compare": "masks against truth or old labels, after the run",
    "rerun": "when a run is repeated or goes wrong",
    "cluster": "on several machines",
}
# Where the help shows the fields of a class that name no other group.
_USUAL = {
    "read": "input", "decode": "input", "model": "model", "raster": "geo", "tile": "tiles", "label": "labels",
    "output": "output",
}  # fmt: skip
# Values that a room above the options knows, by field.
_CHOICES = {"model.engine": ENGINES}
SECTIONS = {"run": RunOptions} | {
    field.name: type(getattr(RunOptions(), field.name))
    for field in fields(RunOptions)
    if is_dataclass(getattr(RunOptions(), field.name))
}


def options_of(section: str) -> Iterator[Flag]:
    """All options of a section, by field; those without help have no flag."""
    for field in fields(SECTIONS[section]):
        if FLAG in field.metadata:
            said: Flag = field.metadata[FLAG]
            target = f"{section}.{field.name}"
            choices = said.choices or _CHOICES.get(target)
            yield replace(
                said,
                name=said.name or field.name,
                target=target,
                default=field.default,
                choices=choices,
                metavar=said.metavar or ("WORD" if choices else ""),
                group=said.group or _USUAL.get(section, ""),
            )


ALL = tuple(flag for section in SECTIONS for flag in options_of(section) if flag.help)
FLAGS: dict[str, list[Flag]] = {group: [flag for flag in ALL if flag.group == group] for group in GROUPS}


def value_of(options: RunOptions, flag: Flag) -> Any:
    """The value of a flag's field."""
    section, name = flag.target.split(".")
    return getattr(getattr(options, section, options), name)


def with_value(options: RunOptions, flag: Flag, value: Any) -> RunOptions:
    """The same options with another value of a flag's field."""
    section, name = flag.target.split(".")
    if section == "run":
        return replace(options, **{name: value})
    return replace(options, **{section: replace(getattr(options, section), **{name: value})})
