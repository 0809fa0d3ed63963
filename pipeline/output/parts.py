"""Parts of one job in one output: each leaves word when it comes to its end, and `maskbeam merge` gathers them."""

import json
import re
from collections.abc import Iterator
from typing import Any

from maskbeam.pipeline.cli.stored_options import flags_that_differ, read_stored
from maskbeam.pipeline.options import Part
from maskbeam.pipeline.output.stored_json import parse_stored
from maskbeam.pipeline.output.tree import LOCK, Tree, overwrite
from maskbeam.pipeline.storage import NotFound, Storage
from maskbeam.transforms.errors import RunError

FOLDER = "parts"
_LOCK_ENDING = ".lock.json"


def lock_of(part: Part | None) -> str:
    """The path of the lease of a run below the output."""
    return f"{FOLDER}/{part.file_name}{_LOCK_ENDING}" if part else LOCK


def rivals_of(storage: Storage, output: str, part: Part | None) -> Iterator[str]:
    """Leases of runs that cannot go on beside this one: of parts beside the whole, of the whole beside parts."""
    if part:
        yield f"{output}/{LOCK}"
        return
    yield from (listed.uri for listed in storage.list(f"{output}/{FOLDER}/") if listed.uri.endswith(_LOCK_ENDING))


def write_ended(tree: Tree, part: Part, options: dict[str, Any]) -> None:
    """Leaves word that a part came to its end.

    `options` are the whole job's, see `maskbeam.pipeline.cli.stored_options`.
    """
    text = json.dumps({"part": str(part), "options": options}, indent=1) + "\n"
    overwrite(tree, f"{FOLDER}/{part.file_name}.json", text.encode())


def forget_ended(tree: Tree, part: Part) -> None:
    """Takes back what `write_ended` left."""
    tree.storage.delete(tree.uri(f"{FOLDER}/{part.file_name}.json"))


def read_options(storage: Storage, output: str) -> dict[str, Any]:
    """The options of the whole job, once all parts have come to their end.

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
    if different := flags_that_differ([options for _, _, options in ended]):
        raise RunError(
            f"the parts in {output} were run with different options: {', '.join(different)}; run all with the same"
        )
    return ended[0][2]


def _read_ended(storage: Storage, uri: str) -> tuple[int, int, dict[str, Any]]:
    try:
        held = parse_stored(storage.read(uri))
        if "command" in held:
            raise RunError(
                f"{uri} was left by an older maskbeam, as a command that nobody should run from a file; run that "
                "part again with this one: its masks are done, and it takes a moment"
            )
        index, count = map(int, held["part"].split("/"))
        return index, count, read_stored(held["options"])
    except (NotFound, ValueError, TypeError, KeyError, AttributeError):
        raise RunError(f"{uri} is damaged; remove it, and run that part again") from None


def _ended(storage: Storage, output: str) -> Iterator[str]:
    start = len(f"{output}/{FOLDER}/")
    uris = (listed.uri for listed in storage.list(f"{output}/{FOLDER}/"))
    return (uri for uri in uris if re.fullmatch(r"\d+-of-\d+\.json", uri[start:]))
