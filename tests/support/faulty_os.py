"""The system's calls on files, of which some fail for a moment: a network mount on a bad day."""

import errno
import os
import re
from functools import partial
from typing import Any

from tests.support.fake_faults import Faults

# Those by which local storage reads, lists and writes.
CALLS = ("fsync", "link", "makedirs", "open", "pread", "replace", "scandir", "stat", "unlink", "utime")
# `done`: the call is carried out, and reported as failed all the same.
KINDS = ("EIO", "ESTALE", "done")
_NAMES_BY_CHANCE = re.compile(r"[0-9a-f]{24}|\d{8}-\d{6}-[0-9a-f]{6}")


class FaultyOs:
    """Stands for the module `os`; `faults` picks the calls that fail, by the names of files below `root`."""

    def __init__(self, faults: Faults, root: str = "") -> None:
        self.faults = faults
        self.root = root

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        return partial(self._call, name, real) if name in CALLS else real

    def _call(self, name: str, real: Any, *args: Any, **options: Any) -> Any:
        place = args[1] if name in ("link", "replace") else args[0]
        named = _NAMES_BY_CHANCE.sub("", str(place).replace(self.root, "") if self.root else str(place))
        fault = self.faults.draw(f"{name} {named}")
        if fault == "done" and name in ("link", "replace", "unlink"):
            real(*args, **options)
        if fault:
            number = errno.ESTALE if fault == "ESTALE" else errno.EIO
            raise OSError(number, os.strerror(number), place)
        return real(*args, **options)
