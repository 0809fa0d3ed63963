"""`tf.train.Example`, read and written on the wire without TensorFlow.

Only the wanted features are decoded, the others are stepped over; of a list no more than shows that it holds several
values. So a record costs its own bytes and those of the wanted values, whatever it holds: protobuf's runtime would
take up to 24 times the bytes of a record that was made for that. The messages are those of TensorFlow's
`example.proto` and `feature.proto`: Example.features = 1; Features.feature = 1, a map of key = 1 and value = 2;
Feature.bytes_list = 1, float_list = 2, int64_list = 3; each list's value = 1, numbers packed or not.
"""

import struct
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import islice

from maskbeam.transforms.errors import Code, ImageError

Value = bytes | float | int
Values = list[Value]
Span = tuple[int, int]

_VARINT, _FIXED64, _DELIMITED, _GROUP, _GROUP_END, _FIXED32 = 0, 1, 2, 3, 4, 5
_BYTES, _FLOAT, _INT64 = 1, 2, 3
_KIND_NAMES = {0: "nothing", _BYTES: "bytes", _FLOAT: "float", _INT64: "int64"}
# Keys that writers of shards use: TensorFlow's object detection and slim, DeepLab, TensorFlow Datasets, Keras. Any
# other may hold what must not be told.
_KNOWN_KEYS = frozenset(
    """
    image image/encoded image/filename image/format image/height image/width image/channels image/shape
    image/depth image/source_id image/id image/key/sha256 image/colorspace image/data image/raw image/image
    image/mask image/class/label image/class/text image/class/synset image/segmentation/class/encoded
    image/segmentation/class/format image/object/mask image/object/class/label image/object/class/text
    image/object/bbox/xmin image/object/bbox/xmax image/object/bbox/ymin image/object/bbox/ymax image_raw
    image_bytes image_encoded image_data image_string image_name image_id img img_raw encoded encoded_image
    raw raw_image jpeg jpg png pixels picture x y input inputs features data bytes content tensor height width
    channels depth rows cols shape size dtype format label labels class target mask masks mask_raw
    segmentation segmentation_mask segmentation_label annotation file_name filename name path id objects bbox
    species
    """.split()  # noqa: SIM905 - as a list it would be a page
)
# Far more than any record has. Stepping over as many takes half a second.
_MAX_FIELDS = 200_000
_MAX_DEPTH = 100  # that of protobuf
_MAX_LISTED = 10_000


class Features:
    """The wanted features of one Example: of each its kind, and its first two values."""

    def __init__(self, list_keys: Callable[[], str], found: Mapping[str, tuple[int, Values]]) -> None:
        self._list_keys = list_keys
        self._found = found

    def __contains__(self, key: str) -> bool:
        return key in self._found

    def bytes_of(self, key: str) -> bytes:
        """The one byte string under `key`.

        Raises:
            ImageError: `MISSING_KEY`, when there is none; names those that are there as far as they are usual ones.
        """
        value = self._one(key, (_BYTES,))
        return value if isinstance(value, bytes) else b""

    def int_of(self, key: str) -> int:
        """The one integer under `key`; errors as in `bytes_of`."""
        return int(self._one(key, (_INT64,)))

    def text_of(self, key: str) -> str:
        """The one byte string or integer under `key` as text (stray bytes as surrogates); errors as in `bytes_of`."""
        value = self._one(key, (_BYTES, _INT64))
        return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)

    def _one(self, key: str, kinds: tuple[int, ...]) -> Value:
        expected = f"one value ({' or '.join(_KIND_NAMES[kind] for kind in kinds)}) was expected under {key!r}"
        if key not in self._found:
            raise ImageError(Code.MISSING_KEY, f"{expected}; the record has {self._list_keys()}")
        kind, values = self._found[key]
        if kind not in kinds or len(values) != 1:
            held = f"several of {_KIND_NAMES[kind]}" if len(values) > 1 else f"{len(values)} of {_KIND_NAMES[kind]}"
            raise ImageError(Code.MISSING_KEY, f"{expected}; it holds {held}")
        return values[0]


def parse_example(data: bytes, wanted: Collection[str]) -> Features:
    """Decodes the `wanted` features of a serialised `tf.train.Example`.

    Of a key that is there twice the last feature holds, as in TensorFlow.

    Raises:
        ImageError: `BAD_EXAMPLE`, when the bytes are no such message.
    """
    keys = {key.encode("utf-8", "surrogateescape"): key for key in wanted}
    found: dict[str, tuple[int, Values]] = {}
    walk = _Walk(data)
    try:
        for key, parts in walk.entries():
            if key in keys:
                found[keys[key]] = walk.feature(parts)
    except (IndexError, ValueError, struct.error):
        raise ImageError(Code.BAD_EXAMPLE, "the record's payload is no tf.train.Example") from None
    return Features(lambda: _listing({key for key, _ in islice(_Walk(data).entries(), _MAX_LISTED)}), found)


def fields_of(data: bytes) -> set[int]:
    """The numbers of a serialised message's fields; none where the bytes are no message."""
    try:
        return _Walk(data).numbers()
    except (IndexError, ValueError):
        return set()


def make_example(features: Mapping[str, Value | str | Sequence[Value]]) -> bytes:
    """Features as a serialised `tf.train.Example`, keys sorted; the type follows the first value."""
    entries = (_field(1, key.encode()) + _field(2, _serialize(features[key])) for key in sorted(features))
    return _field(1, b"".join(_field(1, entry) for entry in entries))


def _listing(keys: Collection[bytes]) -> str:
    """The keys of a record in words: those that writers of shards use by their names, the others by their number."""
    names = sorted(key.decode("utf-8", "replace") for key in keys)
    shown = [repr(name) for name in names if name in _KNOWN_KEYS]
    others = len(names) - len(shown)
    other, ends = "other " if shown else "", "key whose name is" if others == 1 else "keys whose names are"
    hidden = f"{others} {other}{ends} not shown" if others else ""
    return " and ".join(filter(None, (", ".join(shown), hidden))) or "no keys"


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = data[at]
    if value < 0x80:
        return value, at + 1
    value &= 0x7F
    for shift in range(7, 70, 7):
        at += 1
        value |= (data[at] & 0x7F) << shift
        if data[at] < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at + 1
    raise ValueError("a number of more than ten bytes")


class _Walk:
    """Steps through one serialised Example. Raises `ValueError` and `IndexError` where it is none."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._left = _MAX_FIELDS

    def entries(self) -> Iterator[tuple[bytes, list[Span]]]:
        """Key of each feature, and where its value lies (in parts, if somebody wrote it so)."""
        for start, end in self._messages((0, len(self._data)), 1):
            for entry in self._messages((start, end), 1):
                yield self._entry(entry)

    def numbers(self) -> set[int]:
        """The numbers of the message's fields."""
        return {number for number, *_ in self._fields((0, len(self._data)))}

    def feature(self, parts: list[Span]) -> tuple[int, Values]:
        """Kind and the first two values of a feature; of lists of several kinds the last one holds."""
        kind, values = 0, Values()
        for part in parts:
            for number, wire, at, stop in self._fields(part):
                if number not in _KIND_NAMES or wire != _DELIMITED:
                    continue
                if number != kind:
                    kind, values = number, []
                values += islice(self._values((at, stop), kind), 2 - len(values))
        return kind, values

    def _entry(self, span: Span) -> tuple[bytes, list[Span]]:
        key, parts = b"", []
        for number, wire, at, stop in self._fields(span):
            if wire == _DELIMITED and number == 1:
                key = self._data[at:stop]
            elif wire == _DELIMITED and number == 2:
                parts.append((at, stop))
        return key, parts

    def _messages(self, span: Span, wanted: int) -> Iterator[Span]:
        fields = self._fields(span)
        return ((at, stop) for number, wire, at, stop in fields if number == wanted and wire == _DELIMITED)

    def _fields(self, span: Span) -> Iterator[tuple[int, int, int, int]]:
        """Number, wire type, start and end of every field in a message."""
        data, (at, end) = self._data, span
        while at < end:
            self._left -= 1
            tag, at = (data[at], at + 1) if data[at] < 0x80 else _varint(data, at)
            wire, number = tag & 7, tag >> 3
            if wire == _DELIMITED:
                size, at = (data[at], at + 1) if data[at] < 0x80 else _varint(data, at)
                stop = at + size
            else:
                stop = self._end_of(number, wire, at, end)
            if stop > end or not 0 < number < 1 << 29 or self._left < 0:
                raise ValueError("a field leaves its message, or there are too many")
            yield number, wire, at, stop
            at = stop

    def _end_of(self, number: int, wire: int, at: int, end: int) -> int:
        if wire == _VARINT:
            return _varint(self._data, at)[1]
        if wire in (_FIXED32, _FIXED64):
            return at + (4 if wire == _FIXED32 else 8)
        if wire == _GROUP:
            return self._end_of_group(number, at, end)
        raise ValueError("a wire type that no field has")

    def _end_of_group(self, number: int, at: int, end: int) -> int:
        """Behind a group, which nobody knows any more, and the groups in it."""
        opened = [number]
        while opened and at < end and len(opened) <= _MAX_DEPTH and self._left > 0:
            self._left -= 1
            tag, at = _varint(self._data, at)
            number, wire = tag >> 3, tag & 7
            if wire == _GROUP:
                opened.append(number)
            elif wire == _GROUP_END:
                if opened.pop() != number:
                    break
            elif wire == _DELIMITED:
                size, at = _varint(self._data, at)
                at += size
            else:
                at = self._end_of(number, wire, at, end)
        if opened:
            raise ValueError("a group has no end")
        return at

    def _values(self, span: Span, kind: int) -> Iterator[Value]:
        for number, wire, at, stop in self._fields(span):
            if number != 1:
                continue
            if kind == _BYTES and wire == _DELIMITED:
                yield self._data[at:stop]
            elif kind == _FLOAT and wire in (_FIXED32, _DELIMITED):
                yield from self._floats(at, stop)
            elif kind == _INT64 and wire in (_VARINT, _DELIMITED):
                yield from self._integers(at, stop)

    def _floats(self, at: int, stop: int) -> Iterator[float]:
        if (stop - at) % 4:
            raise ValueError("a number leaves its list")
        for place in range(at, stop, 4):
            yield struct.unpack_from("<f", self._data, place)[0]

    def _integers(self, at: int, stop: int) -> Iterator[int]:
        while at < stop:
            value, at = _varint(self._data, at)
            if at > stop:
                raise ValueError("a number leaves its list")
            yield value - ((value >> 63) << 64)


def _encode_varint(value: int) -> bytes:
    value &= 0xFFFFFFFFFFFFFFFF
    groups = []
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*groups, value])


def _field(number: int, content: bytes) -> bytes:
    return b"".join((_encode_varint(number << 3 | _DELIMITED), _encode_varint(len(content)), content))


def _serialize(value: Value | str | Sequence[Value]) -> bytes:
    value = value.encode() if isinstance(value, str) else value
    values = [value] if isinstance(value, bytes | int | float) else list(value)
    if values and isinstance(values[0], bytes):
        return _field(_BYTES, b"".join(_field(1, item) for item in values if isinstance(item, bytes)))
    if values and isinstance(values[0], float):
        return _field(_FLOAT, _field(1, struct.pack(f"<{len(values)}f", *values)))
    return _field(_INT64, _field(1, b"".join(_encode_varint(int(item)) for item in values)))
