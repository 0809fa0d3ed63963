"""Checks of a worker before it begins: whether it shares the output's disk and runs the same maskbeam."""

import socket
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

from maskbeam import __version__
from maskbeam.pipeline.output.tree import RECORD, Tree
from maskbeam.pipeline.storage import Storage
from maskbeam.transforms.errors import RunError

T = TypeVar("T")


@dataclass(frozen=True)
class CheckWorker:
    """Hands elements on, once this process has been found fit.

    Attributes:
        tree: The output; the client has written its record before the work began.
        version: The client's maskbeam.

    Raises:
        RunError: The worker does not see the output, or runs another version.
    """

    tree: Tree
    version: str

    def __call__(self, element: T) -> T:
        _check(self)
        return element


@cache
def _check(expected: CheckWorker) -> None:
    check_version(expected.version)
    check_sees(expected.tree.storage, expected.tree.uri(RECORD), expected.tree.root)


def check_version(expected: str) -> None:
    """Raises RunError where this process has another maskbeam than the command."""
    if __version__ != expected:
        raise RunError(
            f"the worker on {socket.gethostname()} runs maskbeam {__version__} and the command maskbeam "
            f"{expected}: install the same version on both"
        )


def check_sees(storage: Storage, sign: str, output: str) -> None:
    """Raises RunError where this process does not see the file `sign`, which the command has left in the output."""
    if storage.stat(sign) is None:
        raise RunError(
            f"the worker on {socket.gethostname()} does not see the output {output}: choose an --output on a disk "
            "that all workers share, or on gs://"
        )
