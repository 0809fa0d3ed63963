"""Makes an output ready for a run, and tidies up after it."""

from contextlib import suppress

from maskbeam.pipeline.job.job import Job
from maskbeam.pipeline.job.record import record_of, stored_record
from maskbeam.pipeline.output.blocks import folder_of_blocks
from maskbeam.pipeline.output.failures import forget_others, known_code
from maskbeam.pipeline.output.finished_rows import failed_rows
from maskbeam.pipeline.output.ours import (
    BLOCKS,
    COMPARISONS,
    delete_below,
    delete_own,
    delete_staged,
    folders_in,
    is_run,
    is_success,
    remove_empty,
    runs_staged,
)
from maskbeam.pipeline.output.parts import FOLDER, forget_ended
from maskbeam.pipeline.output.tree import RECORD, SUCCESS, Tree, overwrite
from maskbeam.transforms.errors import RunError


def begin_output(job: Job, *, before: str | None = None) -> None:
    """Removes what the last run said of the output as a whole, and what it left half done.

    Args:
        job: The run that begins.
        before: The run whose lease it has taken over. What that one, should it only have been stopped, was about to
            write is gone then, so that it cannot finish it.

    Raises:
        RunError: A part of another job has just begun in the same output.
    """
    storage, tree, part = job.tree.storage, job.tree, job.options.read.part
    storage.delete(tree.uri(SUCCESS))
    # Masks may change now: what was said of them by comparisons is outdated.
    delete_own(tree, COMPARISONS, only=is_success)
    delete_own(tree, "reports")
    if tree.overwrite and job.options.output.anonymous_ids:
        # They are called by digests, which an older version made without a key.
        forget_others(tree)
    if part:
        forget_ended(tree, part)
        if before and is_run(before):
            delete_staged(tree, before)
        _write_shared_record(job)
    else:
        clear_staging(job, but=job.run)
        overwrite(tree, RECORD, record_of(job))


def _write_shared_record(job: Job) -> None:
    # Parts begin at the same time; whoever comes second finds the record there, and must agree with it.
    with suppress(RunError):
        if not _agrees(job):
            overwrite(job.tree, RECORD, record_of(job))
    if not _agrees(job):
        raise RunError(f"another part began in {job.tree.root} with other options; run all parts with the same ones")


def _agrees(job: Job) -> bool:
    stored = stored_record(job.options.output.path)
    return stored is not None and stored.get("settings") == job.settings


def end_output(job: Job) -> None:
    """Removes a finished run's folder for what is of no use after it; other parts may still use theirs.

    A whole run that is a success has done what all parts were to do, so what they left is of no use either.
    """
    if not job.options.read.part:
        clear_staging(job)
        if job.tree.storage.stat(job.tree.uri(SUCCESS)):
            delete_own(job.tree, FOLDER)
            remove_empty(job.tree.root, FOLDER)
        has_ended = job.tree.storage.stat(job.tree.uri(f"runs/{job.run}.json"))
        if has_ended and job.options.read.limit is None:
            _delete_blocks(job.tree)
    else:
        delete_staged(job.tree, job.run)
        remove_empty(job.tree.root, ".tmp")


def _delete_blocks(tree: Tree) -> None:
    """Removes the blocks of all images that the next run will not go on with: only of failures that may pass it does.

    A death may have left those of images that are done, and of inputs that are gone or are other ones now.
    """
    found = folders_in(tree, BLOCKS)
    failed = list(failed_rows(tree.storage, tree.root)) if found else []
    passing = [each for each in failed if (code := known_code(each.code)) is None or code.passing]
    if any(not each.image_id for each in passing):
        # Of a shard that could not be read nobody knows which images it holds.
        return
    for folder in found - {folder_of_blocks(each.image_id, each.place) for each in passing}:
        delete_below(tree, BLOCKS, folder)
    remove_empty(tree.root, BLOCKS)


def clear_staging(job: Job, *, but: str = "") -> None:
    """Removes files that no run has completed and how far workers were, `but` those of a run that lives."""
    for run in runs_staged(job.tree) - {but}:
        delete_staged(job.tree, run)
    remove_empty(job.tree.root, ".tmp")
