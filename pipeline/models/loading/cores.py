"""How the cores of a CPU are shared between calls of the model.

Threads that share a call wait for one another at every layer, and so for whichever of them just lost its core to a
decoder: on two cores a job with a call for each was 1.20 to 1.24 times as fast as with one call for both.
A call for each core takes memory for each, so that large planes, and those of a size that is not known, get fewer.
"""

import os
from typing import NamedTuple

# Memory that all calls together may take, and what a pixel of the input plane takes in it: about four maps of 64
# float channels at full size are alive at once in a U-Net. An estimate, to keep large planes from filling the memory.
CALL_BYTES = 2 << 30
BYTES_PER_PIXEL = 1024
# On more cores a call gets several: its planes, and its place in the pipeline, should not be too many.
MOST_CALLERS = 8


class Sharing(NamedTuple):
    """How many calls of the model run side by side, and how many threads each has; 0 threads: as many as cores."""

    callers: int
    threads: int


def share_cores(pixels: int | None, *, cores: int = 0) -> Sharing:
    """Shares the cores of this machine.

    Args:
        pixels: Of an input plane; None where planes are of any size.
        cores: How many there are; those that this process may use when 0.
    """
    cores = cores or available_cores()
    fitting = CALL_BYTES // (pixels * BYTES_PER_PIXEL) if pixels else 0
    callers = min(cores, MOST_CALLERS, fitting)
    return Sharing(callers, cores // callers) if callers > 1 else Sharing(min(2, cores), 0)


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
