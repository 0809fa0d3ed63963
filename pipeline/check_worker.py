"""What only a worker can tell before it begins: whether it shares the output's disk and runs the same maskbeam."""

import socket
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import TypeVar

from pipeline.output.tree import RECORD, Tree
from transforms.errors import RunError

T = TypeVar("T")


def maskbeam_version() -> str:
    """The version of maskbeam in this process, or `unknown` where its code lies about without being installed."""
    try:
        return version("maskbeam")
    except PackageNotFoundError:
        return "unknown"


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
    here = socket.gethostname()
    if maskbeam_version() != expected.version:
        raise RunError(
            f"the worker on {here} runs maskbeam {maskbeam_version()} and the command maskbeam {expected.version}: "
            "install the same version on both"
        )
    if expected.tree.storage.stat(expected.tree.uri(RECORD)) is None:
        raise RunError(
            f"the worker on {here} does not see the output {expected.tree.root}: choose an --output on a disk that "
            "all workers share, or on gs://"
        )
