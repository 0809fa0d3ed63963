"""What went wrong, out of the pages that an engine says about it, in a person's words."""

import re

from maskbeam.transforms.errors import RunError

_OURS = re.compile(
    r"^[\w.:()\" ]*\b(?:RunError|Denied|Unavailable|Unreadable|TakenOverError|TooManyFailuresError): "
    r"(.*?)(?: \[while running .*)?$",
    re.MULTILINE,
)
# The first that is found counts: causes of causes come first.
_KNOWN = (
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
    (
        r"Cannot run program \"docker\"",
        "the engine's machines have no Docker: name another way to start workers with --environment_type",
    ),
    (
        # All that a job server hands on of it.
        r"ConnectException: finishConnect\(..\) failed: Connection refused",
        "the engine's machines could not start Python workers: is an SDK worker pool beside each of them, and does "
        "--environment_config name its port?",
    ),
    (
        # A worker that cannot set up its steps says nothing; the engine waits for it.
        r"TimeoutException: Waited \d+ minutes .*Future",
        "the workers were started and said nothing: do they have maskbeam, and the same packages as here? Their own "
        "logs tell more",
    ),
    (
        r"NoResourceAvailableException",
        "Flink has fewer free slots than --parallelism asks for: ask for fewer, or add TaskManagers",
    ),
    (
        r"StatusCode\.UNAVAILABLE|FutureTimeoutError",
        "the job server cannot be reached any more; a job that runs on its cluster goes on without this command",
    ),
)


def cause_of(error: BaseException) -> str:
    """What went wrong: the message of our own error if there is one in it, a known cause, or the last line."""
    if isinstance(error, RunError):
        return str(error).partition(" [while running")[0]
    text = f"{type(error).__name__}: {error}"
    ours = _OURS.search(text)
    if ours:
        return ours[1]
    for pattern, words in _KNOWN:
        found = re.search(pattern, text)
        if found:
            return words.format(*found.groups())
    lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return lines[-1].strip()
