"""GDAL's settings in this process: one place, because its cache of blocks is one for all threads."""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

# What GDAL keeps where nobody asks for more: enough for small files, and far from its own 5% of all memory.
_LEAST_BYTES = 16 << 20
_lock = threading.Lock()
_asked: list[int] = []


@contextmanager
def gdal(cache: int, **options: str) -> Iterator[None]:
    """Within this context the calling thread works with GDAL.

    Args:
        cache: Bytes of GDAL's cache that this work needs; it is made as large as all works at the time need together.
        options: GDAL's own, for this thread alone. Files beside those that are read or written are never made.
    """
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning

    # A picture without a place on the earth is nothing to warn of.
    warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)
    with rasterio.Env(**{"GDAL_PAM_ENABLED": "NO", **options}):
        _resize(cache, add=True)
        try:
            yield
        finally:
            _resize(cache, add=False)


def _resize(cache: int, *, add: bool) -> None:
    from rasterio.env import setenv

    with _lock:
        (_asked.append if add else _asked.remove)(cache)
        setenv(GDAL_CACHEMAX=max(_LEAST_BYTES, sum(_asked)))
