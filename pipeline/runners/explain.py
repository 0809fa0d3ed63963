"""Turns the pages that a runner says about an error into one line for the user."""

import re

from maskbeam.pipeline.runners.registry import RUNNERS
from maskbeam.transforms.errors import RunError, kinds_of

# The first that is found counts: causes of causes come first, and what a runner says of workers after what they say.
_OF_WORKERS = (
    (
        r"No module named 'maskbeam\b",
        "the workers do not have maskbeam: install it in their image or environment, the same version as here",
    ),
    (
        r"No module named '([\w.]+)'",
        "the workers do not have the Python package {}: install there what requirements.txt lists",
    ),
    (
        r"(?:Can't get attribute|cannot import name) '(\w+)'.*\bmaskbeam\.",
        "the workers' maskbeam is another version than this one ({} is missing there): install the same on both",
    ),
)
_OF_THE_WAY = (
    (
        r"StatusCode\.UNAVAILABLE|FutureTimeoutError",
        "the job server cannot be reached any more; a job that runs on its cluster goes on without this command",
    ),
)


def cause_of(error: BaseException) -> str:
    """The cause of an error: the message of our own error if there is one in it, a known cause, or the last line."""
    if isinstance(error, RunError):
        return str(error).partition(" [while running")[0]
    text = _text(error)
    ours = re.search(rf"^[\w.:()\" ]*\b(?:{'|'.join(_kinds())}): (.*?)(?: \[while running .*)?$", text, re.MULTILINE)
    if ours:
        return ours[1]
    # A job server hands on what its cluster says, so the job's own runner is not the only one to ask.
    of_runners = (known for runner in RUNNERS for known in runner.errors)
    for pattern, words in (*_OF_WORKERS, *of_runners, *_OF_THE_WAY):
        found = re.search(pattern, text)
        if found:
            return words.format(*found.groups())
    lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return lines[-1].strip()


def kinds_in(error: BaseException) -> set[type[RunError]]:
    """The classes of our own errors that an error names: those of workers elsewhere arrive as text."""
    text = _text(error)
    return {kind for name, kind in _kinds().items() if re.search(rf"\b{name}\b", text)}


def _kinds() -> dict[str, type[RunError]]:
    return {kind.__name__: kind for kind in kinds_of(RunError)}


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
