"""`tf.train.Example`, read and written on the wire without TensorFlow.

Only the wanted features are decoded; the others are stepped over. The messages are those of TensorFlow's
`example.proto` and `feature.proto`: Example.features = 1; Features.feature = 1, a map of key = 1 and value = 2;
Feature.bytes_list = 1, float_list = 2, int64_list = 3; each list's value = 1, numbers packed or not.
"""

import struct
from collections.abc import Collection, Iterator, Mapping, Sequence

from transforms.errors import ImageError

Value = bytes | float | int
Values = list[Value]
Span = tuple[int, int]

_VARINT, _FIXED64, _DELIMITED, _FIXED32 = 0, 1, 2, 5
_BYTES, _FLOAT, _INT64 = 1, 2, 3
_KIND_NAMES = {0: "nothing", _BYTES: "bytes", _FLOAT: "float", _INT64: "int64"}
_MAX_NAMED_KEYS = 20


class Features:
    """The wanted features of one Example, and the names of all."""

    def __init__(self, names: Collection[str], found: Mapping[str, tuple[int, Values]]) -> None:
        self.names = names
        self._found = found

    def __contains__(self, key: str) -> bool:
        return key in self._found

    def bytes_of(self, key: str) -> bytes:
        """The one byte string under `key`.

        Raises:
            ImageError: `MISSING_KEY`, when there is none; names the keys that are there.
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
            raise ImageError("MISSING_KEY", f"{expected}; the record has {_listing(self.names)}")
        kind, values = self._found[key]
        if kind not in kinds or len(values) != 1:
            raise ImageError("MISSING_KEY", f"{expected}; it holds {len(values)} of {_KIND_NAMES[kind]}")
        return values[0]


def parse_example(data: bytes, wanted: Collection[str]) -> Features:
    """Decodes the `wanted` features of a serialised `tf.train.Example`.

    Raises:
        ImageError: `BAD_EXAMPLE`, when the bytes are no such message.
    """
    names: list[str] = []
    found: dict[str, tuple[int, Values]] = {}
    try:
        for start, end in _messages(data, (0, len(data)), 1):
            for entry in _messages(data, (start, end), 1):
                name, parts = _entry(data, entry)
                names.append(name)
                if name in wanted:
                    found[name] = _feature(data, parts)
    except (IndexError, ValueError, struct.error):
        raise ImageError("BAD_EXAMPLE", "the record's payload is no tf.train.Example") from None
    return Features(names, found)


def make_example(features: Mapping[str, Value | str | Sequence[Value]]) -> bytes:
    """Features as a serialised `tf.train.Example`, keys sorted; the type follows the first value."""
    entries = (_field(1, key.encode()) + _field(2, _serialize(features[key])) for key in sorted(features))
    return _field(1, b"".join(_field(1, entry) for entry in entries))


def _listing(names: Collection[str]) -> str:
    shown = [repr(name[:60]) for name in sorted(set(names))]
    more = [f"and {len(shown) - _MAX_NAMED_KEYS} more"] if len(shown) > _MAX_NAMED_KEYS else []
    return ", ".join(shown[:_MAX_NAMED_KEYS] + more) or "no keys"


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


def _fields(data: bytes, span: Span) -> Iterator[tuple[int, int, int, int]]:
    """Number, wire type, start and end of every field in a message."""
    at, end = span
    while at < end:
        tag, at = (data[at], at + 1) if data[at] < 0x80 else _varint(data, at)
        wire = tag & 7
        if wire == _DELIMITED:
            size, at = _varint(data, at)
            stop = at + size
        elif wire == _VARINT:
            stop = _varint(data, at)[1]
        elif wire in (_FIXED32, _FIXED64):
            stop = at + (4 if wire == _FIXED32 else 8)
        else:
            raise ValueError("a wire type that no field has")
        if stop > end or not tag >> 3:
            raise ValueError("a field leaves its message")
        yield tag >> 3, wire, at, stop
        at = stop


def _messages(data: bytes, span: Span, wanted: int) -> Iterator[Span]:
    return ((at, stop) for number, wire, at, stop in _fields(data, span) if number == wanted and wire == _DELIMITED)


def _entry(data: bytes, span: Span) -> tuple[str, list[Span]]:
    """Key of a map's entry, and where its value lies (in parts, if somebody wrote it so)."""
    key, parts = b"", []
    for number, wire, at, stop in _fields(data, span):
        if wire == _DELIMITED and number == 1:
            key = data[at:stop]
        elif wire == _DELIMITED and number == 2:
            parts.append((at, stop))
    return key.decode("utf-8", "replace"), parts


def _feature(data: bytes, parts: list[Span]) -> tuple[int, Values]:
    kind, values = 0, Values()
    for part in parts:
        for number, wire, at, stop in _fields(data, part):
            if number not in _KIND_NAMES or wire != _DELIMITED:
                continue
            if number != kind:  # of a oneof the last one holds
                kind, values = number, []
            values += _values(data, (at, stop), kind)
    return kind, values


def _values(data: bytes, span: Span, kind: int) -> Iterator[Value]:
    for number, wire, at, stop in _fields(data, span):
        if number != 1:
            continue
        if kind == _BYTES and wire == _DELIMITED:
            yield data[at:stop]
        elif kind == _FLOAT and wire in (_FIXED32, _DELIMITED):
            yield from (value for (value,) in struct.iter_unpack("<f", data[at:stop]))
        elif kind == _INT64 and wire in (_VARINT, _DELIMITED):
            yield from _integers(data, at, stop)


def _integers(data: bytes, at: int, stop: int) -> Iterator[int]:
    while at < stop:
        value, at = _varint(data, at)
        yield value - ((value >> 63) << 64)
    if at != stop:
        raise ValueError("a number leaves its list")


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
