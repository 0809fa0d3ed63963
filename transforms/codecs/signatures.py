"""What a file is by its first bytes: the formats that are decoded, and those that are only named to the user.

One list for all who ask: the listing, which takes for an image what the decoder opens, the decoder, and records.
"""

from typing import Final

# The formats that are decoded.
IMAGES: Final = frozenset(("JPEG", "PNG", "TIFF", "WebP", "BMP", "GIF"))
CAMERA_RAW: Final = "camera raw"
LFS_POINTER: Final = "Git LFS pointer"
FETCH_IT: Final = "it is a pointer of Git LFS, and the file itself is not there: `git lfs pull` fetches it"
# So many bytes tell all formats apart.
HEAD_BYTES: Final = 256

# In the order in which they are asked: first those that begin like another format. DICOM's first 128 bytes are free,
# and may look like a TIFF; camera raws are TIFFs with a mark of their own.
_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\xff\xd8\xff\xf7", "JPEG-LS"),
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (128, b"DICM", "DICOM"),
    (0, b"II*\0\x10\0\0\0CR", CAMERA_RAW),
    (0, b"IIRO", CAMERA_RAW),
    (0, b"IIRS", CAMERA_RAW),
    (0, b"MMOR", CAMERA_RAW),
    (0, b"IIU\0", CAMERA_RAW),
    (0, b"II\x1a\0\0\0HEAPCCDR", CAMERA_RAW),
    (0, b"FUJIFILMCCD-RAW", CAMERA_RAW),
    (0, b"\0MRM", CAMERA_RAW),
    (0, b"FOVb", CAMERA_RAW),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (0, b"II\0*", "TIFF"),
    (0, b"MM*\0", "TIFF"),
    (0, b"II+\0", "TIFF"),
    (0, b"MM\0+", "TIFF"),
    (0, b"GIF87a", "GIF"),
    (0, b"GIF89a", "GIF"),
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
_BMP_HEADER_SIZES = (12, 40, 52, 56, 64, 108, 124)
# What follows `ftyp` in files that are built of MPEG-4's boxes.
_BRANDS = {
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
    **dict.fromkeys((b"heic", b"heix", b"hevc", b"heim", b"heis"), "HEIC"),
    **dict.fromkeys((b"mif1", b"msf1"), "HEIC or AVIF"),
    b"crx ": CAMERA_RAW,
}


def format_of(head: bytes) -> str:
    """The format's name, one of `IMAGES` or another one's; `""` where it is none that is known.

    Args:
        head: The file's first `HEAD_BYTES` or more.
    """
    for offset, signature, name in _SIGNATURES:
        if head.startswith(signature, offset):
            return name
    return _of_container(head)


def is_image(head: bytes) -> bool:
    """Whether bytes that begin so are a file of one of the formats that are decoded."""
    return format_of(head) in IMAGES


def _of_container(head: bytes) -> str:
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WebP"
    if head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in _BMP_HEADER_SIZES:
        return "BMP"
    return _BRANDS.get(head[8:12], "MPEG-4 or QuickTime") if head[4:8] == b"ftyp" else ""
