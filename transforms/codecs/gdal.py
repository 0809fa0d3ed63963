"""GDAL's settings in this process, and the size of its cache: one place, because that is one for all threads."""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_SMALLEST_CACHE, _LARGEST_CACHE = 64 << 20, 512 << 20


@contextmanager
def gdal(cache_bytes: int, **options: str) -> Iterator[None]:
    """Within this context the calling thread works with GDAL.

    Args:
        cache_bytes: Bytes of GDAL's cache that this work needs.
        options: GDAL's own, for this thread alone. Files beside those that are read or written are never made.
    """
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning

    # A picture without a place on the earth is nothing to warn of.
    warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)
    with rasterio.Env(**{"GDAL_PAM_ENABLED": "NO", **options}), cache.held(cache_bytes):
        yield


class Cache:
    """GDAL's cache of decoded tiles: as large as all that is open and at work needs together, within bounds.

    It is sized here and nowhere else, and never by an option of `rasterio.Env`: an Env that ends sets it back to what
    it was when that Env began, whatever other threads need by then.
    """

    def __init__(self) -> None:
        self._needs: dict[object, int] = {}
        self._lock = threading.Lock()

    @property
    def bytes(self) -> int:
        """Its size."""
        return min(max(sum(self._needs.values()), _SMALLEST_CACHE), _LARGEST_CACHE)

    @contextmanager
    def held(self, count: int) -> Iterator[None]:
        """Within this context it is larger by so many bytes."""
        work = object()
        self.need(work, count)
        try:
            yield
        finally:
            self.let_go(work)

    def need(self, who: object, count: int) -> None:
        """Makes it larger by so many bytes, until `who` is let go."""
        with self._lock:
            self._needs[who] = count
            self._resize()

    def let_go(self, who: object) -> None:
        """Takes back what `who` needed."""
        with self._lock:
            self._needs.pop(who, None)
            self._resize()

    def _resize(self) -> None:
        from rasterio._env import set_gdal_config

        set_gdal_config("GDAL_CACHEMAX", self.bytes)


cache = Cache()
