"""Colours and names of classes beside a grey GeoTIFF: the `.aux.xml` that GDAL and QGIS read (GDAL, PAM).

GeoTIFF has no place for names, and a palette inside would make readers that ask for one channel lose the ids. Written
here, so that its bytes are ours: by class id, and with the file's claim in a domain of its own, where it does not
hide the record that the GeoTIFF carries.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple
from xml.sax.saxutils import escape, unescape

AUX_EXTENSION: Final = ".aux.xml"
_BEGIN, _END = "<PAMDataset>\n", "</PAMDataset>\n"
_DOMAIN = "maskbeam"
_TEXT = re.compile(rf'{_BEGIN}  <Metadata domain="{_DOMAIN}">\n(.*?)  </Metadata>\n', re.DOTALL)
_ITEM = re.compile(r'    <MDI key="([^"<>]*)">([^<>]*)</MDI>\n')
# Colours and names are lists by id: for more ids the table of attributes tells them alone.
_LARGEST_LISTED = 4095
# What XML 1.0 cannot hold even as a reference; table names have none of the others.
_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# Of each column of the table: its name, its type (whole number or text) and its meaning, as GDAL numbers them.
_COLUMNS = (("Value", 0, 5), ("Class", 2, 2), ("Red", 0, 6), ("Green", 0, 7), ("Blue", 0, 8))


class Shown(NamedTuple):
    """A class as people see it: its id, its name, and its colour, red, green and blue."""

    id: int
    name: str
    color: tuple[int, int, int]


def encode_aux(classes: Iterable[Shown], *, text: Mapping[str, str]) -> bytes:
    """Writes the file that lies beside a mask and is called as it is, with `.aux.xml` behind.

    Args:
        classes: Any order; ids that none has are black and have no name.
        text: Said of the file, in front of all.
    """
    by_id = {each.id: each for each in classes}
    said = "".join(f'    <MDI key="{_quoted(key)}">{_quoted(value)}</MDI>\n' for key, value in text.items())
    lines = [*_lists(by_id), *_attributes(by_id)]
    band = "".join(f"    {line}\n" for line in lines)
    return (
        f'{_BEGIN}  <Metadata domain="{_DOMAIN}">\n{said}  </Metadata>\n  <PAMRasterBand band="1">\n{band}'
        f"  </PAMRasterBand>\n{_END}"
    ).encode()


def aux_text(head: bytes) -> dict[str, str]:
    """The text that `encode_aux` put into a file; empty where there is none, or it is damaged or something else.

    Args:
        head: The file, or its first `TEXT_BYTES`.
    """
    found = _TEXT.match(head.decode("utf-8", "replace"))
    return {_plain(key): _plain(value) for key, value in _ITEM.findall(found[1])} if found else {}


def is_whole_aux(data: bytes) -> bool:
    """True for a file, or any of its last bytes, that ends as these do."""
    return data.endswith(_END.encode())


def _lists(by_id: Mapping[int, Shown]) -> Iterator[str]:
    largest = max(by_id)
    if largest > _LARGEST_LISTED:
        return
    yield "<ColorInterp>Palette</ColorInterp>"
    yield "<CategoryNames>"
    for i in range(largest + 1):
        yield f"  <Category>{_quoted(by_id[i].name)}</Category>" if i in by_id else "  <Category></Category>"
    yield "</CategoryNames>"
    yield "<ColorTable>"
    for i in range(largest + 1):
        red, green, blue = by_id[i].color if i in by_id else (0, 0, 0)
        yield f'  <Entry c1="{red}" c2="{green}" c3="{blue}" c4="255"/>'
    yield "</ColorTable>"


def _attributes(by_id: Mapping[int, Shown]) -> Iterator[str]:
    yield '<GDALRasterAttributeTable tableType="thematic">'
    for index, (name, kind, usage) in enumerate(_COLUMNS):
        yield f'  <FieldDefn index="{index}"><Name>{name}</Name><Type>{kind}</Type><Usage>{usage}</Usage></FieldDefn>'
    for index, each in enumerate(by_id[i] for i in sorted(by_id)):
        cells = "".join(f"<F>{_quoted(str(cell))}</F>" for cell in (each.id, each.name, *each.color))
        yield f'  <Row index="{index}">{cells}</Row>'
    yield "</GDALRasterAttributeTable>"


def _quoted(text: str) -> str:
    return escape(_NO_XML.sub("\ufffd", text), {'"': "&quot;"})


def _plain(escaped: str) -> str:
    return unescape(escaped, {"&quot;": '"'})
