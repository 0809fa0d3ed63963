"""Blocks of images in `.blocks/`: once an image has its mask, none of its is left."""

from collections.abc import Iterator

from maskbeam.pipeline.output.blocks import folder_of_blocks
from maskbeam.pipeline.output.finished import FinishedOutput
from maskbeam.pipeline.output.orphans import claim_of
from maskbeam.pipeline.output.ours import BLOCKS, is_own

#: In words, what is wrong about a file.
LEFT = "was left over: no run is at work on its image"


def left_blocks(made: FinishedOutput) -> Iterator[tuple[str, str]]:
    """The files below `.blocks/` that belong to no input that has failed and may be tried again.

    Returns:
        The path of each, and what is wrong about it; nothing where it may be another command's, whose input the last
        one did not name.
    """
    start = len(made.root) + 1
    paths = [listed.uri[start:] for listed in made.storage.list(f"{made.root}/{BLOCKS}/")]
    if not paths:
        return
    failed, folders = {each.place for each in made.failed()}, {_folder(path) for path in paths}
    done = folders & {folder_of_blocks(row.image_id, row.place) for row in made.images()}
    for path in paths:
        claim = claim_of(made.storage, f"{made.root}/{path}")
        is_ours = (
            claim is not None and claim.fingerprint == made.fingerprint and is_own(BLOCKS, path.partition("/")[2])
        )
        if not is_ours or _folder(path) in done:
            yield path, LEFT
        elif claim and claim.place not in failed:
            yield path, ""


def _folder(path: str) -> str:
    return path.split("/")[1]
