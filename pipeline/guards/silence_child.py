"""Silence of processes that decode: a decoder that crashes may print what it was reading."""

import os
from contextlib import AbstractContextManager, nullcontext

from maskbeam.pipeline.process.streams import errors_discarded
from maskbeam.pipeline.terminal.logs import quiet

DEBUG = "MASKBEAM_DEBUG" in os.environ


def silence() -> None:
    """Keeps what this process and its libraries have to say off the terminal, and the process off the GPUs.

    A decoder needs no GPU, and would take the model's memory there. With MASKBEAM_DEBUG all is shown.
    """
    quiet(debug=DEBUG)
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    if not DEBUG:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 2)
        os.close(null)


def starting_silently() -> AbstractContextManager[None]:
    """While a process is started that imports decoders, which have things to say as well."""
    return nullcontext() if DEBUG else errors_discarded()
