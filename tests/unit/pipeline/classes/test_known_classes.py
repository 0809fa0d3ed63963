"""The built-in tables hold the public definitions: checked where an algorithm or a well-known value gives them."""

from dataclasses import astuple
from pathlib import Path

import pytest

from maskbeam.pipeline.classes.class_csv import read_csv
from maskbeam.pipeline.classes.known_classes import known_names, known_table
from maskbeam.transforms.classes.class_table import ClassTable


def known(name: str, channels: int | None = None) -> ClassTable:
    table = known_table(name, channels)
    assert table is not None
    return table


def voc_color(index: int) -> tuple[int, ...]:
    """The colour map of the VOC development kit: bits of the index dealt out to red, green and blue in turn."""
    bits = f"{index:024b}"[::-1]
    return tuple(int("".join(bits[channel::3]), 2) for channel in range(3))


def test_voc() -> None:
    table = known("voc")
    assert (len(table), table.names[0], table.names[15], table.names[20]) == (21, "background", "person", "tvmonitor")
    assert table.ids == tuple(range(21))
    assert table.check_ignore(None) == 255
    assert [table.colors[i] for i in range(21)] == [voc_color(i) for i in range(21)]


def test_cityscapes_channels_become_train_ids_or_label_ids() -> None:
    train, label, whole = known("cityscapes"), known("cityscapes_ids"), known("cityscapes_ids", 34)
    assert train.ids == tuple(range(19))
    assert label.ids == (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
    assert train.names == label.names
    assert [c.color for c in train.classes] == [c.color for c in label.classes]
    assert whole.ids == tuple(range(34))
    assert [whole.names[i] for i in label.ids] == list(label.names)
    assert (train.names[0], train.colors[0]) == ("road", (128, 64, 128))
    assert (train.names[18], train.colors[18]) == ("bicycle", (119, 11, 32))
    assert (whole.names[9], whole.colors[9]) == ("parking", (250, 170, 160))


def test_ade20k() -> None:
    table, annotated = known("ade20k"), known("ade20k_ids")
    assert (table.names[0], table.names[7], table.names[149]) == ("wall", "bed", "flag")
    assert (table.colors[0], table.colors[4], table.colors[149]) == ((120, 120, 120), (4, 200, 3), (92, 0, 255))
    assert table.ids == tuple(range(150))
    assert annotated.ids == tuple(range(1, 151))
    assert annotated.names == table.names
    assert len(set(table.colors.values())) == 149  # road and skyscraper share one


def test_ade20k_with_the_rest_as_channel_0() -> None:
    table = known("ade20k_ids", 151)
    assert (table.names[:2], table.ids) == (("other", "wall"), tuple(range(151)))


def test_tables_are_known_by_the_names_of_their_files() -> None:
    assert known_names() == ("ade20k", "ade20k_ids", "cityscapes", "cityscapes_ids", "voc")


@pytest.mark.parametrize("file", sorted(Path("pipeline/classes/known").iterdir()), ids=lambda file: file.stem)
def test_each_file_is_a_class_table_that_users_may_take_as_their_own(file: Path) -> None:
    name, _, channels = file.stem.partition(".")
    rows = read_csv(file.read_text(), file.name).rows
    held = [(row.channel, row.id, row.name, row.color, row.taken_as) for row in rows]
    assert held == [astuple(c) for c in known(name, int(channels or 0)).classes]


def test_an_unknown_name_is_no_table() -> None:
    assert known_table("voc.csv") is None
