"""`maskbeam clean`: removes the masks of inputs that are gone, and tells first which these are.

An image whose input was removed keeps its mask: nobody said that it is no longer wanted. Here somebody does.
"""

import json
import shlex
import sys
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

from maskbeam.pipeline.commands.gone import KEPT, Gone, Orphan, Output, say
from maskbeam.pipeline.exit_codes import ExitCode
from maskbeam.pipeline.inputs.ids import encode_id
from maskbeam.pipeline.output.claim import Claim
from maskbeam.pipeline.output.finished import FinishedOutput, read_json
from maskbeam.pipeline.output.finished_rows import image_rows
from maskbeam.pipeline.output.holder import Holder
from maskbeam.pipeline.output.lease import Lease
from maskbeam.pipeline.output.orphans import Images, claim_of, digest_of, is_behind_link
from maskbeam.pipeline.output.ours import (
    NAMES_EXTENSION,
    check_layout,
    delete_staged,
    names_of,
    new_run,
    remove_empty,
)
from maskbeam.pipeline.output.parts import lock_of, rivals_of
from maskbeam.pipeline.output.tree import RECORD, Tree
from maskbeam.pipeline.process.ending import stopping_on_signals
from maskbeam.pipeline.storage import Conflict, absolute, join, open_storage
from maskbeam.pipeline.text.wording import plural
from maskbeam.transforms.errors import Code, RunError
from maskbeam.transforms.products.registry import product, product_names

# With these, records are missing that nobody has seen: their masks look as if their inputs were gone.
_UNSEEN = (Code.SHARD_UNREAD, Code.DAMAGED_RECORD)


def clean_here(output: str, *, yes: bool, all_inputs: bool, dry_run: bool, format: str) -> int:
    """`clean` as a command: asks where a person is at a terminal, and with `dry_run` only lists."""
    ask = None if dry_run else ask_at_terminal()
    return clean(output, yes=yes and not dry_run, all_inputs=all_inputs, ask=ask, format=format)


def clean(
    output: str,
    *,
    yes: bool = False,
    all_inputs: bool = False,
    ask: Callable[[], bool] | None = None,
    format: str = "text",
) -> int:
    """Lists the masks that no row of the reports claims, and removes them with their products.

    Removed are those that the last command made of inputs that it no longer finds; of other commands' inputs only
    with `all_inputs`. What carries no record, or lies behind a link, stays.

    Args:
        output: The output folder, local or on GCS.
        yes: Removes without asking.
        all_inputs: Takes masks of other commands' inputs for gone, too.
        ask: Asks a person, after the list; None where there is nobody to ask.
        format: `text`, or `json` for one document in the place of lines; for this nobody is asked.

    Returns:
        The command's exit code, 0.

    Raises:
        RunError: No run has finished there, or it cannot tell which inputs are gone, or another run is at work.
    """
    root = absolute(output).rstrip("/")
    check_layout(root)
    if format == "json":
        print(_document(root, all_inputs, yes=yes))  # noqa: T201
    elif not yes and ask is None:
        found = _list(_open(root, all_inputs))
        say(f"Nothing was removed; maskbeam clean {shlex.quote(output)} --yes removes these." if found else "")
    else:
        _clean_held(root, all_inputs, ask=None if yes else ask)
    return ExitCode.DONE


def _clean_held(root: str, all_inputs: bool, ask: Callable[[], bool] | None) -> None:
    """Removes, after a list and a yes; without `ask` at once."""
    with _holding(root) as hold:
        opened = _open(root, all_inputs, hold)
        if ask is None or (_list(opened) and ask()):
            _remove(opened)
        else:
            say("Nothing was removed.")


def _document(root: str, all_inputs: bool, *, yes: bool) -> str:
    gone = Gone(told=False)
    with _holding(root) if yes else nullcontext() as hold:
        opened = _open(root, all_inputs, hold)
        _take(opened, gone) if yes else _look(opened, gone)
    found = {
        "output": root,
        "removed": yes,
        "masks": gone.masks,
        "other_files": gone.others,
        "paths": dict(sorted(gone.paths.items())),
        "kept": {why: opened.kept[why] for why in KEPT},
    }
    return json.dumps(found, indent=1)


def _open(root: str, all_inputs: bool, hold: Holder | None = None) -> Output:
    storage = open_storage(root, named=root)
    made = FinishedOutput.begun(root, storage)
    if made.inputs is None:
        raise RunError(
            f"the last command in {root} did a sample (--limit), or was an older maskbeam's, so it does not tell "
            "which inputs are gone; run it again without --limit: what is done is not done again"
        )
    tree = Tree(root, hold.staging if hold else "", made.record_path, made.fingerprint, made.inputs, hold=hold)
    folder = made.record_path.partition("/{}")[0]
    if is_behind_link(root, folder):
        raise RunError(f"{root}/{folder} is a link, and maskbeam deletes nothing through links; remove them there")
    failed = list(made.failed())
    unseen = sorted({each.code for each in failed if each.code in _UNSEEN})
    if unseen:
        raise RunError(
            f"the last run in {root} has not seen all records ({', '.join(unseen)} in reports/failures.jsonl), so it "
            "does not tell which inputs are gone; correct that, and run the same command again"
        )
    images = _images(tree, made.read_json("reports/summary.json"))
    return Output(tree, made.inputs, all_inputs, images, frozenset(each.place for each in failed))


def _images(tree: Tree, summary: dict[str, Any]) -> Images:
    names = array("Q", (digest_of(encode_id(row.image_id)) for row in image_rows(tree.storage, tree.root)))
    if summary.get("done") != len(names) or not summary.get("reconciles"):
        raise RunError(f"the reports in {tree.root} are not whole; run the same command again")
    if not summary.get("inputs"):
        raise RunError(
            f"the last run in {tree.root} found no input at all; if they are really all gone, remove that folder"
        )
    return Images(names, names)


def _list(output: Output) -> int:
    gone = Gone(told=True)
    _look(output, gone)
    say(f"{plural(gone.masks, 'mask')} of inputs that are gone, with {plural(gone.others, 'other file')}.")
    _say_kept(output)
    return gone.masks


def _remove(output: Output) -> None:
    gone = Gone(told=True)
    _take(output, gone)
    say(f"Removed {plural(gone.masks, 'mask')} of inputs that are gone, and {plural(gone.others, 'other file')}.")
    _say_kept(output)


def _look(output: Output, gone: Gone) -> None:
    """Adds what would be removed."""
    for orphan in output.orphans():
        gone.add_others(_products(orphan))
        gone.add_mask(orphan.path, "GONE")


def _take(output: Output, gone: Gone) -> None:
    """Removes, and adds what was removed."""
    for orphan in output.orphans():
        gone.add_others([path for path in _products(orphan) if _delete(output.tree, path, orphan.record.claim)])
        # The record last: as long as it is there, the rest is found again.
        with suppress(Conflict):
            output.tree.storage.delete(orphan.listed.uri, version=orphan.listed.version)
            _remove_folders(output.tree, orphan.path)
            gone.add_mask(orphan.path, "REMOVED")


def _products(orphan: Orphan) -> list[str]:
    """The other files of an image; a record is data, and may name no others."""
    return [path for path in orphan.record.files(orphan.name) if _is_product(path, orphan.name)]


def _is_product(path: str, name: str) -> bool:
    folder, ending = path.partition("/")[0], path.rpartition(".")[2]
    is_drawn = folder in product_names() and ending in (product(folder).extension, "tif")
    is_beside = folder == "masks" and path.endswith(NAMES_EXTENSION)
    return (is_drawn or is_beside) and name in names_of(path)


def _delete(tree: Tree, path: str, claim: Claim) -> bool:
    uri = join(tree.root, path)
    if is_behind_link(tree.root, path) or claim_of(tree.storage, uri) != claim:
        return False
    tree.storage.delete(uri)
    _remove_folders(tree, path)
    return True


def _remove_folders(tree: Tree, path: str) -> None:
    while "/" in (path := path.rpartition("/")[0]):
        remove_empty(tree.root, path)


@contextmanager
def _holding(root: str) -> Iterator[Holder]:
    """Keeps runs away meanwhile: one of them may find an input again whose mask is about to go."""
    run = new_run()
    staging, lock = f"{root}/.tmp/{run}", f"{root}/{lock_of(None)}"
    storage = open_storage(root, staging=staging)
    # Where nothing was made nothing is left behind.
    read_json(storage, root, RECORD)
    try:
        lease = Lease(storage, lock, run, rivals=rivals_of(storage, root, None))
        with stopping_on_signals(lease.release), lease:
            yield Holder(lock, run, staging)
    finally:
        delete_staged(Tree(root, staging, "", "", ""), run)
        remove_empty(root, ".tmp")


def _say_kept(output: Output) -> None:
    for why, words in KEPT.items():
        if number := output.kept[why]:
            say(f"{plural(number, 'file')} {words}: kept.")


def ask_at_terminal() -> Callable[[], bool] | None:
    """Asks whether to remove what was listed; None without a terminal."""
    if not (sys.stdin and sys.stdin.isatty() and sys.stdout and sys.stdout.isatty()):
        return None
    return lambda: input("Remove them? [y/N] ").strip().lower() in ("y", "yes")
