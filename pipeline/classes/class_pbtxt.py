"""TensorFlow's `label_map.pbtxt`: `item { id: 1 name: 'road' }`, a protocol buffer in text form."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from maskbeam.pipeline.classes.class_rows import Row, Rows, parse_id
from maskbeam.transforms.errors import RunError

# google.protobuf.text_format was tried: it names lines of what is no text form only, so none of an item that lacks a
# name or of an id that is there twice, and it passes over `entry {` in place of `item {` and gives no classes.
_TOKEN = re.compile(
    r"""\s+|\#[^\n]*|(?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')|(?P<word>[\w.+\-/]+)|(?P<sign>[{}:<>,;\[\]])"""
)
_ESCAPE = re.compile(rb"\\(?:([0-7]{1,3})|x([0-9a-fA-F]{1,2})|(.))", re.DOTALL)
_LETTERS = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"a": b"\a", b"b": b"\b", b"f": b"\f", b"v": b"\v"}
_OPENING = ("{", "<")
_CLOSING = ("}", ">")


class _Token(NamedTuple):
    text: str
    kind: str
    line: int


def is_pbtxt(text: str) -> bool:
    """True if the text begins with an item, comments aside."""
    return re.match(r"(?:\s|#[^\n]*\n)*item\s*:?\s*[{<]", text) is not None


def read_pbtxt(text: str, source: str) -> Rows:
    """Reads items; `display_name` goes before `name`. Channels follow the ids in ascending order.

    Raises:
        RunError: Not in this form, or an item without id or name; names the line.
    """
    tokens = _tokens(text, source)
    rows = [_item(fields, line, source) for fields, line in _items(tokens, source)]
    rows.sort(key=lambda row: row.id or 0)
    note = "channels follow the ids of the label map in ascending order"
    numbered = tuple(Row(row.name, row.where, channel, row.id) for channel, row in enumerate(rows))
    ids = [row.id for row in numbered]
    missing = "; there is no id 0: a model whose channel 0 is the background needs it listed" if 0 not in ids else ""
    return Rows("label map", numbered, (note + missing,))


def _tokens(text: str, source: str) -> list[_Token]:
    tokens, position, line = [], 0, 1
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise RunError(
                f"{source}, line {line}: {text[position : position + 20]!r} does not belong in a label map"
            )
        if match.lastgroup:
            tokens.append(_Token(match[0], match.lastgroup, line))
        line += match[0].count("\n")
        position = match.end()
    return tokens


def _items(tokens: list[_Token], source: str) -> Iterator[tuple[dict[str, _Token], int]]:
    stream = iter(tokens)
    for token in stream:
        opening = next((t for t in stream if t.text != ":"), None)
        if token.text != "item" or opening is None or opening.text not in _OPENING:
            raise RunError(f"{source}, line {token.line}: {token.text[:40]!r} stands where `item {{` should")
        yield _fields(stream, token, source), token.line


def _fields(stream: Iterator[_Token], item: _Token, source: str) -> dict[str, _Token]:
    """The fields `key: value` of an item up to its closing bracket; what is nested deeper is passed over."""
    own: list[_Token] = []
    depth = 1
    for token in stream:
        depth += (token.text in _OPENING) - (token.text in _CLOSING)
        if depth == 0:
            return {
                key.text: value for key, sign, value in zip(own, own[1:], own[2:], strict=False) if sign.text == ":"
            }
        if depth == 1:
            own.append(token)
    raise RunError(f"{source}, line {item.line}: the item that begins here is not closed")


def _item(fields: dict[str, _Token], line: int, source: str) -> Row:
    place = f"{source}, line {line}"
    name = fields.get("display_name") or fields.get("name")
    if name is None or "id" not in fields:
        raise RunError(f"{place}: an item needs `id` and `name`; it has {sorted(fields) or 'nothing'}")
    return Row(_unquote(name, place).strip(), f"line {line}", id=parse_id(fields["id"].text, "id", place))


def _unquote(token: _Token, place: str) -> str:
    if token.kind != "string":
        raise RunError(f"{place}: name {token.text!r} is not in quotes")
    try:
        return _ESCAPE.sub(_unescape, token.text[1:-1].encode()).decode()
    except UnicodeDecodeError as error:
        raise RunError(f"{place}: name {token.text!r} is not UTF-8") from error


def _unescape(match: re.Match[bytes]) -> bytes:
    octal, hexadecimal, letter = match.groups()
    if letter is not None:
        return _LETTERS.get(letter, letter)
    return bytes([int(octal, 8) & 255 if octal else int(hexadecimal, 16)])
