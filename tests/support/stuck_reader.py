"""`maskbeam run` with the numpy engine, and GDAL that hangs or crashes on what one file holds."""

import ctypes
import time
from collections.abc import Sequence
from typing import Any

from maskbeam.pipeline.guards import watched_reads
from maskbeam.pipeline.inputs.readers import handles
from maskbeam.pipeline.process import watchdog
from maskbeam.transforms.elements import Array, Region

STICKS, CRASHES = "sticks", "crashes"
# So that what hangs is ended soon.
SECONDS, TICK_SECONDS = 3.0, 0.1


def run_hurried(argv: Sequence[str]) -> int:
    """The command, in a process of its own; its exit code."""
    from tests.support.numpy_engine import main

    read = handles._read

    def stuck(handle: Any, indexes: Sequence[int], region: Region, size: Any = None) -> Array:
        if STICKS in handle.name:
            time.sleep(3600)
        if CRASHES in handle.name:
            ctypes.string_at(0)
        return read(handle, indexes, region, size)

    handles._read = stuck
    hurried: Any = watched_reads
    hurried.DECODE_SECONDS = SECONDS
    watchdog.TICK_SECONDS = TICK_SECONDS
    return main(argv)
