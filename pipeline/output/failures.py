"""Images that failed for good are remembered by their source's identity, and not tried again unless asked.

What would mend them is remembered, too: an option or a version that has changed since is a reason to try again.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import NamedTuple

from maskbeam.pipeline.output.claim import Claim
from maskbeam.pipeline.output.stored_json import parse_stored
from maskbeam.pipeline.output.tree import Tree
from maskbeam.pipeline.storage import LOST, Conflict
from maskbeam.transforms.elements import EncodedImage, Failure, Source
from maskbeam.transforms.errors import Code

FOLDER = "failed"
# No failure yet: the image was in a batch that the model hung on, and goes to it alone next time.
SUSPECT = "SUSPECT"


@dataclass(frozen=True)
class RememberFailure:
    """Leaves a note of a permanent failure in the output, and passes it on."""

    tree: Tree

    def __call__(self, failure: Failure) -> Failure:
        code = known_code(failure.code)
        if code is None or not code.passing:
            leave_note(self.tree, failure)
        return failure


class Note(NamedTuple):
    """A failure that is remembered; `options` are those that could have mended it, by name."""

    claim: Claim
    code: str
    reason: str
    options: Mapping[str, str]


def note_of(tree: Tree, failure: Failure) -> Note:
    """The note of a failure."""
    code = known_code(failure.code)
    options = {name: value for name, value in tree.mending if code and name in code.options}
    return Note(tree.claim(failure.source), failure.code, failure.reason, options)


def known_code(word: str) -> Code | None:
    """A code; None for `SUSPECT`, and for one of another version."""
    return Code.__members__.get(word)


def leave_note(tree: Tree, failure: Failure) -> None:
    """Writes down how a source failed, unless that is known already."""
    mine = note_of(tree, failure)
    claim, known = mine.claim, remembered(tree).get(mine.claim.place)
    if known is not None and known.claim.same_work(claim) and known[1:] == mine[1:]:
        return
    note = json.dumps({**mine._asdict(), "claim": asdict(claim)}, sort_keys=True)
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


def forget_others(tree: Tree) -> None:
    """Removes the notes of failures under another model or other options, which nothing recalls any more."""
    for place, note in remembered(tree).items():
        if note.claim.fingerprint != tree.fingerprint:
            tree.storage.delete(tree.uri(f"{FOLDER}/{place}.json"))


def recall_failure(tree: Tree, image: EncodedImage) -> Failure | None:
    """The failure that this very version of an image ended in before, if nothing has changed that could mend it."""
    note = remembered(tree).get(image.source.place)
    if note is None or note.code == SUSPECT or not note.claim.same_work(tree.claim(image.source)):
        return None
    failure = Failure(image.image_id, image.source, note.code, note.reason)
    return failure if note.options == note_of(tree, failure).options else None


def is_suspect(tree: Tree, source: Source) -> bool:
    """True if a process was ended for a hang while this source was in work, and which source hung is not known."""
    note = remembered(tree).get(source.place)
    return note is not None and note.code == SUSPECT


@lru_cache(maxsize=4)
def remembered(tree: Tree) -> Mapping[str, Note]:
    """All notes of an output by place, as they were when this process first asked; failures are few."""
    notes = {}
    for listed in tree.storage.list(tree.uri(FOLDER) + "/"):
        try:
            note = parse_stored(tree.storage.read(listed.uri))
            claim = Claim(**note["claim"])
            # Older notes know no options: what an option could mend is tried once more.
            notes[claim.place] = Note(claim, note["code"], note["reason"], note.get("options", {}))
        except (*LOST, ValueError, TypeError, KeyError):
            # A note that cannot be read remembers nothing; the image is tried again and writes a new one.
            continue
    return notes
