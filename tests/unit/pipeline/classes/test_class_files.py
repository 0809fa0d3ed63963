"""Every kind of class file, told by its content, with errors that name file, place and value."""

import json
import re
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskbeam.pipeline.classes.class_files import load_class_table, parse_classes, read_class_table
from maskbeam.pipeline.classes.class_json import unique_keys
from maskbeam.pipeline.storage import NotFound
from maskbeam.transforms.classes.class_table import ClassTable
from maskbeam.transforms.errors import RunError


def giving(content: str | bytes) -> Callable[[str], bytes]:
    """Storage that holds this content under any name."""
    return lambda _: content if isinstance(content, bytes) else content.encode()


def missing(_: str) -> bytes:
    raise NotFound("no such file")


def load(content: str, name: str = "classes.txt", channels: int = 3) -> ClassTable:
    return load_class_table(name, channels=channels, read=giving(content))


LABELMAP = """\
# label:color_rgb:parts:actions
background:0,0,0::
road:128,64,128::
a:b:::
"""
CVAT = json.dumps(
    [
        {"name": "background", "id": 4711, "color": "#000000", "attributes": [], "type": "any"},
        {"name": "road", "id": 4712, "color": "#804080", "attributes": []},
        {"name": "a:b", "id": 4713, "color": None},
    ]
)
CONFIG = json.dumps({"model_type": "segformer", "id2label": {"1": "road", "0": "background", "2": "a:b"}})
CLASS_INDICES = json.dumps({"road": 1, "a:b": 2, "background": 0})
NNUNET_1 = json.dumps({"modality": {"0": "CT"}, "labels": {"0": "background", "1": "road", "2": "a:b"}})
NNUNET_2 = json.dumps({"channel_names": {"0": "CT"}, "labels": {"background": 0, "road": 1, "a:b": [2], "ignore": 3}})
PBTXT = """\
# COCO's way
item { id: 1  name: "/m/1" display_name: "road" keypoints { id: 9 label: "x" } }
item: {
  name: 'background', id: 0
}
item { id: 2 name: 'a:b' }
"""
COLORS = [("background", [0, 0, 0]), ("road", [128, 64, 128]), ("a:b", [1, 2, 3])]
NAMES = "background\nroad\na:b\n"
# What class files are made of, for a test that puts it together in any way.
PIECES = [
    *(
        "name",
        "id",
        "color",
        "trainId",
        "label",
        ",",
        ";",
        "\t",
        "\n",
        "\r\n",
        ":",
        ": ",
        " ",
        "-",
        "- ",
        "#",
        '"',
        "'",
    ),
    *(
        "{",
        "}",
        "[",
        "]",
        "0",
        "1",
        "255",
        "-1",
        "a",
        "b",
        "#102030",
        "item",
        "null",
        "*a",
        "&a",
        "---\n",
        "\x1b",
        "\x00",
    ),
    *('"id"', '"name"', '"attributes"', '"labels"', "names:", "categories:", "\ufeff", "1e999", "9" * 5000),
]
CSV = "\ufeffChannel;ID;Name;Colour\r\n1;1;road;128,64,128\r\n0;0;background;#000000\r\n2;2;a:b;\r\n"


@pytest.mark.parametrize(
    ("content", "name", "colors"),
    [
        (LABELMAP, "labelmap.txt", 2),
        (LABELMAP, "gs://bucket/some.thing", 2),
        (CVAT, "labels.json", 2),
        (CVAT, "labels.txt", 2),
        (CONFIG, "config.json", 0),
        (CLASS_INDICES, "class_indices.json", 0),
        (NNUNET_1, "dataset.json", 0),
        (NNUNET_2, "dataset.json", 0),
        (json.dumps({"0": "background", "1": "road", "2": "a:b"}), "id2label.json", 0),
        (json.dumps(["background", "road", "a:b"]), "names.json", 0),
        (PBTXT, "label_map.pbtxt", 0),
        (PBTXT, "label_map", 0),
        (NAMES, "classes.txt", 0),
        ("# my classes\n# by hand\n" + NAMES, "classes.txt", 0),
        ("__ignore__\n" + NAMES, "labels.txt", 0),
        ("0 0 0 background\n128 64 128\troad\n1,2,3  a:b\n", "label_colors.txt", 2),
        ("# three of them\n" + CSV.lstrip("\ufeff"), "classes.csv", 2),
        ("Name,Color (RGB)\nbackground,0 0 0\nroad,128 64 128\na:b,\n", "classes.csv", 2),
        ("names:\n  0: background\n  1: road\n  2: a:b\nnc: 3\n", "data.yaml", 0),
        ("path: /data\nnames: [background, road, 'a:b']\n", "data.txt", 0),
        ("- background\n- road\n- a:b\n", "names.txt", 0),
        ("a:b: 2\nroad: 1\nbackground: 0\n", "classes.yml", 0),
        (json.dumps({"names": {"0": "background", "1": "road", "2": "a:b"}}), "data.json", 0),
        (json.dumps({"labels": [{"name": name, "color": color} for name, color in COLORS]}), "config.json", 2),
        (NAMES.replace("\n", "\r\n"), "classes.names", 0),
        (CSV, "classes.csv", 2),
        (CSV, "classes.txt", 2),
        ("name,r,g,b\nbackground,0,0,0\nroad,128,64,128\na:b,,,\n", "colors.csv", 2),
        ("name\tid\nbackground\t0\nroad\t1\na:b\t2\n", "ids.tsv", 0),
    ],
)
def test_every_kind_of_file_gives_the_same_table(content: str, name: str, colors: int) -> None:
    table = load(content, name)
    assert table.names == ("background", "road", "a:b")
    assert table.ids == (0, 1, 2)
    assert table.source == name
    assert [c.color for c in table.classes[:colors]] == [(0, 0, 0), (128, 64, 128)][:colors]


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (LABELMAP, "CVAT label map"),
        (CVAT, "CVAT label list"),
        (NAMES, "list of names"),
        ("id,name\n0,a", "CSV table"),
    ],
)
def test_an_assumed_order_is_said(content: str, kind: str) -> None:
    notes = read_class_table("file", read=giving(content)).notes
    assert f"the {kind} gives no channels, so its order is used: 0 " in notes[0]


@pytest.mark.parametrize("content", [CONFIG, CLASS_INDICES, NNUNET_1, CSV])
def test_given_channels_need_no_note(content: str) -> None:
    assert load(content).notes == ()


def test_ids_may_have_gaps_and_differ_from_channels() -> None:
    table = load("id,name\n7,road\n300,sky\n0,rest\n")
    assert table.ids == (7, 300, 0)


COCO = [{"supercategory": "way", "id": 7, "name": "road"}, {"id": 11, "name": "sky", "isthing": 0}]


@pytest.mark.parametrize(
    "content",
    [
        json.dumps({"images": [], "categories": COCO}),
        json.dumps([{**entry, "color": color} for entry, color in zip(COCO, ("#102030", [4, 5, 6]), strict=True)]),
        "categories:\n- {id: 7, name: road}\n- {id: 11, name: sky}\n",
    ],
)
def test_categories_keep_their_ids(content: str) -> None:
    table = load(content, channels=2)
    assert table.names == ("road", "sky")
    assert table.ids == (7, 11)


def test_classes_that_no_model_is_trained_for_are_left_out() -> None:
    rows = "name,id,trainId,category,color\nego,1,255,void,\nroad,7,0,flat,\nwall,12,1,flat,\nplate,-1,-1,car,\n"
    table = load(rows, channels=2)
    assert (table.names, table.ids) == (("road", "wall"), (7, 12))
    assert table.notes == (
        "2 rows are left out: a train id of 255 or -1 means that no model is trained for the class",
    )


def test_255_is_a_train_id_among_256() -> None:
    assert len(load("\n".join(["name,trainId", *(f"a{i},{i}" for i in range(256))]), channels=256)) == 256


def test_what_is_left_out_of_a_list_is_said() -> None:
    notes = load(f"# c\n__ignore__\n{NAMES}").notes
    assert notes[:2] == (
        "comments above the names are left out",
        "__ignore__ is no class: labelme marks with it what belongs to none",
    )


def test_quotes_around_names_are_left_out() -> None:
    table = load('"building, edifice"\n\'road\'\n"the ""big"" sky"\n')
    assert [c.name for c in table.classes] == ["building, edifice", "road", 'the "big" sky']
    assert "quotes around names are left out" in table.notes


def test_numbered_names_are_no_header() -> None:
    for name in ("class_{}", "label{}", "Class {}x"):
        names = [name.format(number) for number in range(3)]
        assert [c.name for c in load("\n".join(names)).classes] == names


def test_what_two_tables_of_a_model_say_alike_is_read() -> None:
    content = {"id2label": {"0": "a", "1": "b"}, "label2id": {"a": 0, "b": "1"}}
    assert [c.name for c in load(json.dumps(content), "config.json", 2).classes] == ["a", "b"]


def test_answers_of_yaml_stay_names() -> None:
    assert load("names: [no, yes, ~x]", "data.yaml").names == ("no", "yes", "~x")


def test_other_columns_do_not_matter_beside_those_that_are_known() -> None:
    table = load("id,name,color,category_color_2,pixel value of old\n3,a,#102030,x,y\n", channels=1)
    assert (table.ids, table.classes[0].color) == ((3,), (16, 32, 48))


@settings(max_examples=100, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=60),
        st.lists(st.sampled_from(PIECES), max_size=14).map(lambda pieces: "".join(pieces).encode()),
    ),
    st.sampled_from(["t.txt", "t.csv", "t.json", "t.yaml", "t.pbtxt", "t"]),
)
def test_whatever_a_file_holds_is_a_table_or_told(content: bytes, name: str) -> None:
    told, names = "", ["read"]
    try:
        names = list(read_class_table(name, read=giving(content)).names)
    except RunError as error:
        told = str(error)
    assert told.startswith(name if told else "")
    assert all(each.strip() and not set(each) & set("\0\n\r\x1b\u2028") for each in names)


def test_ids_that_look_like_channels_in_another_order_are_remarked() -> None:
    assert "add a column `channel`" in load("id,name\n2,tree\n0,rest\n1,road\n").notes[0]


def test_label_maps_that_begin_with_1_say_so() -> None:
    notes = load("item { id: 1 name: 'a' } item { id: 2 name: 'b' }", channels=2).notes
    assert "there is no id 0" in notes[0]


def test_nnunets_ignore_label_is_no_class() -> None:
    assert "'ignore' (3) is no class" in load(NNUNET_2).notes[0]


def test_names_are_data_in_every_kind() -> None:
    odd = ["../../etc/x", '=HYPERLINK("http://x")', 'a,b "c" #d']
    quoted = [name.replace('"', '""') for name in odd]
    table = load('id,name\n0,"{}"\n1,"\'{}"\n2,"{}"\n'.format(*quoted), "classes.csv")
    assert table.names == tuple(odd)
    assert load(json.dumps(odd)).names == tuple(odd)
    assert (
        load(r"item { id: 0 name: 'caf\303\251 \"x\"' } item { id: 1 name: 'b' }", channels=2).names[0] == 'café "x"'
    )


def test_missing_colors_differ_from_given_ones() -> None:
    table = load("name,color\na,#0000ff\nb,\nc,#00ff00\n")
    assert len(set(table.colors.values())) == 3


def test_without_a_file_names_are_generated() -> None:
    assert load_class_table(None, channels=2, read=missing).names == ("class_0", "class_1")
    assert load_class_table(None, channels=2, read=missing, sigmoid=True).names == ("background", "foreground")


def test_public_tables_need_no_file() -> None:
    assert load_class_table("voc", channels=21, read=missing).names[1] == "aeroplane"
    assert load_class_table("cityscapes_ids", channels=34, read=missing).ids == tuple(range(34))
    assert load_class_table("cityscapes_ids", channels=19, read=missing).ids[0] == 7


@pytest.mark.parametrize(
    ("content", "name", "says"),
    [
        ("id,name\n0,a\n0,b\n", "t.csv", "t.csv, line 3: id 0 is already taken: line 2 has id 0"),
        ("a\nb\nA\n", "t.txt", "t.txt, line 3: name 'A' is already taken: line 1 has name 'a'"),
        ("name,color\na,#fff000\nb,255 240 0\n", "t.csv", "t.csv, line 3: colour #fff000 is already taken"),
        ("id,name\n65536,a\n", "t.csv", "t.csv, line 2: id '65536' is not a whole number within 0..65535"),
        ("id,name\n-1,a\n", "t.csv", "id '-1'"),
        ("id,name\n1.0,a\n", "t.csv", "id '1.0'"),
        ("name,color\na,red\n", "t.csv", "t.csv, line 2: colour 'red' is neither #rrggbb nor"),
        ("name,color\na,\"1,2,256\"\n", "t.csv", "colour '1,2,256'"),
        ("channel,name\n0,a\n2,b\n", "t.csv", "t.csv, line 3: channel 2 is not within 0..1"),
        ("channel,name\n0,a\n0,b\n", "t.csv", "t.csv, line 3: channel 0 is already taken: line 2 has it"),
        ("channel,name\n0,a\n,b\n", "t.csv", "t.csv, line 3: 'b' has no channel, but others have"),
        ("id,name\n0,\n", "t.csv", "t.csv, line 2: the class with id 0 has no name"),
        ("id,name\n0\n", "t.csv", "t.csv, line 2: 1 cells, fewer than the header has"),
        ("id,name,label\n0,a,b\n", "t.csv", "'name' and 'label' both give the name"),
        ("0,background\n1,road\n", "t.csv", "t.csv, line 1: no column `name`"),
        ('id,name\n0,"a\n', "t.csv", "t.csv, line 2: not CSV"),
        ("id,name\n", "t.csv", "t.csv: this CSV table lists no class"),
        ("a\n\nb\n", "t.txt", "t.txt, line 2: the line is empty"),
        ("0 background\n1 road\n", "t.txt", "t.txt, line 1: '0 background' begins with a number"),
        ("0=background\n1=road\n", "t.txt", "begins with a number"),
        ("1. road\n0. background\n", "t.txt", "begins with a number"),
        ("1) road\n0) background\n", "t.txt", "begins with a number"),
        ("road (1)\nbackground (0)\n", "t.txt", "ends in a number"),
        ("0 1 2 3 background\n4 5 6 7 road\n", "t.txt", "begins with a number"),
        ("road 1\nbackground 0\n", "t.txt", "t.txt, line 1: 'road 1' ends in a number, as all lines do"),
        ("#c\nroad 1 2 3\nsky 4 5 6\n", "t.txt", "t.txt, line 2: 'road 1 2 3' ends in a number"),
        ("road #112233\nsky #445566\n", "t.txt", "ends in a colour"),
        ("road,way\nsky,air\n", "t.txt", "holds a separator"),
        ("road: way\nsky: air\n", "t.txt", "holds a colon"),
        ("road, sky, tree\n", "t.txt", "t.txt, line 1: the only line, 'road, sky, tree', holds separators"),
        ("road\tsky\n", "t.txt", "holds separators: write one name a line"),
        ('"road",\n"sky",\n"tree"\n', "t.txt", "t.txt, line 1: '\"road\",' ends in a separator"),
        ("#112233 road\n#445566 sky\n", "t.txt", "begins with a colour"),
        ("1_sky\n0_road\n", "t.txt", "begins with a number"),
        ("#1 sky\n#0 road\n", "t.txt", "begins with a number"),
        ("#QGIS\nINTERPOLATION:EXACT\n0,0,0,0,255,a\n1,9,9,9,255,b\n", "t.txt", "t.txt, line 2: all lines but"),
        ("road # way\nsky\n", "t.txt", "t.txt, line 1: 'road # way' looks like a name with a comment"),
        ("a=road\nb=sky\n", "t.txt", "holds an equals sign"),
        ("* road\n* sky\n", "t.txt", "begins with the mark of a list"),
        ("<ul>\n<li>road</li>\n</ul>\n", "t.html", "t.html, line 2: '<li>road</li>' looks like HTML or XML"),
        ("<?xml version='1.0'?>\n<a>\nroad\n", "t.xml", "t.xml, line 1: \"<?xml version='1.0'?>\" looks like HTML"),
        ("| id | name |\n|---|---|\n| 0 | road |\n", "t.md", "t.md, line 2: '|---|---|' looks like a table"),
        ("name\n---\nroad\n", "t.md", "t.md, line 2: '---' looks like a table drawn with lines"),
        ("+----+------+\n| id | name |\n+----+------+\n", "t.rst", "looks like a table drawn with lines"),
        ("|id|name|\n|0|road|\n", "t.md", "holds a separator"),
        ('NAMES = [\n"road",\n"sky",\n]\n', "t.py", "t.py, line 1: 'NAMES = [' looks like a program"),
        ("name\nroad\nsky\n", "t.txt", "t.txt, line 1: 'name' looks like a header"),
        ("Classes\nroad\nsky\n", "t.txt", "'Classes' looks like a header"),
        ("1\n2\n", "t.txt", "t.txt: every class is named by a number, such as '1'"),
        ("label,category\n0,road\n1,sky\n", "t.csv", "t.csv: every class is named by a number"),
        ('["0", "1"]', "t.json", "t.json: every class is named by a number"),
        ("name,Colour 1\na,red\n", "t.csv", "t.csv, line 1: 'Colour 1' is not known, and may tell the colours"),
        ("name,my value\na,0\n", "t.csv", "'my value' is not known, and may tell what masks hold"),
        ("classId,name\n5,a\n3,b\n", "t.csv", "'classId' is not known, and may tell what masks hold"),
        ("gray,name\n128,a\n255,b\n", "t.csv", "'gray' is not known, and may tell what masks hold"),
        ("#a\n#b\nid,name\n0,a\n0,b\n", "t.csv", "t.csv, line 5: id 0 is already taken: line 4 has id 0"),
        ('[{"id": 1, "name": "a"}, {"name": "b"}]', "t.json", "t.json, entry 1: has no id, but others have"),
        ('[{"id": 1.5, "name": "a"}]', "t.json", "t.json, entry 0: id '1.5' is neither text nor a whole number"),
        ('[{"id": 1, "name": "a"}, 5]', "t.json", "t.json, entry 1: '5' is no object with a `name`"),
        ('[{"name": "a", "label": "b"}]', "t.json", "t.json, entry 0: 'name' and 'label' both give the name"),
        ("a: &x [1]\nb: *x\n", "t.yaml", "t.yaml: not usable as YAML (it refers from one place to another"),
        ("names: {a: 0, a: 1}\n", "t.yaml", "key 'a' stands twice"),
        ("names: [a, b\n", "t.yaml", "t.yaml, line 2: not YAML"),
        ("- x" * 50_000, "t.yaml", "t.yaml: it has over 100,000 characters"),
        ("[" * 50_000, "t.yaml", "t.yaml: not usable as YAML (it is nested deeper than any class table)"),
        ("x\n" * 65537, "t.txt", "t.txt: this list of names lists 65,537 classes; masks hold 65,536"),
        ("name,trainId\na,255\nb,-1\n", "t.csv", "t.csv: this CSV table lists no class"),
        ("name\na\x1b[31m\n", "t.csv", "holds the control character '\\x1b'"),
        ('["a", "\\ud800"]', "t.json", "holds the control character '\\ud800'"),
        (f"id,name\n3,{'x' * 201}\n", "t.csv", "the name of the class with id 3 has 201 characters, more than 200"),
        ("", "t.txt", "t.txt, line 1: the line is empty"),
        ("{", "t.json", "t.json, line 1: not JSON"),
        ("{}", "t.json", "t.json: this JSON is none of Hugging Face's id2label"),
        ('{"model_type": "x"}', "t.json", "key 'model_type' is not a whole number"),
        ('{"a": 0, "a": 1}', "t.json", "key 'a' stands twice"),
        ('{"a": true, "b": 1}', "t.json", "t.json: this JSON is none of"),
        ('{"id2label": {"0": "a", "2": "b"}}', "t.json", "t.json, key '2': channel 2 is not within 0..1"),
        ('{"id2label": {"0": 5}}', "t.json", "t.json, key '0': '5' is no name"),
        ('{"id2label": {"0": "a", "1": "b"}, "label2id": {"a": 1, "b": 0}}', "t.json", "label2id says that 'a' is 1"),
        ("names: [a, b]\nnc: 3\n", "t.yaml", "t.yaml: nc is 3, and there are 2 names"),
        ('{"labels": {"background": 0, "a": [1, 2]}}', "d.json", "d.json, key 'a': [1, 2] is a region"),
        ('{"labels": {"background": 0, "a": "1"}}', "d.json", "d.json, key 'a': '1' is no whole number"),
        ('[{"color": "#000000"}]', "t.json", "t.json, entry 0: \"{'color': '#000000'}\" has no `name`"),
        ('[{"name": "a", "color": 5}]', "t.json", "t.json, entry 0: colour '5' is neither #rrggbb nor"),
        ('["a", 5]', "t.json", "t.json, entry 1: '5' is no name"),
        ("[]", "t.json", "t.json: this list of names lists no class"),
        ("[" * 100_000, "t.json", "t.json"),
        ("item { id: 1 }", "t.pbtxt", "t.pbtxt, line 1: an item needs `id` and `name`; it has ['id']"),
        ("\nitem { id: 1 name: 'a'", "t.pbtxt", "t.pbtxt, line 2: the item that begins here is not closed"),
        ("item { id: 1 name: 'a' } }", "t.pbtxt", "t.pbtxt, line 1: '}' stands where `item {` should"),
        ("entry { id: 1 name: 'a' }", "t.pbtxt", "'entry' stands where"),
        ("item { id: 1 name: a }", "t.pbtxt", "t.pbtxt, line 1: name 'a' is not in quotes"),
        ("item { id: 1 name: '\\377' }", "t.pbtxt", "is not UTF-8"),
        ("item { id: 1 name: 'a }", "t.pbtxt", 'line 1: "\'a }" does not belong'),
        ("item { id: 1 name: 'a' }\nitem { id: 1 name: 'b' }", "t.pbtxt", "t.pbtxt, line 2: id 1 is already taken"),
        ("a:0,0,0::\nb:0,0::\n", "t.txt", "t.txt, line 2: colour '0,0'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_place(content: str, name: str, says: str) -> None:
    with pytest.raises(RunError, match=re.escape(says)):
        load(content, name)


def test_another_count_than_the_models_is_refused() -> None:
    with pytest.raises(
        RunError, match=r"classes\.txt lists 2 classes, but the model has 3 classes; probably the back"
    ):
        load("road\nsky\n", channels=3)


def test_text_that_is_not_utf8_is_told_by_line() -> None:
    with pytest.raises(RunError, match=r"names\.txt, line 2: not UTF-8 text"):
        load_class_table("names.txt", channels=2, read=giving(b"road\nm\xfcll\n"))


@pytest.mark.parametrize(
    ("spec", "says"), [("vocc", "did you mean 'voc'"), ("x.csv", "known by name: ade20k, ade20k_ids")]
)
def test_a_missing_file_says_what_there_is(spec: str, says: str) -> None:
    with pytest.raises(RunError, match=re.escape(says)):
        load_class_table(spec, channels=2, read=missing)


def test_the_kind_is_named() -> None:
    assert parse_classes(NNUNET_1, "dataset.json").kind == "dataset.json of nnU-Net 1"


def test_a_key_that_stands_twice_is_found_without_comparing_each_with_each() -> None:
    compared = []

    class Key(str):
        __slots__ = ()
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            compared.append(other)
            return str.__eq__(self, other)

    keys = [Key(f"class {i}") for i in range(1000)]
    assert unique_keys([(key, 0) for key in keys]) == dict.fromkeys(map(str, keys), 0)
    with pytest.raises(ValueError, match="key 'class 999' stands twice"):
        unique_keys([(key, 0) for key in [*keys, Key("class 999")]])
    assert len(compared) < 10 * len(keys)
