"""The terminal is for the person: libraries' banners and tracebacks are kept off it."""

import logging
import os
import warnings
from collections.abc import Iterable

from maskbeam.pipeline.text.wording import printable, printable_lines

_silent: set[str] = set()


class _NotWanted(logging.Filter):
    """Drops what Beam says without a logger of its own: about Google libraries, and in modules that are silenced."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.module not in _silent and not record.getMessage().startswith("apitools not found")


def silence(modules: Iterable[str]) -> None:
    """Drops what modules say without a logger of their own, where `quiet` was called for people."""
    _silent.update(modules)


class _OneLine(logging.Formatter):
    """Writes each message on a line of its own: a name in it may hold line breaks, and worse."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name is logging's
        record.message = printable(record.message)
        return super().formatMessage(record)

    def format(self, record: logging.LogRecord) -> str:
        # Below the message there may be a traceback.
        return printable_lines(super().format(record))


def quiet(*, debug: bool = False) -> None:
    """Sets up logging; called once, before any heavy import.

    Args:
        debug: Whether the libraries may say what they like: for reports of bugs.
    """
    console = logging.StreamHandler()
    console.setFormatter(_OneLine("maskbeam: %(message)s"))
    logging.basicConfig(handlers=[console], level=logging.DEBUG if debug else logging.WARNING)
    if debug:
        return
    logging.getLogger().addFilter(_NotWanted())
    # TensorFlow's C++ side: errors only.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # Beam logs every failed bundle with its traceback; the run's own last words name the cause.
    logging.getLogger("apache_beam").setLevel(logging.CRITICAL)
    logging.getLogger("google").setLevel(logging.ERROR)
    # What Pillow thinks of an image belongs into that image's failure, if it is one.
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module=r"PIL\.")
