"""Parts of one job in one output: each leaves word when it comes to its end, and `maskbeam merge` gathers them."""

import json
from collections.abc import Iterator

from pipeline.inputs.part import Part
from pipeline.output.tree import LOCK, Tree, overwrite
from pipeline.storage import NotFound, Storage
from transforms.errors import RunError

FOLDER = "parts"
_LOCK_ENDING = ".lock.json"


def lock_of(part: Part | None) -> str:
    """Where the lease of a run lies below the output."""
    return f"{FOLDER}/{part.file_name}{_LOCK_ENDING}" if part else LOCK


def rivals_of(storage: Storage, output: str, part: Part | None) -> Iterator[str]:
    """Leases of runs that cannot go on beside this one: of parts beside the whole, of the whole beside parts."""
    if part:
        yield f"{output}/{LOCK}"
        return
    yield from (listed.uri for listed in storage.list(f"{output}/{FOLDER}/") if listed.uri.endswith(_LOCK_ENDING))


def write_ended(tree: Tree, part: Part, command: str) -> None:
    """Leaves word that a part came to its end; `command` does the whole job."""
    text = json.dumps({"part": str(part), "command": command}, indent=1) + "\n"
    overwrite(tree, f"{FOLDER}/{part.file_name}.json", text.encode())


def forget_ended(tree: Tree, part: Part) -> None:
    """Takes back what `write_ended` left."""
    tree.storage.delete(tree.uri(f"{FOLDER}/{part.file_name}.json"))


def read_command(storage: Storage, output: str) -> str:
    """The command of the whole job, once all parts have come to their end.

    Raises:
        RunError: Parts are missing, or are parts of different jobs.
    """
    ended = [_read_ended(storage, uri) for uri in _ended(storage, output)]
    found = {(index, count) for index, count, _ in ended}
    counts = sorted({count for _, count in found})
    if not found:
        raise RunError(f"{output} holds no finished part; first do all of them with maskbeam run --part I/N")
    if len(counts) > 1:
        raise RunError(f"{output} holds parts of {' and of '.join(map(str, counts))}; do all parts of one division")
    missing = sorted(set(range(1, counts[0] + 1)) - {index for index, _ in found})
    if missing:
        shown = ", ".join(f"{index}/{counts[0]}" for index in missing[:10])
        raise RunError(f"{len(missing)} of {counts[0]} parts did not come to their end: run --part {shown} (again)")
    commands = sorted({command for _, _, command in ended})
    if len(commands) > 1:
        raise RunError(f"the parts in {output} were run with different options: {commands[0]}; {commands[1]}")
    return commands[0]


def _read_ended(storage: Storage, uri: str) -> tuple[int, int, str]:
    try:
        held = json.loads(storage.read(uri))
        index, count = map(int, held["part"].split("/"))
        return index, count, str(held["command"])
    except (NotFound, ValueError, TypeError, KeyError, AttributeError):
        raise RunError(f"{uri} is damaged; remove it, and run that part again") from None


def _ended(storage: Storage, output: str) -> Iterator[str]:
    uris = (listed.uri for listed in storage.list(f"{output}/{FOLDER}/"))
    return (uri for uri in uris if uri.endswith(".json") and not uri.endswith(_LOCK_ENDING))
