"""Products that an output holds of images which were made again without them: what `--overwrite` leaves to remove.

A file is replaced by the file of the same name. When other options, or another model, make fewer products, or have
them elsewhere, what was made before would stay beside the new masks and look as if it belonged to them.
"""

import os
from collections.abc import Iterator, Sequence

from maskbeam.pipeline.output.orphans import claim_of, plain_files
from maskbeam.pipeline.output.ours import image_folders, may_be_by_class, names_of, remove_empty
from maskbeam.pipeline.output.tree import Tree
from maskbeam.transforms.products.registry import product


def remove_leftovers(tree: Tree, made: Sequence[str]) -> int:
    """Removes files that a job does not make of images which it has made again.

    Nothing is removed of an image that has no mask of this job, as of one whose input is gone or failed.

    Args:
        tree: The output as the job sees it.
        made: Patterns of the paths of the products that it makes.

    Returns:
        How many were removed.
    """
    found = list(_leftovers(tree, [tree.record, *made]))
    for path in found:
        tree.storage.delete(tree.uri(path))
    for folder in sorted({os.path.dirname(path) for path in found}, reverse=True):
        remove_empty(tree.root, folder)
        remove_empty(tree.root, folder.partition("/")[0])
    return len(found)


def _leftovers(tree: Tree, made: Sequence[str]) -> Iterator[str]:
    edges = [pattern.split("{}") for pattern in made]
    for kind in image_folders():
        # Such a file may be one of a class, or of an image whose id begins with the name of a folder.
        is_unsure = may_be_by_class(kind) and product(kind).path() in made
        for listed in plain_files(tree.storage, tree.root, kind):
            path = listed.uri[len(tree.root) + 1 :]
            is_made = any(path.startswith(begin) and path.endswith(end) for begin, end in edges)
            if (not is_made or (is_unsure and path.count("/") > 1)) and _is_left(tree, path):
                yield path


def _is_left(tree: Tree, path: str) -> bool:
    """True if a file of maskbeam's is of an image that has another mask now, made with the same options as `tree`."""
    own = claim_of(tree.storage, tree.uri(path))
    masks = [claim_of(tree.storage, tree.uri(tree.record.format(name))) for name in names_of(path)] if own else []
    made = {(mask.place, mask.fingerprint) for mask in masks if mask}
    return bool(own and any(f == tree.fingerprint for _, f in made) and (own.place, own.fingerprint) not in made)
