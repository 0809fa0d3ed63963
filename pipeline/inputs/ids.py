"""Names of images, and the safe relative paths that outputs get from them.

An id is the user's own name for an image. Its encoded form is an output's path: a pure function of the id, never
of other inputs, reversible, so that two ids never share an output. Only what storage forbids, and what could
leave the output folder, is encoded. Ids that differ by case or by Unicode normalisation alone (NFC, NFD) are
different; a file system that folds them shows the second one an existing mask of another source, which the
writer reports as `DUPLICATE_ID` and never overwrites.
"""

import re

from maskbeam.transforms.errors import Code, ImageError, RunError

MAX_COMPONENT_BYTES = 200  # file systems allow 255, and an output adds its extension
MAX_ENCODED_BYTES = 800  # an object's name on GCS has at most 1024, and the output's folder comes before

# Begins with a letter, so that the number of `scan.0012` or the last part of a UID is no extension.
_EXTENSION = re.compile(r"(?<=[^/])\.[A-Za-z][A-Za-z0-9]{0,7}\Z")
# Slashes, control characters, halves of surrogate pairs, backslash, the escape sign itself; a leading dot, a trailing
# dot or space, the colon of a drive letter.
_UNSAFE = re.compile(r"[/\x00-\x1f\x7f-\x9f\ud800-\udfff\\%]|^\.|[ .]\Z|(?<=^[A-Za-z]):")
_LIKE_AN_OUTPUT = re.compile(r"\.(?=(?i:png|jpg)\Z)")
_ATOM = re.compile(r"%u[0-9A-F]{4}|%[0-9A-F]{2}|.", re.DOTALL)
_ESCAPE = re.compile(r"%(?:u([0-9A-F]{4})|([0-9A-F]{2}))")
_EMPTY = "%_"
_CONTINUED = "%-"


def path_below(uri: str, root: str) -> str:
    """`uri` relative to the folder `root`.

    Raises:
        RunError: `uri` does not lie below `root`.
    """
    folder = root if root.endswith("/") or not root else root + "/"
    if not uri.startswith(folder) or uri == folder:
        raise RunError(f"there are inputs outside {root}; set --id_root to a folder above all inputs")
    return uri[len(folder) :]


def image_id_of(relative_path: str, *, keep_extension: bool = False, known: str = "") -> str:
    """The id of an image: its path below the input's fixed part, the last extension dropped unless kept.

    An extension is a dot, a letter and up to seven letters or digits: `a.tar.gz` gives `a.tar`; `scan.0012` keeps its
    number.

    Args:
        relative_path: The path.
        keep_extension: Whether the extension is a part of the id.
        known: The extension where the path has one of a format that is read, in any case; it may have several dots.
    """
    if keep_extension:
        return relative_path
    return relative_path[: -len(known)] if known else _EXTENSION.sub("", relative_path)


def check_id(image_id: str) -> str:
    """The id itself, when it can name an output.

    Raises:
        ImageError: `BAD_ID`, when it is empty or its encoded form is too long for storage.
    """
    if not image_id:
        raise ImageError(Code.BAD_ID, "the image's name is empty")
    # Encoded it has no less: one of a hundred million letters is not encoded to find out by how much.
    size = len(image_id)
    if size <= MAX_ENCODED_BYTES:
        size = len(encode_id(image_id).encode())
    if size > MAX_ENCODED_BYTES:
        reason = f"the image's name needs {size} bytes as a path, storage takes {MAX_ENCODED_BYTES}; set --id_root"
        raise ImageError(Code.BAD_ID, reason)
    return image_id


def encode_id(image_id: str) -> str:
    """The safe relative path of an id: never empty, never leaves its folder, one for each id.

    Unsafe characters become `%XX` or `%uXXXX` (code points), an empty component `%_`, and a component
    of over 200 UTF-8 bytes becomes nested folders whose names end in `%-`.
    """
    *folders, name = image_id.split("/")
    return "/".join([*(encode_component(folder) for folder in folders), _cut(_UNSAFE.sub(_escape, name))])


def encode_component(name: str) -> str:
    """`name` as a folder, its slashes encoded too: for the folders of an id, and of classes.

    A folder named like an output has its dot encoded: the mask of `a` is the file `a.png`, where `a.png/b` would
    need a folder.
    """
    return _cut(_LIKE_AN_OUTPUT.sub(_escape, _UNSAFE.sub(_escape, name)))


def decode_id(encoded: str) -> str:
    """The id that `encode_id` made this path of.

    Raises:
        ValueError: `encode_id` makes no such path.
    """
    whole = encoded.replace(_CONTINUED + "/", "")
    image_id = "/".join("" if part == _EMPTY else _ESCAPE.sub(_unescape, part) for part in whole.split("/"))
    if encode_id(image_id) != encoded:
        raise ValueError(f"{encoded!r} is not the path of an id")
    return image_id


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"%{code:02X}" if code < 0x100 else f"%u{code:04X}"


def _unescape(match: re.Match[str]) -> str:
    return chr(int(match[1] or match[2], 16))


def _cut(escaped: str) -> str:
    if len(escaped.encode()) <= MAX_COMPONENT_BYTES:
        return escaped or _EMPTY
    pieces = [""]
    for atom in _ATOM.findall(escaped):
        if len((pieces[-1] + atom + _CONTINUED).encode()) > MAX_COMPONENT_BYTES:
            pieces.append("")
        pieces[-1] += atom if pieces[-1] or atom != "." else "%2E"
    return f"{_CONTINUED}/".join(pieces)
