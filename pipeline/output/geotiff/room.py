"""The room that temporary files need, looked at before they are written."""

import os

from maskbeam.pipeline.output.geotiff.layout import Layout
from maskbeam.transforms.errors import RunError

# The tiled GeoTIFF, its copy and smaller copies of it beside each other, at most: in parts of the PNGs of the same
# blocks (measured: smooth labels 3.9, noise 2.6), and of raw samples that are noise and do not compress (2.64).
_TIMES, _TIMES_RAW = 4, 2.75
# Headers, tags and directories of a scene of 100,000 a side.
_FIXED_BYTES = 4 << 20


def needed_bytes(layout: Layout, compressed: int | None) -> int:
    """The most that temporary files of a scene take at once, in bytes.

    Args:
        layout: What is written.
        compressed: Bytes of its blocks' own files; None: not known, so that nothing is taken to compress.
    """
    most = int(_TIMES_RAW * layout.raw_bytes)
    return _FIXED_BYTES + (most if compressed is None else min(most, _TIMES * compressed))


def check_room(folder: str, layout: Layout, compressed: int | None) -> None:
    """Makes sure that the temporary files of a scene fit into a folder.

    Raises:
        RunError: They do not.
    """
    try:
        found = os.statvfs(folder)
    except OSError as error:
        raise RunError(f"{folder} cannot hold temporary files: {error.strerror}; set TMPDIR to a disk") from None
    needed, free = needed_bytes(layout, compressed), found.f_bavail * found.f_frsize
    if needed > free:
        raise RunError(
            f"{folder} is too small: needs {_gigabytes(needed)} GB of temporary space and {_gigabytes(free)} are "
            "free; set TMPDIR to a larger disk"
        )


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f}" if count >= 50_000_000 else f"{count / 1e9:.3f}"
