"""Tells an end of the process that maskbeam made from one that a library made.

TensorFlow's `Abort`, and whatever else calls C's `exit(0)`, ends a process with the code of success in the middle of
its work, past every `finally` of Python's. C calls what was registered with it, so there it can be noticed.
"""

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from maskbeam.pipeline.exit_codes import ExitCode
from maskbeam.pipeline.process.ending import end_early

_SAID = "maskbeam: the model, or a library, ended this process in the middle of its work; this is no success"
_Handler = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_registering: list[Callable[[], object]] = []
#: Called in the thread that ends the process, before that ends.
witnesses: list[Callable[[], object]] = []


@contextmanager
def only_our_end() -> Iterator[None]:
    """While it lasts, C's `exit` ends this process with code 1, whatever code it is given."""
    libc, over = ctypes.CDLL(None), False

    def ended(_: object) -> None:
        if not over:
            for witness in witnesses:
                witness()
            end_early(ExitCode.FAILED, _SAID, clean_up=False)

    handler, owner = _Handler(ended), ctypes.create_string_buffer(1)
    register = partial(libc.__cxa_atexit, handler, None, owner)
    register()
    _registering.append(register)
    try:
        yield
    finally:
        over = True
        _registering.remove(register)
        libc.__cxa_finalize(owner)  # Calls what was registered by this owner, and forgets it.


def notice_first() -> None:
    """Has an end noticed before whatever libraries have registered so far; called when they are loaded.

    C calls the newest first: TensorFlow's would take down what its own threads still use, and crash.
    """
    for register in _registering:
        register()
