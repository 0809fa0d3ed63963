"""Label maps as protobuf's own runtime writes them are read as it reads them."""

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from hypothesis import given, settings
from hypothesis import strategies as st

from maskbeam.pipeline.classes.class_pbtxt import is_pbtxt, read_pbtxt

TEXT, NUMBER = descriptor_pb2.FieldDescriptorProto.TYPE_STRING, descriptor_pb2.FieldDescriptorProto.TYPE_INT32
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
ITEMS = st.tuples(st.integers(0, 65535), NAMES, st.none() | NAMES)


def label_map() -> Any:
    """An empty `StringIntLabelMap`, with the fields of TensorFlow's that stand in files."""
    file = descriptor_pb2.FileDescriptorProto(name="label_map.proto", package="test", syntax="proto2")
    item = file.message_type.add(name="Item")
    for number, (name, kind) in enumerate((("name", TEXT), ("id", NUMBER), ("display_name", TEXT)), 1):
        item.field.add(name=name, number=number, type=kind, label=1)
    file.message_type.add(name="Map").field.add(name="item", number=1, type=11, type_name=".test.Item", label=3)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("test.Map"))()


@given(
    st.lists(ITEMS, min_size=1, max_size=5, unique_by=lambda item: item[0]),
    st.booleans(),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_what_protobuf_writes_is_read(items: list[tuple[int, str, str | None]], utf8: bool, one_line: bool) -> None:
    written = label_map()
    for class_id, name, shown in items:
        written.item.add(id=class_id, name=name, display_name=shown)
    text = text_format.MessageToString(written, as_utf8=utf8, as_one_line=one_line)
    read = text_format.Parse(text, label_map())
    expected = [(i.id, (i.display_name if i.HasField("display_name") else i.name).strip()) for i in read.item]
    assert is_pbtxt(text)
    assert [(row.id, row.name) for row in read_pbtxt(text, "t.pbtxt").rows] == sorted(expected)
