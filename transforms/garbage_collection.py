"""Keeps the garbage collector away from what lives as long as the process, and gives free memory back.

Importing TensorFlow, Keras and Beam makes very many objects. Walking them while they are being made took an eighth to
a quarter of the time to the first mask; walking them again and again during the work, with the interpreter's lock
held, was 7% of the host's CPU time.
"""

import ctypes
import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def starting_up() -> Iterator[None]:
    """Within this context nothing is collected until `started` says that the work begins."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def started() -> None:
    """Takes all that exists so far out of the collector's sight, and lets it look after what follows."""
    gc.freeze()
    gc.enable()


def give_back() -> None:
    """Gives free memory back to the system, where the C library knows how to (glibc does).

    What is free after the work lies in small pieces between what is not, where nothing large fits in.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim:
        trim(0)
