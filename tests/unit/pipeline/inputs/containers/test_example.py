"""Examples on the wire, against TensorFlow's own messages."""

import random
import struct
import tracemalloc
from collections.abc import Collection, Sequence
from contextlib import suppress

import pytest
import tensorflow as tf
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from maskbeam.pipeline.inputs.containers import example
from maskbeam.pipeline.inputs.containers.example import Features, Value, make_example, parse_example
from maskbeam.transforms.errors import ImageError

INT64 = st.integers(-(2**63), 2**63 - 1)
FLOAT = st.floats(width=32, allow_nan=False)
VALUES = st.lists(st.binary(max_size=200), max_size=3) | st.lists(INT64, max_size=4) | st.lists(FLOAT, max_size=4)
FEATURES = st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=8), VALUES, max_size=5)


def truth(data: bytes) -> dict[str, tuple[str | None, Sequence[Value]]]:
    """Kind and first two values of each feature."""
    example = tf.train.Example.FromString(data)
    kinds = {key: feature.WhichOneof("kind") for key, feature in example.features.feature.items()}
    return {
        key: (kind, list(getattr(example.features.feature[key], kind).value[:2]) if kind else [])
        for key, kind in kinds.items()
    }


def ours(data: bytes, keys: Collection[str]) -> dict[str, tuple[str | None, Sequence[Value]]]:
    found = parse_example(data, keys)._found
    kinds = {0: None, 1: "bytes_list", 2: "float_list", 3: "int64_list"}
    return {key: (kinds[kind], values) for key, (kind, values) in found.items()}


def tensorflow_example(features: dict[str, list[bytes] | list[float] | list[int]]) -> tf.train.Example:
    example = tf.train.Example()
    for key, values in features.items():
        feature = example.features.feature[key]
        kind = {bytes: "bytes_list", float: "float_list", int: "int64_list"}[type(values[0]) if values else int]
        getattr(feature, kind).value.extend(values)
    return example


@given(FEATURES)
@settings(max_examples=100, deadline=None)
def test_we_read_what_tensorflow_writes(features: dict[str, list[bytes] | list[float] | list[int]]) -> None:
    data = tensorflow_example(features).SerializeToString()
    assert ours(data, features) == truth(data)


@given(FEATURES)
@settings(max_examples=100, deadline=None)
def test_tensorflow_reads_what_we_write(features: dict[str, list[bytes] | list[float] | list[int]]) -> None:
    made = tf.train.Example.FromString(make_example(features)).features.feature
    kinds = {key: feature.WhichOneof("kind") for key, feature in made.items()}
    read = {key: list(getattr(made[key], kind).value) if kind else [] for key, kind in kinds.items()}
    assert read == features
    assert make_example(features) == make_example(dict(reversed(features.items())))


@given(FEATURES, st.randoms(use_true_random=False))
@settings(max_examples=300, deadline=None)
def test_whatever_tensorflow_still_reads_we_read_the_same(
    features: dict[str, list[bytes] | list[float] | list[int]], dice: random.Random
) -> None:
    data = bytearray(tensorflow_example(features).SerializeToString())
    for _ in range(dice.randint(1, 3)):
        at = dice.randint(0, len(data))
        data[at : at + dice.randint(0, 3)] = dice.randbytes(dice.randint(0, 3))
    try:
        expected = truth(bytes(data))
    except DecodeError:
        with suppress(ImageError):
            parse_example(bytes(data), ())
    else:
        # TensorFlow's parser drops whole map entries that hold a field it does not know; we keep them.
        mine = ours(bytes(data), expected)
        assert repr({key: mine[key] for key in expected}) == repr(expected)


def field(number: int, content: bytes) -> bytes:
    return tag(number, 2) + varint(len(content)) + content


def tag(number: int, wire: int) -> bytes:
    return varint(number << 3 | wire)


def varint(value: int) -> bytes:
    groups = []
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*groups, value])


def test_numbers_that_are_not_packed_and_messages_in_parts() -> None:
    unpacked = field(3, b"\x08\x05\x08\x06")
    floats = field(2, b"\x0d" + struct.pack("<f", 1.5))
    entry = field(1, b"k") + field(2, floats) + field(2, unpacked) + field(2, field(3, b"\x08\x07"))
    data = field(1, field(1, entry)) + field(1, field(1, field(2, unpacked) + field(1, b"z")))
    assert ours(data, "kz") == truth(data) == {"k": ("int64_list", [5, 6]), "z": ("int64_list", [5, 6])}


UNKNOWN = st.recursive(
    st.builds(field, st.integers(4, 2**29 - 1), st.binary(max_size=5))
    | st.builds(lambda number: tag(number, 0) + b"\xff\x01", st.integers(4, 99))
    | st.builds(lambda number: tag(number, 1) + bytes(8), st.integers(4, 99))
    | st.builds(lambda number: tag(number, 5) + bytes(4), st.integers(4, 99))
    | st.just(b""),
    lambda inner: st.builds(
        lambda number, *held: tag(number, 3) + b"".join(held) + tag(number, 4), st.integers(1, 99), inner, inner
    ),
    max_leaves=4,
)


PAIRS = st.lists(st.tuples(st.sampled_from("ab"), INT64), min_size=1, max_size=4)


@given(PAIRS, st.lists(UNKNOWN, min_size=6, max_size=6))
@settings(max_examples=100, deadline=None)
def test_fields_and_groups_that_nobody_knows_are_stepped_over_and_the_last_of_two_features_holds(
    values: list[tuple[str, int]], unknown: list[bytes]
) -> None:
    a, b, c, d, e, f = unknown

    def entry(key: str, value: int) -> bytes:
        numbers = a + tag(1, 0) + varint(value & (1 << 64) - 1) + b
        return field(1, field(1, key.encode()) + field(2, c + field(3, numbers) + d))

    data = e + field(1, f + b"".join(entry(*pair) for pair in values) + e) + f
    keys = {key for key, _ in values}
    mine = parse_example(data, keys)
    assert {key: mine.int_of(key) for key in keys} == dict(values)
    assert {key: found[0] for key, (_, found) in truth(data).items()} == dict(values)


@given(PAIRS)
@settings(max_examples=20, deadline=None)
def test_of_two_features_of_a_key_the_one_holds_that_tensorflow_takes(values: list[tuple[str, int]]) -> None:
    data = b"".join(make_example(dict([pair])) for pair in values)
    keys = {key for key, _ in values}
    read = tf.io.parse_single_example(data, {key: tf.io.FixedLenFeature([], tf.int64) for key in keys})
    mine = parse_example(data, keys)
    assert {key: mine.int_of(key) for key in keys} == {key: int(value) for key, value in read.items()}


def test_only_wanted_features_are_decoded() -> None:
    features = parse_example(make_example({"image": b"x", "label": 7}), {"image", "c"})
    assert "image" in features
    assert "label" not in features
    with pytest.raises(ImageError, match=r"the record has 'image', 'label'$"):
        features.bytes_of("c")


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        (["Jane Doe"], "1 key whose name is not shown"),
        (["Jane", "Doe"], "2 keys whose names are not shown"),
        (["image/encoded", "image/Jane", "Image"], "'image/encoded' and 2 other keys whose names are not shown"),
        (["label", "image/encoded"], "'image/encoded', 'label'"),
    ],
)
def test_keys_are_named_where_everybody_uses_them(keys: list[str], told: str) -> None:
    with pytest.raises(ImageError) as caught:
        parse_example(make_example(dict.fromkeys(keys, 1)), {"x"}).int_of("x")
    assert caught.value.reason.endswith(f"; the record has {told}")


@pytest.fixture
def features() -> Features:
    data = make_example({"img": b"secret", "n": 7, "two": [1, 2], "f": 1.5, "none": [], "bad": b"\xff"})
    return parse_example(data, {"img", "n", "two", "f", "none", "bad"})


def test_values_by_type(features: Features) -> None:
    assert features.bytes_of("img") == b"secret"
    assert features.int_of("n") == 7
    assert features.text_of("n") == "7"
    assert features.text_of("img") == "secret"
    assert features.text_of("bad") == "\udcff"


@pytest.mark.parametrize("key", ["absent", "n", "two", "f", "none"])
def test_a_missing_or_wrong_feature_names_keys_and_no_values(features: Features, key: str) -> None:
    with pytest.raises(ImageError, match=f"bytes.*{key}") as caught:
        features.bytes_of(key)
    assert caught.value.code == "MISSING_KEY"
    assert "secret" not in caught.value.reason
    assert ("'img'" in caught.value.reason) == (key == "absent")
    assert "'bad'" not in caught.value.reason


@pytest.mark.parametrize("data", [b"garbage", b"\x0a\x05a", b"\x0a", b"\xff" * 20, b"\x0b", b"\x02\x00"])
def test_what_is_no_example_says_so(data: bytes) -> None:
    with pytest.raises(ImageError, match="BAD_EXAMPLE"):
        parse_example(data, {"a"})


def test_an_empty_payload_is_an_example_without_keys() -> None:
    with pytest.raises(ImageError, match="no keys"):
        parse_example(b"", {"a"}).bytes_of("a")


def whole(number: int, content: bytes) -> bytes:
    return field(1, field(1, field(1, b"n") + field(2, field(number, content))))


MANY = 1 << 18
ATTACKS = {
    "packed integers": whole(3, field(1, bytes(MANY))),
    "packed floats": whole(2, field(1, bytes(MANY))),
    "integers": whole(3, tag(1, 0) * MANY),
    "strings": whole(1, field(1, b"") * MANY),
    "lists": field(1, field(1, field(1, b"n") + field(2, field(3, b"") * MANY))),
    "values": field(1, field(1, field(2, b"") * MANY)),
    "features": field(1, field(1, b"") * MANY),
    "parts": field(1, b"") * MANY,
    "groups": tag(9, 3) * MANY,
    "pairs of groups": (tag(9, 3) + tag(9, 4)) * MANY,
    "keys": field(1, b"".join(field(1, field(1, varint(i))) for i in range(MANY // 8))),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_what_a_record_holds_costs_no_memory(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(example, "_MAX_FIELDS", 5000)
    monkeypatch.setattr(example, "_MAX_LISTED", 500)
    tracemalloc.start()
    try:
        with pytest.raises(ImageError, match=r"BAD_EXAMPLE|MISSING_KEY"):
            parse_example(ATTACKS[name], {"n"}).int_of("n")
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
