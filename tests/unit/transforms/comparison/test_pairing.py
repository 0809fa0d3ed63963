import pytest

from maskbeam.transforms.classes.class_table import ClassInfo, ClassTable
from maskbeam.transforms.comparison.pairing import WHITE, pair_classes
from maskbeam.transforms.errors import RunError
from maskbeam.transforms.products.palette import VOID_COLOR


def table(*rows: tuple[int, str] | tuple[int, str, str], source: str = "t.csv") -> ClassTable:
    classes = (ClassInfo(n, row[0], row[1], (n, 9, 9), *row[2:]) for n, row in enumerate(rows))
    return ClassTable(tuple(classes), source)


OURS = table((7, "Road"), (3, "Sky"), (12, "Fußgänger"))


def test_names_pair_whatever_ids_and_order() -> None:
    theirs = table((1, " FUSSGÄNGER"), (0, "sky "), (2, "road"))
    pairing = pair_classes(OURS, theirs, flag="--truth_classes", ignored=(99,))
    assert {i: pairing.ids[i] for i in (0, 1, 2, 99, 255, 65535)} == {0: 1, 1: 2, 2: 0, 99: 3, 255: 3, 65535: 3}
    assert pairing.in_order == (2, 1, 0)
    assert pairing.colors[0, 9, 9] == 2
    assert pairing.colors[WHITE] == pairing.colors[VOID_COLOR] == 3


def test_without_a_table_ids_are_the_models() -> None:
    pairing = pair_classes(OURS, None, flag="--truth_classes")
    assert {i: at for i, at in pairing.ids.items() if at < 3} == {7: 0, 3: 1, 12: 2}
    assert pairing.notes == ()


def test_a_class_keeps_what_others_call_ignored() -> None:
    theirs = ClassTable((ClassInfo(0, 255, "sky", WHITE),), "t.csv")
    pairing = pair_classes(OURS, theirs, flag="--truth_classes", ignored=(255,))
    assert pairing.ids[255] == pairing.colors[WHITE] == 1


def test_as_merges_renames_and_leaves_out() -> None:
    theirs = table((0, "lane", "road"), (1, "kerb", "ROAD"), (2, "air", "Sky"), (3, "void", ""))
    pairing = pair_classes(OURS, theirs, flag="--truth_classes")
    assert [pairing.ids[i] for i in range(4)] == [0, 0, 1, 3]
    assert pairing.notes == (
        "the reference (t.csv) has no 'Fußgänger': where the model sees it, it is wrong",
        "left out of the reference: 'void'",
    )


def test_a_name_without_a_partner_is_refused_with_near_ones_and_what_to_write() -> None:
    with pytest.raises(RunError) as caught:
        pair_classes(OURS, table((0, "raod"), (1, "sky"), (2, "xyzw")), flag="--old_classes")
    said = str(caught.value)
    assert said.startswith("--old_classes t.csv: no class of the model is called 'raod' (near: 'Road'); 'xyzw' (")
    assert "the model has 'Road', 'Sky', 'Fußgänger')" in said
    assert "a column `as`" in said


def test_a_colour_of_two_partners_stands_for_none() -> None:
    rows = (ClassInfo(0, 0, "road", (5, 5, 5)), ClassInfo(1, 1, "sky", (5, 5, 5)))
    pairing = pair_classes(OURS, ClassTable(rows, "t", shared_colors=True), flag="--truth_classes")
    assert (5, 5, 5) not in pairing.colors
