"""Tells an end of the process that maskbeam made from one that a library made.

TensorFlow's `Abort`, and whatever else calls C's `exit(0)`, ends a process with the code of success in the middle of
its work, past every `finally` of Python's. C calls what was registered with it, so there it can be noticed.
"""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

_SAID = b"maskbeam: the model, or a library, ended this process in the middle of its work; this is no success\n"
_Handler = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


@contextmanager
def only_our_end() -> Iterator[None]:
    """While it lasts, C's `exit` ends this process with code 1, whatever code it is given."""
    libc, over = ctypes.CDLL(None), False

    def ended(_: object) -> None:
        if not over:
            try:
                os.write(2, _SAID)
            finally:
                os._exit(1)

    handler, owner = _Handler(ended), ctypes.create_string_buffer(1)
    libc.__cxa_atexit(handler, None, owner)
    try:
        yield
    finally:
        over = True
        libc.__cxa_finalize(owner)  # Calls what was registered by this owner, and forgets it.
