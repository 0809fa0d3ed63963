"""A class table that exists is valid; what is wrong with one is said with its place and value."""

import re
from dataclasses import replace

import pytest

from maskbeam.transforms.classes.class_table import ClassInfo, ClassTable, generated_table, hex_color
from maskbeam.transforms.errors import RunError

FIELD = ClassInfo(0, 10, "field", (1, 2, 3))
WATER = ClassInfo(1, 20, "water", (4, 5, 6))
BACKGROUND = ClassInfo(2, 0, "background", (0, 0, 0))


def table(*classes: ClassInfo) -> ClassTable:
    return ClassTable(classes, "names.csv")


def test_classes_come_by_channel() -> None:
    by_channel = table(BACKGROUND, WATER, FIELD)
    assert by_channel.names == ("field", "water", "background")
    assert by_channel.ids == (10, 20, 0)
    assert by_channel.colors[20] == (4, 5, 6)
    assert len(by_channel) == 3


def test_palette_is_by_id() -> None:
    palette = table(FIELD, WATER, replace(BACKGROUND, id=300)).palette
    assert len(palette) == 768
    assert tuple(palette[30:33]) == (1, 2, 3)
    assert tuple(palette[60:63]) == (4, 5, 6)
    assert set(palette[:30]) == {0}


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (replace(WATER, id=10), "channel 1: id 10 is already taken: channel 0 has id 10"),
        (replace(WATER, name="field"), "channel 1: name 'field' is already taken"),
        (replace(WATER, name="FIELD"), "channel 0 has name 'field', which would share one folder"),
        (replace(WATER, color=(1, 2, 3)), "colour #010203 is already taken"),
        (replace(WATER, id=-1), "id -1 is not within 0..65535"),
        (replace(WATER, id=65536), "id 65536 is not within 0..65535"),
        (replace(WATER, name="a\x1b[31m"), "the name of the class with id 20 holds the control character '\\x1b'"),
        (replace(WATER, name="a\nb"), "holds the control character '\\n'"),
        (replace(WATER, name="a\u2028b"), "holds the control character '\\u2028'"),
        (replace(WATER, name="x" * 201), "has 201 characters, more than 200"),
        (replace(WATER, name=" \t"), "the class with id 20 has no name"),
        (replace(WATER, color=(256, 0, 0)), "colour (256, 0, 0) of 'water' is not within 0..255"),
        (replace(WATER, channel=2), "there are: 0, 2"),
        (replace(WATER, channel=0), "there are: 0, 0"),
    ],
)
def test_what_is_wrong_is_named(wrong: ClassInfo, says: str) -> None:
    with pytest.raises(RunError, match=re.escape(says)) as caught:
        table(FIELD, wrong)
    assert "names.csv" in str(caught.value)


def test_names_of_any_script_are_fine() -> None:
    names = ["x" * 200, "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\u7530\u3093\u307c", "a\u00a0b"]
    assert table(*(ClassInfo(i, i, name, (i, 0, 0)) for i, name in enumerate(names))).names == tuple(names)


def test_the_likely_cause_is_what_is_certainly_no_class() -> None:
    classes = [ClassInfo(i, i, name, (i, 0, 0)) for i, name in enumerate(["_background_", "road", "__ignore__"])]
    with pytest.raises(RunError, match=r"probably '__ignore__' \(channel 2\) is no channel of the model"):
        table(*classes).check_channels(2)


def test_composed_and_decomposed_names_are_one_folder() -> None:
    with pytest.raises(RunError, match="already taken"):
        table(replace(FIELD, name="caf\u00e9"), replace(WATER, name="cafe\u0301"))


def test_an_empty_table_is_refused() -> None:
    with pytest.raises(RunError, match="there are: none"):
        table()


def test_names_are_data() -> None:
    names = ["../../etc", "=1+1", "a/b", "<b>", "x y", "NUL"]
    odd = table(*(ClassInfo(i, i, name, (i, 0, 0)) for i, name in enumerate(names)))
    assert odd.names == tuple(names)


@pytest.mark.parametrize(
    ("classes", "channels", "says"),
    [
        ((FIELD, WATER), 3, "lists 2 classes, but the model has 3 classes; probably the background is missing"),
        ((FIELD, WATER, BACKGROUND), 4, "'background' (channel 2) is there, so another class is missing"),
        ((FIELD, WATER, BACKGROUND), 2, "probably 'background' (channel 2) is no channel of the model"),
        ((FIELD, WATER), 1, "the model has 1 class; probably the model was trained without one of them"),
        ((FIELD, WATER), 21, "lists 2 classes, but the model has 21 classes; give the table"),
    ],
)
def test_another_count_than_the_models_names_the_likely_cause(
    classes: tuple[ClassInfo, ...], channels: int, says: str
) -> None:
    with pytest.raises(RunError, match=re.escape(says)):
        table(*classes).check_channels(channels)


def test_only_the_models_count_passes() -> None:
    def passes(channels: int) -> bool:
        try:
            table(FIELD, WATER).check_channels(channels)
        except RunError:
            return False
        return True

    assert [channels for channels in range(1, 6) if passes(channels)] == [2]


@pytest.mark.parametrize(("classes", "wide", "default"), [(255, False, 255), (256, True, 65535), (300, True, 65535)])
def test_more_than_255_classes_need_16_bits(classes: int, wide: bool, default: int) -> None:
    many = generated_table(classes)
    assert many.wide is wide
    assert many.check_ignore(None) == default


@pytest.mark.parametrize(
    ("ignore_label", "says"),
    [(20, "is the id of 'water'"), (256, "masks of this table hold 0..255"), (-1, "does not fit")],
)
def test_an_ignore_label_that_cannot_be_is_refused(ignore_label: int, says: str) -> None:
    with pytest.raises(RunError, match=re.escape(says)):
        table(FIELD, WATER).check_ignore(ignore_label)


def test_an_ignore_label_that_no_class_owns_is_kept() -> None:
    assert table(FIELD, WATER).check_ignore(0) == 0


def test_the_default_ignore_label_can_be_owned_too() -> None:
    with pytest.raises(RunError, match="--ignore_label 65535 is the id of 'water'"):
        table(FIELD, replace(WATER, id=65535)).check_ignore(None)


def test_a_class_is_found_by_name() -> None:
    assert table(FIELD, WATER).named("water") is WATER
    with pytest.raises(RunError, match="no class 'watr'; it has, for example, 'water'"):
        table(FIELD, WATER).named("watr")


def test_generated_tables() -> None:
    assert generated_table(3).names == ("class_0", "class_1", "class_2")
    sigmoid = generated_table(2, sigmoid=True)
    assert sigmoid.names == ("background", "foreground")
    assert hex_color(sigmoid.colors[0]) == "#000000"
    assert "class_0 to class_2" in generated_table(3).notes[0]
