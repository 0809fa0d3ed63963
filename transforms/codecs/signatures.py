"""Formats that are not decoded, by their first bytes: they are only named to the user.

How a decoded format is recognised stands with its codec. Some of these begin like one of those: `looks_like_another`.
"""

from typing import Final

CAMERA_RAW: Final = "camera raw"
LFS_POINTER: Final = "Git LFS pointer"
FETCH_IT: Final = "it is a pointer of Git LFS, and the file itself is not there: `git lfs pull` fetches it"

_Signatures = tuple[tuple[int, bytes, str], ...]
# Those that begin like a format that is decoded: DICOM's first 128 bytes are free, and may look like a TIFF; camera
# raws are TIFFs with a mark of their own.
_AHEAD: _Signatures = (
    (0, b"\xff\xd8\xff\xf7", "JPEG-LS"),
    (128, b"DICM", "DICOM"),
    (0, b"II*\0\x10\0\0\0CR", CAMERA_RAW),
)
_OTHERS: _Signatures = (
    (0, b"IIRO", CAMERA_RAW),
    (0, b"IIRS", CAMERA_RAW),
    (0, b"MMOR", CAMERA_RAW),
    (0, b"IIU\0", CAMERA_RAW),
    (0, b"II\x1a\0\0\0HEAPCCDR", CAMERA_RAW),
    (0, b"FUJIFILMCCD-RAW", CAMERA_RAW),
    (0, b"\0MRM", CAMERA_RAW),
    (0, b"FOVb", CAMERA_RAW),
    (0, b"%!PS", "PostScript"),
    (0, b"\xc5\xd0\xd3\xc6", "PostScript"),
    (0, b"%PDF", "PDF"),
    (0, b"8BPS", "Photoshop"),
    (0, b"SIMPLE  =", "FITS"),
    (0, b"\x00\x00\x00\x0cjP", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"\x00\x00\x00\x0cJXL \r\n\x87\n", "JPEG XL"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\x76\x2f\x31\x01", "OpenEXR"),
    (0, b"#?RADIANCE", "Radiance HDR"),
    (0, b"DDS ", "DDS"),
    (0, b"gimp xcf", "GIMP"),
    (0, b"\x93NUMPY", "NumPy"),
    (0, b"\x89HDF", "HDF5"),
    (0, b"II\xbc\x01", "JPEG XR"),
    (0, b"version https://git-lfs", LFS_POINTER),
)
# What follows `ftyp` in files that are built of MPEG-4's boxes.
_BRANDS = {
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
    **dict.fromkeys((b"heic", b"heix", b"hevc", b"heim", b"heis"), "HEIC"),
    **dict.fromkeys((b"mif1", b"msf1"), "HEIC or AVIF"),
    b"crx ": CAMERA_RAW,
}


def looks_like_another(head: bytes) -> bool:
    """True if a file that begins like a format that is decoded is of another one that begins so, too."""
    return bool(_named(head, _AHEAD))


def foreign_format(head: bytes) -> str:
    """The name of a format that is not decoded; `""` where it is none that is known.

    Args:
        head: The file's first `HEAD_BYTES` or more.
    """
    box = _BRANDS.get(head[8:12], "MPEG-4 or QuickTime") if head[4:8] == b"ftyp" else ""
    return _named(head, _AHEAD) or _named(head, _OTHERS) or box


def _named(head: bytes, signatures: _Signatures) -> str:
    return next((name for at, begins, name in signatures if head.startswith(begins, at)), "")
