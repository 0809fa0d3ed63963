"""`maskbeam review`: the images of a finished output that a person should look at first, as a manifest."""

import shlex
from collections.abc import Iterable, Iterator

from maskbeam.pipeline.commands.review.orders import ORDERS
from maskbeam.pipeline.exit_codes import ExitCode
from maskbeam.pipeline.output.finished import FinishedOutput
from maskbeam.pipeline.output.finished_rows import FinishedImage
from maskbeam.pipeline.output.ours import check_layout
from maskbeam.pipeline.output.tree import Tree, overwrite
from maskbeam.pipeline.storage import absolute
from maskbeam.pipeline.text.csv_text import csv_line
from maskbeam.pipeline.text.wording import plural
from maskbeam.transforms.errors import RunError
from maskbeam.transforms.measures.review_queue import Candidate, ClassQueues, ReviewQueue

_COLUMNS = ("rank", "id", "uri", "score", "why")
# A class, where each has its queue, and one of the chosen.
_Chosen = tuple[str, Candidate]


def review(
    output: str,
    *,
    by: str,
    top: int = 500,
    per_group: int | None = None,
    group_by: int | None = None,
    per_class: int | None = None,
) -> int:
    """Writes `review/<by>.csv`: the images that a person should look at first, and why.

    The file is a manifest: `maskbeam run --input` does just these. Memory holds the chosen, however many there are.

    Args:
        output: A finished output, local or on GCS.
        by: A name in `ORDERS`.
        top: How many are chosen.
        per_group: How many of one group.
        group_by: A group is all ids that begin with the same so many parts; None: those of one folder.
        per_class: A queue of so many for each class, of the images that hold it, in the place of `top`.

    Returns:
        The command's exit code, 0.

    Raises:
        RunError: No run has finished there, or its reports do not tell what is asked for.
    """
    root = absolute(output).rstrip("/")
    check_layout(root)
    if group_by is not None and per_group is None:
        raise RunError("--group_by says what a group is, and --per_group how many of one there may be: give both")
    made = FinishedOutput.open(root)
    limits = per_group, group_by or 0
    found = _of_classes(made, by, ClassQueues(per_class, *limits)) if per_class else _all(made, by, top, *limits)
    chosen = list(found)
    if not chosen:
        raise RunError(f"--by {by}: the reports in {root} tell it of no image")
    path = f"review/{by}.csv"
    overwrite(Tree(root, "", made.record_path, made.fingerprint, ""), path, _table(chosen, per_class).encode())
    _tell(made, path, chosen)
    return ExitCode.DONE


def _all(made: FinishedOutput, by: str, top: int, per_group: int | None, group_by: int) -> Iterator[_Chosen]:
    queue = ReviewQueue(top, per_group, group_by)
    queue.add(candidate for _, candidate in _candidates(made, by))
    return (("", candidate) for candidate in queue)


def _of_classes(made: FinishedOutput, by: str, queues: ClassQueues) -> Iterator[_Chosen]:
    names = made.classes.names
    for row, candidate in _candidates(made, by):
        queues.add(candidate, (name for name in names if int(row.cells.get(f"pixels_{name}") or 0)))
    return queues.chosen(names)


def _candidates(made: FinishedOutput, by: str) -> Iterator[tuple[FinishedImage, Candidate]]:
    scored = ORDERS[by].of(made)
    for row in made.images():
        candidate = scored(row)
        if candidate is not None:
            yield row, candidate


def _table(chosen: Iterable[_Chosen], per_class: int | None) -> str:
    columns = [*_COLUMNS, *(["class"] if per_class else [])]
    lines: Iterable[list[str | int | float]] = (
        [rank, each.image_id, each.uri, each.score, each.why, *([name] if per_class else [])]
        for rank, (name, each) in enumerate(chosen, 1)
    )
    return csv_line(columns) + "".join(map(csv_line, lines))


def _tell(made: FinishedOutput, path: str, chosen: list[_Chosen]) -> None:
    where = shlex.quote(f"{made.root}/{path}")
    _say(f"Review   {plural(len(chosen), 'image')}, the first: {chosen[0][1].why}")
    _say(f"Output   {made.root}/{path}")
    if made.settings.get("--anonymous_ids"):
        _say("         sources are digests here: this list names ids, and is no input of a run")
    else:
        _say(f"         maskbeam run --input {where} ... does just these")


def _say(line: str) -> None:
    print(line)  # noqa: T201
