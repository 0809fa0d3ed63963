"""Kinds of files: by its extension where that is an image's, else by its first bytes, and never by a shard's name.

A file with an image's extension counts as an image unopened, so that listing a million of them opens none; the
decoder tells by content what it really is. In a folder or glob, files that are neither images nor shards are left
out; a file that is named itself is always an input.
"""

import io
import re
from collections.abc import Callable
from enum import Enum
from typing import Final

from maskbeam.pipeline.inputs.containers.gunzip import Gunzip, is_gzip
from maskbeam.pipeline.inputs.containers.tfrecord import HEADER_BYTES, find_headers
from maskbeam.transforms.codecs.codec import HEAD_BYTES
from maskbeam.transforms.codecs.registry import format_of, image_extension, is_image

MANIFEST_EXTENSIONS: Final = frozenset((".txt", ".csv", ".jsonl", ".json-lines", ".jsonlines", ".ndjson"))
# Whole images that belong to another one: overviews and masks of GDAL, thumbnails of cameras. Only the name tells.
COMPANION_EXTENSIONS: Final = frozenset((".ovr", ".msk", ".rrd", ".thm"))
# Files of which there may be as many as images: left out of folders unopened. What is in camera raws would be a TIFF
# with a thumbnail first.
_OTHER_EXTENSIONS: Final = (
    MANIFEST_EXTENSIONS
    | COMPANION_EXTENSIONS
    | {".json", ".xml", ".md", ".html", ".yaml", ".yml", ".log", ".py", ".db"}
    | {".aux", ".tfw", ".jgw", ".pgw", ".wld", ".prj", ".xmp"}
    | {".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".iiq", ".kdc", ".mef", ".mos", ".mrw"}
    | {".nef", ".nrw", ".orf", ".pef", ".raf", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"}
)
# Extensions that may be shown, beside those of images: behind the last dot of other names may stand whatever people
# are called by.
_SHOWN_EXTENSIONS: Final = (
    _OTHER_EXTENSIONS
    | {".7z", ".bak", ".bin", ".csh", ".dat", ".doc", ".docx", ".gz", ".htm", ".ini", ".odt", ".pdf", ".pkl", ".ppt"}
    | {".pptx", ".pt", ".pth", ".rar", ".rtf", ".sh", ".sqlite", ".tar", ".tgz", ".tmp", ".xls", ".xlsx", ".zip"}
    | {".ai", ".avif", ".dcm", ".dds", ".eps", ".exr", ".fits", ".h5", ".hdf", ".hdf5", ".hdr", ".heic", ".heif"}
    | {".ico", ".j2k", ".jp2", ".jxl", ".keras", ".mat", ".mha", ".mhd", ".nc", ".nii", ".npy", ".npz", ".nrrd"}
    | {".onnx", ".parquet", ".pbm", ".pcx", ".pgm", ".pnm", ".ppm", ".psd", ".svg", ".svs", ".tga", ".xcf", ".zarr"}
    | {".avi", ".m4a", ".mkv", ".mov", ".mp3", ".mp4", ".wav", ".webm", ".cpg", ".dbf", ".geojson", ".gpkg", ".kml"}
    | {".shp", ".shx", ".tfrec", ".tfrecord", ".tfrecords"}
)

_SEARCHED_BYTES = 1 << 18
# Only where the content says nothing: of a shard, all of whose beginning is damaged, the rest is still wanted.
_NAMED_LIKE_A_SHARD = re.compile(r"\.(tfrecords?|tfrec|tfr)\b|-\d+-of-\d+", re.IGNORECASE)


class Kind(Enum):
    """The kinds of files."""

    IMAGE = "image"
    SHARD = "shard"
    GZIP_SHARD = "gzip shard"
    OTHER = "other"


def extension_of(uri: str) -> str:
    """The extension of a file's name, in lower case with its dot; `""` if there is none."""
    name = uri.rpartition("/")[2]
    stem, dot, extension = name.rpartition(".")
    return f"{dot}{extension}".lower() if stem else ""


def left_out_as(uri: str, head: bytes = b"") -> str:
    """The name under which a file that is left out is counted: its format, or its extension; nothing that names it.

    Args:
        uri: The file.
        head: Its first bytes, as far as they were read.
    """
    extension = extension_of(uri)
    if extension not in _SHOWN_EXTENSIONS and not image_extension(uri):
        extension = "with another extension" if extension else "without extension"
    return format_of(head) or extension


def kind_by_extension(uri: str, *, named: bool) -> Kind | None:
    """The kind of a file as far as its extension tells; None: look into it.

    Args:
        uri: The file.
        named: Whether the user named this very file.
    """
    if image_extension(uri):
        return Kind.IMAGE
    return Kind.OTHER if extension_of(uri) in _OTHER_EXTENSIONS and not named else None


def kind_by_content(uri: str, read_head: Callable[[int], bytes], *, named: bool) -> Kind:
    """The kind of a file by its first bytes.

    Args:
        uri: The file.
        read_head: Gives the file's first n bytes.
        named: As above; such a file is an input whatever it holds, and the decoder says what is wrong with it.
    """
    first = read_head(HEAD_BYTES)
    kind = _recognised(first)
    if kind is not None:
        return kind
    # Looked at twice, for a byte may have been altered on its way from remote storage; where the two differ a third
    # time, for it may have been one of the second look.
    head = read_head(_SEARCHED_BYTES)
    if not head.startswith(first):
        head = read_head(_SEARCHED_BYTES)
    kind = _recognised(head)
    if kind is not None:
        return kind
    like_a_shard = is_named_like_a_shard(uri) or (named and not head)
    if like_a_shard or _holds_a_header(head):
        return Kind.GZIP_SHARD if is_gzip(head) else Kind.SHARD
    return Kind.IMAGE if named else Kind.OTHER


def is_named_like_a_shard(uri: str) -> bool:
    """True if a file's name is one that shards usually have."""
    return bool(_NAMED_LIKE_A_SHARD.search(uri.rpartition("/")[2]))


def is_gzip_shard(head: bytes) -> bool:
    """True if a shard that begins so is compressed: a plain one may begin like gzip, but not with a valid length."""
    return is_gzip(head) and not _starts_with_header(head)


def _recognised(head: bytes) -> Kind | None:
    if _starts_with_header(head):
        return Kind.SHARD
    return Kind.IMAGE if is_image(head) else None


def _holds_a_header(head: bytes) -> bool:
    content = Gunzip(io.BytesIO(head)).read(_SEARCHED_BYTES) if is_gzip(head) else head
    return bool(find_headers(content).size) or (is_gzip(head) and not content)


def _starts_with_header(head: bytes) -> bool:
    return bool(find_headers(head[:HEADER_BYTES]).size)
