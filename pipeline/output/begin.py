"""Makes an output ready for a run, and tidies up after it."""

import shutil
from contextlib import suppress
from pathlib import Path

from pipeline.job import Job
from pipeline.output.parts import forget_ended, forget_parts, remove_empty
from pipeline.output.tree import RECORD, SUCCESS, Tree, overwrite
from pipeline.plan import record_of, stored_record
from pipeline.storage import is_gcs
from transforms.errors import RunError


def begin_output(job: Job) -> None:
    """Removes what the last run said of the output as a whole, and what it left half done.

    Raises:
        RunError: A part of another job has just begun in the same output.
    """
    storage, tree, part = job.tree.storage, job.tree, job.options.read.part
    storage.delete(tree.uri(SUCCESS))
    for listed in storage.list(tree.uri("reports") + "/"):
        storage.delete(listed.uri)
    if part:
        forget_ended(tree, part)
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
            forget_parts(job.tree.storage, job.tree.root)
    else:
        _remove(job.tree, f".tmp/{job.run}")
        remove_empty(job.tree.root, ".tmp")


def clear_staging(job: Job, *, but: str = "") -> None:
    """Removes files that no run has completed and how far workers were, `but` those of a run that lives."""
    for run in _runs(job.tree):
        if run != but:
            _remove(job.tree, f".tmp/{run}")
    remove_empty(job.tree.root, ".tmp")


def _runs(tree: Tree) -> set[str]:
    """The runs that have something in `.tmp`."""
    folder = tree.uri(".tmp")
    if not is_gcs(tree.root):
        return {path.name for path in Path(folder).glob("*")}
    return {listed.uri.removeprefix(f"{folder}/").partition("/")[0] for listed in tree.storage.list(f"{folder}/")}


def _remove(tree: Tree, folder: str) -> None:
    if is_gcs(tree.root):
        for listed in tree.storage.list(tree.uri(folder) + "/"):
            tree.storage.delete(listed.uri)
    else:
        shutil.rmtree(tree.uri(folder), ignore_errors=True)
