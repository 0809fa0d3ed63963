"""`maskbeam run`: plan, segment, and say what became of it."""

import sys
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

from pipeline.build import segment
from pipeline.console import Ending, closing_summary
from pipeline.engines import EngineLoader
from pipeline.execute import ExecutionError, execute, stopping_on_signals
from pipeline.job import Job
from pipeline.lease import Lease
from pipeline.options import RunOptions
from pipeline.plan import Plan, make_plan, record_of
from pipeline.progress import Ticker, tally
from pipeline.report_writer import ReportWriter, read_run
from pipeline.summary_file import InputCounts
from pipeline.tree import LOCK, RECORD, SUCCESS, overwrite
from transforms.class_summary import summarize
from transforms.predict import Loader
from transforms.statistics import PixelStatistics

MakeLoader = Callable[[Job], tuple[Loader, Job]]


def run(options: RunOptions, *, make_loader: MakeLoader | None = None) -> int:
    """Runs a whole job.

    Args:
        options: As parsed.
        make_loader: Gives a job's loader, and the job as it knows it then; tests pass an engine of their own.

    Returns:
        The command's exit code: 0 done, 1 failed on the way, 3 too many images failed.

    Raises:
        RunError: The command is wrong; nothing was done.
    """
    name = time.strftime("%Y%m%d-%H%M%S-", time.gmtime()) + uuid.uuid4().hex[:6]
    plan = make_plan(options, name, say=say)
    if options.dry_run:
        say(plan.description)
        return 0
    storage, tree = plan.job.tree.storage, plan.job.tree
    with ExitStack() as stack:
        lease = stack.enter_context(Lease(storage, tree.uri(LOCK), name))
        stack.enter_context(stopping_on_signals(say, lease.release))
        return _work(plan, make_loader or engine_loader)


def engine_loader(job: Job) -> tuple[Loader, Job]:
    """The loader of a job's own model, and the job with the batch size that suits this machine."""
    loader = EngineLoader(job.options.model, job.probe, job.end, job.labeling.threshold)
    return loader, job


def say(text: str) -> None:
    """Tells the person at the terminal; standard output is kept for the closing summary."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201


def _work(plan: Plan, make_loader: MakeLoader) -> int:
    loader, job = make_loader(plan.job)
    begin_output(job)
    writer = ReportWriter(job, time.time())
    tally.reset()
    try:
        with Ticker(sys.stderr, total_bytes=plan.inputs.bytes):
            execute(job.options.beam, partial(segment, job=job, loader=loader, writer=writer))
    except ExecutionError as error:
        say(f"maskbeam: the run failed: {error}\nmaskbeam: what is done is kept; the same command goes on from there")
        return error.exit_code
    return _conclude(job)


def begin_output(job: Job) -> None:
    """Makes an output ready: what the last run said of it as a whole goes, and what it left half done."""
    storage, tree = job.tree.storage, job.tree
    storage.delete(tree.uri(SUCCESS))
    for folder in ("reports", ".tmp"):
        for listed in storage.list(tree.uri(folder) + "/"):
            storage.delete(listed.uri)
    overwrite(tree, RECORD, record_of(job))


def _conclude(job: Job) -> int:
    ended = read_run(job)
    if ended is None:
        say("maskbeam: the run ended without a report; run the same command again")
        return 1
    counts = InputCounts(ended["inputs"], ended["done"], ended["failed"], ended["duplicate"])
    statistics = PixelStatistics.from_json(ended["statistics"])
    ending = Ending(
        job.options.output.path,
        ["masks", *sorted(job.rendering.products), "reports"],
        counts,
        skipped=ended["skipped"],
        seconds=ended["seconds"],
        failures=ended["failures"],
        reasons=ended["reasons"],
        warnings=ended["warnings"],
        max_failures=job.options.output.max_failures,
        too_many=ended["too_many"],
        refused=ended["refused"],
        independent=statistics.independent,
    )
    print(closing_summary(ending, summarize(job.table, statistics)))  # noqa: T201
    return int(ended["exit_code"])
