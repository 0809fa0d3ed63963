"""Images that failed for good are remembered by their source's identity, and not tried again unless asked."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache

from pipeline.output.claim import Claim
from pipeline.output.tree import Tree
from pipeline.storage import Conflict, NotFound
from transforms.elements import EncodedImage, Failure, Source

# Failures that another try, or another set of inputs, may mend.
PASSING = {
    "DUPLICATE_ID",
    "SOURCE_MISSING",
    "SOURCE_CHANGED",
    "SHARD_UNREAD",
    "ID_FREED",
    "OUT_OF_MEMORY",
    "OUTPUT_BLOCKED",
    "RAW_TYPE",
}
FOLDER = "failed"
# No failure yet: the image was in a batch that the model hung on, and goes to it alone next time.
SUSPECT = "SUSPECT"


@dataclass(frozen=True)
class RememberFailure:
    """Leaves a note of a permanent failure in the output, and passes it on."""

    tree: Tree

    def __call__(self, failure: Failure) -> Failure:
        if failure.code not in PASSING:
            leave_note(self.tree, failure)
        return failure


def leave_note(tree: Tree, failure: Failure) -> None:
    """Writes down how a source failed, unless that is known already."""
    claim = tree.claim(failure.source)
    known = remembered(tree).get(claim.place)
    if known is not None and known[0].same_work(claim) and known[1:] == (failure.code, failure.reason):
        return
    note = json.dumps({"claim": asdict(claim), "code": failure.code, "reason": failure.reason}, sort_keys=True)
    uri = tree.uri(f"{FOLDER}/{claim.place}.json")
    held = tree.storage.stat(uri)
    try:
        tree.storage.write(uri, note.encode(), expected=held.version if held else None)
    except Conflict:
        # Another worker has just written the same note.
        return


def forget_failure(tree: Tree, source: Source) -> None:
    """Removes the note of a source that has been done after all."""
    if source.place in remembered(tree):
        tree.storage.delete(tree.uri(f"{FOLDER}/{source.place}.json"))


def recall_failure(tree: Tree, image: EncodedImage) -> Failure | None:
    """The failure that this very version of an image ended in before, under the same model and options."""
    note = remembered(tree).get(image.source.place)
    if note is None:
        return None
    claim, code, reason = note
    if code == SUSPECT or not claim.same_work(tree.claim(image.source)):
        return None
    return Failure(image.image_id, image.source, code, reason)


def is_suspect(tree: Tree, source: Source) -> bool:
    """Whether a process was ended for a hang while this source was in work, and which source hung is not known."""
    note = remembered(tree).get(source.place)
    return note is not None and note[1] == SUSPECT


@lru_cache(maxsize=4)
def remembered(tree: Tree) -> Mapping[str, tuple[Claim, str, str]]:
    """All notes of an output by place, as they were when this process first asked; failures are few."""
    notes = {}
    for listed in tree.storage.list(tree.uri(FOLDER) + "/"):
        try:
            note = json.loads(tree.storage.read(listed.uri))
            claim = Claim(**note["claim"])
            notes[claim.place] = (claim, note["code"], note["reason"])
        except (NotFound, ValueError, TypeError, KeyError):
            # A note that cannot be read remembers nothing; the image is tried again and writes a new one.
            continue
    return notes
