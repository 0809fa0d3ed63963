"""Class tables that are known by name: the public definitions' names, ids and colours, a file each in `known/`."""

import csv
from functools import cache
from importlib.resources import files

from maskbeam.pipeline.classes.class_rows import parse_color
from maskbeam.transforms.classes.class_table import ClassInfo, ClassTable

_FOLDER = files(__package__) / "known"


@cache
def known_names() -> tuple[str, ...]:
    """The names by which tables are known, in alphabetical order."""
    stems = (file.name.removesuffix(".csv") for file in _FOLDER.iterdir())
    return tuple(sorted(stem for stem in stems if "." not in stem))


def known_table(name: str, channels: int | None = None) -> ClassTable | None:
    """The class table of a data set, or None when the name is not known.

    `NAME.csv` holds it, and `NAME.CHANNELS.csv` the one for models of another number of classes. `voc` is Pascal VOC
    2012. `cityscapes_ids` are the classes that `cityscapes` numbers by train ids, with the label ids that its server
    asks for. `ade20k` is the scene parsing benchmark; `ade20k_ids` are the ids of its annotation files.

    Args:
        name: One of `known_names()`.
        channels: The model's number of classes, where a data set has tables of several sizes.
    """
    if name not in known_names():
        return None
    file = _FOLDER / f"{name}.{channels}.csv"
    text = (file if file.is_file() else _FOLDER / f"{name}.csv").read_text(encoding="utf-8")
    classes = tuple(
        ClassInfo(int(row["channel"]), int(row["id"]), row["name"], parse_color(row["color"], name))
        for row in csv.DictReader(text.splitlines())
    )
    return ClassTable(classes, source=name, shared_colors=True)
