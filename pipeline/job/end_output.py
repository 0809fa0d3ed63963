"""Makes sure, before a run is called a success, that its output is there still."""

from maskbeam.pipeline.job.job import Job
from maskbeam.pipeline.job.record import stored_record
from maskbeam.pipeline.output.finished import stored_fingerprint
from maskbeam.pipeline.output.tree import RECORD, Tree
from maskbeam.transforms.errors import RunError


def check_output(job: Job, done: int) -> int | None:
    """Looks at what a run has made, after everything but `_SUCCESS` was written.

    Args:
        job: The run.
        done: The number of images that have a mask.

    Returns:
        The number of masks that belong to no image of this run: of inputs that are gone, or that other commands
        named. None where that cannot be told, of a sample or a part.

    Raises:
        RunError: The record is gone or another run's, or masks are gone.
    """
    record = stored_record(job.tree.root)
    if record is None or stored_fingerprint(record) != job.fingerprint:
        whose = "was removed or moved" if record is None else "is another run's now"
        raise RunError(f"{job.tree.root}/{RECORD} {whose} while this run went on; run the same command again")
    if job.options.read.part:
        # Of all masks, a part cannot tell its own; whoever merges the parts counts them.
        return None
    found = count_masks(job.tree)
    if found < done:
        raise RunError(
            f"{job.tree.root} should hold {done:,} masks and holds {found:,}: some were removed or moved while this "
            "run went on; run the same command again, it makes those that are missing"
        )
    return None if job.options.read.limit is not None else found - done


def count_masks(tree: Tree) -> int:
    """The number of files that carry an image's record."""
    folder, _, ending = tree.record.partition("{}")
    return sum(listed.uri.endswith(ending) for listed in tree.storage.list(tree.uri(folder.rstrip("/")) + "/"))
