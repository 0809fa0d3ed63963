"""`maskbeam run`: plan, segment, and say what became of it."""

import shlex
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial

import grpc

from maskbeam.pipeline.build import segment
from maskbeam.pipeline.cli.places import absolute_options
from maskbeam.pipeline.compare.compare import check_compare, compare
from maskbeam.pipeline.exit_codes import ExitCode
from maskbeam.pipeline.inputs.listing import describe_inputs
from maskbeam.pipeline.job.begin_output import begin_output, end_output
from maskbeam.pipeline.job.check_options import check_options
from maskbeam.pipeline.job.job import Job
from maskbeam.pipeline.job.mask_format import with_mask_format
from maskbeam.pipeline.job.plan import FindProbe, Plan, check_command, make_plan, probe_file
from maskbeam.pipeline.job.preview import fast_decode_agreement, output_size
from maskbeam.pipeline.job.scene_rate import window_rate
from maskbeam.pipeline.job.scene_sizes import scene_sizes
from maskbeam.pipeline.models.engines.loader import EngineLoader
from maskbeam.pipeline.models.engines.probe_cache import TOLD, recall_probe
from maskbeam.pipeline.models.files.model_file import ModelFile
from maskbeam.pipeline.models.probing.probe import Probe
from maskbeam.pipeline.options import ModelOptions, ReadOptions, RunOptions
from maskbeam.pipeline.output.lease import Lease
from maskbeam.pipeline.output.lease_file import TakenOverError
from maskbeam.pipeline.output.ours import delete_staged, new_run, remove_empty
from maskbeam.pipeline.output.parts import lock_of, rivals_of
from maskbeam.pipeline.process.ending import stopping_on_signals
from maskbeam.pipeline.reports.closing_summary import Ending, closing_summary
from maskbeam.pipeline.reports.report_writer import ReportWriter, read_run
from maskbeam.pipeline.reports.summary_file import InputCounts
from maskbeam.pipeline.runners.execute import Executed, ExecutionError, execute
from maskbeam.pipeline.runners.registry import runner_of
from maskbeam.pipeline.storage import open_storage
from maskbeam.pipeline.tally import tally
from maskbeam.pipeline.terminal.progress import Ticker
from maskbeam.pipeline.text.wording import printable, printable_lines
from maskbeam.pipeline.workers.counts import counts_of
from maskbeam.pipeline.workers.probe_on_worker import probe_on_worker
from maskbeam.transforms.errors import RunError
from maskbeam.transforms.measures.area import AREA, km2
from maskbeam.transforms.measures.class_summary import summarize
from maskbeam.transforms.measures.counted import Sums
from maskbeam.transforms.measures.pixels import PIXELS
from maskbeam.transforms.predict import Loader

MakeLoader = Callable[[Job], tuple[Loader, Job]]

# What a signal's end means.
_GOES_ON = "the same command goes on where this one stopped"
_JOB_GOES_ON = (
    "that ends the command and not the job, which may go on on its cluster: stop it there if you want to. The same "
    "command is refused until a minute after the job has ended; then it does what is missing"
)


def run(options: RunOptions, *, find_probe: FindProbe | None = None, make_loader: MakeLoader | None = None) -> int:
    """Runs a whole job.

    Args:
        options: As parsed.
        find_probe: Says how the model is fed and read; tests pass what they know of an engine of their own.
        make_loader: Gives a job's loader, and the job as it knows it then; tests pass an engine of their own.

    Returns:
        The command's exit code, see `ExitCode`.

    Raises:
        RunError: The command is wrong; nothing was done.
    """
    # Of options that were made in Python, not parsed; to the others it does nothing.
    options = absolute_options(options)
    check_options(options)
    if not (options.compare.truth or options.compare.old) or options.dry_run:
        return _run(options, find_probe, make_loader)
    check_compare(options)
    code = _run(options, find_probe, make_loader)
    return compare(options.output.path, options) if code == ExitCode.DONE else code


def _run(options: RunOptions, find_probe: FindProbe | None, make_loader: MakeLoader | None) -> int:
    options = with_mask_format(options)
    inputs = check_command(options)
    name = new_run()
    if options.dry_run:
        plan = make_plan(options, inputs, name, find_probe=find_probe or _probe_here(options))
        return _describe(plan, make_loader or engine_loader)
    output = options.output.path
    staging = f"{output}/.tmp/{name}"
    with ExitStack() as stack:
        # Taken before the model is loaded, because it also shows whether the output can be written at all.
        storage, part = open_storage(output, staging=staging), options.read.part
        rivals = rivals_of(storage, output, part)
        outlives, lock = not runner_of(options.beam).is_local, f"{output}/{lock_of(part)}"
        lease = Lease(storage, lock, name, rivals=rivals, outlives=outlives)
        clean_up = (lambda: None) if outlives else lease.release
        rest = _JOB_GOES_ON if runner_of(options.beam).outlives_command(options.beam) else _GOES_ON
        # Before the lease is taken: a signal between the two would leave it there.
        stack.enter_context(stopping_on_signals(clean_up, rest=rest))
        stack.enter_context(lease)
        find_probe = find_probe or _find_probe(options, lock, f"{staging}/probe.json")
        plan = make_plan(options, inputs, name, find_probe=find_probe)
        say(plan.describe())
        loader, job = (make_loader or engine_loader)(plan.job)
        if plan.is_new and job.options.decode.fast_decode:
            say(f"Fast     --fast_decode: {fast_decode_agreement(job, loader())}")
        try:
            return _work(loader, job, lease)
        except TakenOverError as error:
            say(f"maskbeam: {printable(str(error))}")
            return ExitCode.FAILED


def _find_probe(options: RunOptions, lock: str, answer: str) -> FindProbe:
    """Has the model probed where it will run."""
    flags, output = options.beam, options.output.path

    def ask(asked: ModelOptions, model: ModelFile) -> Probe:
        say("Model    tried on one of the workers first ...")
        return probe_on_worker(asked, model, flags=flags, output=output, sign=lock, answer=answer)

    return ask if runner_of(flags).outlives_command(flags) else _probe_here(options)


def _probe_here(options: RunOptions) -> FindProbe:
    """Has the model probed in this process, unless an earlier job has kept what it found."""

    def find(asked: ModelOptions, model: ModelFile) -> Probe:
        recalled = recall_probe(options, model) if runner_of(options.beam).is_local else None
        if recalled:
            say(f"Model    {TOLD}")
        return recalled or probe_file(asked, model)

    return find


def _describe(plan: Plan, make_loader: MakeLoader) -> int:
    say(plan.describe())
    found = describe_inputs(plan.job.options.read)
    loader, job = make_loader(plan.job)
    say(f"Found    {found}")
    if found.ids:
        say(f"Ids      {', '.join(map(plan.job.names.image_id, found.ids))}")
    if job.is_geotiff and job.tiling:
        sizes = scene_sizes(job, job.tiling)
        for line in sizes.of(found, job):
            say(line)
        # On a cluster other machines compute, and how many is not known here.
        rate = window_rate(job, job.tiling, loader) if runner_of(job.options.beam).is_local else None
        if rate:
            say(sizes.time(found, job, rate))
    else:
        say(f"Size     {output_size(job, loader()).of(found, job.options.read.limit)}")
    say("Nothing was done: --dry_run.")
    return ExitCode.DONE


def engine_loader(job: Job) -> tuple[Loader, Job]:
    """The loader of a job's own model, and the job with the batch size that suits this machine."""
    loader = EngineLoader(job.options.model, job.probe, job.end, job.labeling.threshold)
    if job.probe.batch_size:
        return loader, job
    # Measured once for an output: reruns take the size from its record, and load no model until an image needs it.
    job = replace(job, probe=loader.started()[1])
    return loader, job


def say(text: str) -> None:
    """Tells the person at the terminal; standard output is kept for the closing summary."""
    print(printable_lines(text), file=sys.stderr, flush=True)  # noqa: T201


def _work(loader: Loader, job: Job, lease: Lease) -> int:
    begin_output(job, before=lease.before)
    writer = ReportWriter(job, time.time())
    tally.reset()
    try:
        ticker = Ticker(sys.stderr, source=counts_of(job), in_pixels=job.tiling is not None)
        with ticker, counting_input(job.options.read, ticker):
            graph = partial(segment, job=job, loader=loader, writer=writer)
            executed = execute(job.options.beam, graph, hand_over=partial(_say_where, job))
    except ExecutionError as error:
        if isinstance(error.__cause__, grpc.RpcError):
            # Only the way to the job is lost; the job may go on.
            lease.keep()
        if lease.lost and not job.writes_far:
            _leave(job)
        say(f"maskbeam: the run failed: {printable(str(error))}")
        say("maskbeam: what is done is kept; the same command goes on from there")
        return error.exit_code
    if executed is Executed.HANDED_OVER:
        # Its workers renew the lease, and the job's own last steps write the reports.
        lease.keep()
        return ExitCode.DONE
    end_output(job)
    return _conclude(job)


def _say_where(job: Job, place: str) -> None:
    say(f"The job goes on without this command: {place}")
    say(f"After its end {job.options.output.path} holds the reports; the same command then does what may be missing")


def _leave(job: Job) -> None:
    """Removes what this run was about to write into an output that is another's, or gone."""
    delete_staged(job.tree, job.run)
    remove_empty(job.tree.root, ".tmp")
    remove_empty(job.tree.root, "")


def input_bytes(options: ReadOptions) -> int:
    """Of all input; 0 of a sample, which is drawn of so much that its own share says nothing."""
    return 0 if options.limit is not None else describe_inputs(options).bytes


@contextmanager
def counting_input(options: ReadOptions, ticker: Ticker) -> Iterator[None]:
    """Lists the input a second time beside the run, so that progress can tell the time left.

    A listing of millions takes minutes, and nobody should wait for it.
    """

    def count() -> None:
        # What is wrong with the input is the graph's own listing's to say.
        with suppress(RunError):
            ticker.total_bytes = input_bytes(options)

    threading.Thread(target=count, name="count input", daemon=True).start()
    yield


def _conclude(job: Job) -> int:
    ended = read_run(job)
    if ended is None:
        say("maskbeam: the run ended without a report; run the same command again")
        return ExitCode.FAILED
    counts = InputCounts(ended["inputs"], ended["done"], ended["failed"], ended["duplicate"])
    sums = Sums.from_json(ended["statistics"])
    statistics, areas = sums[PIXELS], ((i, km2(sums[AREA], i)) for i in job.table.ids)
    ending = Ending(
        job.options.output.path,
        _folders(job),
        counts,
        left_out=ended["left_out"],
        skipped=ended["skipped"],
        seconds=ended["seconds"],
        failures=ended["failures"],
        reasons=ended["reason_counts"],
        warnings=ended["warnings"],
        max_failures=job.options.output.max_failures,
        too_many=ended["too_many"],
        refused=ended["refused"],
        independent=statistics.independent,
        other_masks=ended.get("other_masks"),
        km2={class_id: area for class_id, area in areas if area is not None},
    )
    print(closing_summary(ending, summarize(job.table, statistics)))  # noqa: T201
    if job.options.read.part:
        say(f"This was part {job.options.read.part}; after the last one: maskbeam merge {shlex.quote(job.tree.root)}")
    return int(ended["exit_code"])


def _folders(job: Job) -> list[str]:
    return [*job.mask_folder, *sorted(job.rendering.products), *([] if job.options.read.part else ["reports"])]
