"""`maskbeam compare`: a finished output's masks held against the truth, or against old labels."""

import heapq
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial

from maskbeam.pipeline.compare.compare_files import DEFINITIONS
from maskbeam.pipeline.compare.comparison import Comparison, drawn
from maskbeam.pipeline.compare.graph import compare_images
from maskbeam.pipeline.compare.writer import Writer
from maskbeam.pipeline.exit_codes import ExitCode
from maskbeam.pipeline.options import RunOptions
from maskbeam.pipeline.output.finished import FinishedOutput
from maskbeam.pipeline.output.holder import Holder
from maskbeam.pipeline.output.lease import Lease
from maskbeam.pipeline.output.lease_file import TakenOverError
from maskbeam.pipeline.output.ours import check_layout, delete_staged, new_run, remove_empty, runs_staged
from maskbeam.pipeline.output.parts import lock_of, rivals_of
from maskbeam.pipeline.output.tree import Tree
from maskbeam.pipeline.process.ending import stopping_on_signals
from maskbeam.pipeline.references.reader import Wanted
from maskbeam.pipeline.references.references import find_references
from maskbeam.pipeline.runners.execute import ExecutionError, execute
from maskbeam.pipeline.runners.registry import runner_of
from maskbeam.pipeline.storage import absolute, open_storage
from maskbeam.pipeline.text.wording import plural, printable, printable_lines
from maskbeam.transforms.errors import RunError

_GOES_ON = "the same command goes on where this one stopped"


def compare(
    output: str,
    options: RunOptions,
    *,
    name: str | None = None,
    group_by: int | None = None,
    boundary: float | None = None,
    require: tuple[tuple[str, float], ...] = (),
) -> int:
    """Compares the masks of an output with a reference, and reports on it.

    Args:
        output: A finished output, local or on GCS.
        options: The reference, and how much of what is compared; flags of Beam.
        name: Of the comparison; None: `truth` or `old`.
        group_by: So many parts of an id are its group in the bootstrap; None: each image is one.
        boundary: The width of boundaries for Boundary IoU, as a share of the diagonal; None: without.
        require: Lowest values of scores, by name.

    Returns:
        The command's exit code.

    Raises:
        RunError: The command is wrong; nothing was done.
    """
    root = absolute(output).rstrip("/")
    wanted = _wanted(options)
    _check(require)
    check_layout(root)
    run, made = new_run(), FinishedOutput.open(root)
    if made.planes:
        raise RunError(
            f"{root} holds a binary mask for each class (--multilabel planes), which have no single class a pixel; "
            "compare an output with one label map an image"
        )
    staging, lock = f"{root}/.tmp/{run}", f"{root}/{lock_of(None)}"
    tree = Tree(root, staging, made.record_path, made.fingerprint, "", hold=Holder(lock, run, staging))
    comparison = Comparison(
        made,
        tree,
        name or wanted.flag.removeprefix("--"),
        wanted.flag,
        wanted.where,
        find_references(wanted, made),
        _images_of(made),
        limit=options.read.limit,
        seed=options.read.seed,
        group_by=group_by or 0,
        boundary=boundary,
        max_failures=options.output.max_failures,
        required=require,
    )
    comparison = replace(comparison, last=_last_drawn(comparison))
    _say_plan(comparison)
    if options.dry_run:
        say("Nothing was done: --dry_run.")
        return ExitCode.DONE
    with _holding(tree, lock, run, flags=options.beam) as lease:
        return _work(comparison, options.beam, lease)


def check_compare(options: RunOptions) -> None:
    """Makes sure that a comparison can follow a run.

    Raises:
        RunError: It is said wrongly, or the run is a part, or its command ends before it.
    """
    flag = _wanted(options).flag
    if options.read.part or runner_of(options.beam).outlives_command(options.beam):
        raise RunError(
            f"{flag} compares when the whole run has ended, which this command does not see: leave it out, and then "
            "run maskbeam compare"
        )


def _wanted(options: RunOptions) -> Wanted:
    asked, seed, inputs = options.compare, options.read.seed, options.read.patterns
    if bool(asked.truth) == bool(asked.old):
        raise RunError(
            "say what the masks are held against: --truth WHERE or --old WHERE, one of the two"
            if not asked.truth
            else "--truth and --old are two comparisons: run one after the other, each has its folder"
        )
    if asked.truth:
        of_truth = asked.truth_classes, asked.truth_values, asked.truth_upright
        return Wanted(asked.truth, "--truth", *of_truth, seed, inputs)
    return Wanted(str(asked.old), "--old", asked.old_classes, asked.old_values, asked.old_upright, seed, inputs)


def _check(require: tuple[tuple[str, float], ...]) -> None:
    for score, _ in require:
        if score not in DEFINITIONS:
            raise RunError(f"--require {score}: there is no such score; choose from {', '.join(DEFINITIONS)}")


def _images_of(made: FinishedOutput) -> int:
    done = made.read_json("reports/summary.json").get("done")
    if not isinstance(done, int):
        raise RunError(f"{made.root}/reports/summary.json is damaged; run the same maskbeam run again")
    return done


def _last_drawn(comparison: Comparison) -> str | None:
    """The largest number in the draw of a sample."""
    if comparison.limit is None or comparison.limit >= comparison.images:
        return None
    numbers = (drawn(image.image_id, comparison.seed) for image in comparison.output.images())
    return max(heapq.nsmallest(comparison.limit, numbers))


def _say_plan(comparison: Comparison) -> None:
    references = comparison.references
    total = "" if references.total is None else f", {plural(references.total, 'reference')}"
    say(f"Compare  {plural(comparison.chosen, 'image')} of {comparison.output.root}")
    say(f"With     {comparison.flag} {comparison.where}{total}")
    for line in references.words:
        say(f"         {printable(line)}")


@contextmanager
def _holding(tree: Tree, lock: str, run: str, *, flags: tuple[str, ...]) -> Iterator[Lease]:
    """Keeps runs, and other comparisons, away meanwhile; tidies up what those that died have left."""
    storage = open_storage(tree.root, staging=tree.staging)
    outlives = not runner_of(flags).is_local
    lease = Lease(storage, lock, run, rivals=rivals_of(storage, tree.root, None), outlives=outlives)
    try:
        with ExitStack() as stack:
            stack.enter_context(stopping_on_signals((lambda: None) if outlives else lease.release, rest=_GOES_ON))
            yield stack.enter_context(lease)
            for staged in runs_staged(tree):
                delete_staged(tree, staged)
    finally:
        delete_staged(tree, run)
        remove_empty(tree.root, ".tmp")


def _work(comparison: Comparison, flags: tuple[str, ...], lease: Lease) -> int:
    try:
        Writer(comparison).begin()
        execute(flags, partial(compare_images, comparison=comparison))
    except TakenOverError as error:
        say(f"maskbeam: {printable(str(error))}")
        return ExitCode.FAILED
    except ExecutionError as error:
        say(f"maskbeam: the comparison failed: {printable(str(error))}")
        say("maskbeam: what is done is kept; the same command goes on from there")
        return error.exit_code
    return _conclude(comparison)


def say(text: str) -> None:
    """Tells the person at the terminal; standard output is kept for the closing lines."""
    print(printable_lines(text), file=sys.stderr, flush=True)  # noqa: T201


def _conclude(comparison: Comparison) -> int:
    """Prints what the job's last step has left, wherever that ran."""
    made, folder = comparison.output, comparison.folder
    summary = made.read_json(f"{folder}/summary.json")
    lines = [*summary["in_words"], *(f"MISSED   {text}" for text in summary["missed"])]
    if any(each["picture"] for each in summary["worst"]):
        lines.append(f"Look at  {made.root}/{folder}/worst: the images that fit least")
    lines.append(f"Output   {made.root}/{folder}")
    print(printable_lines("\n".join(lines)))  # noqa: T201
    return int(summary["exit_code"])
