"""The two ends of the checkpoint: is this image done, and write what was made of it.

An image's files are written in a fixed order, its mask (for multi-label models: its first class's binary mask) last,
so a mask that is there vouches for the others. Every write names what it expects to find; what it finds instead is
judged by `Tree.judge`, so that the outcome does not depend on the order of work, on replays or on rivals elsewhere.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from apache_beam.pvalue import TaggedOutput

from maskbeam.pipeline.inputs.fetch import fetch_content
from maskbeam.pipeline.inputs.ids import encode_id
from maskbeam.pipeline.output.claim import (
    TEXT_KEY,
    Claim,
    Record,
    Verdict,
    parse_claim,
    record_metadata,
    record_text,
)
from maskbeam.pipeline.output.failures import forget_failure, is_suspect, recall_failure
from maskbeam.pipeline.output.look_up import held_record, whole_text
from maskbeam.pipeline.output.outcome import Outcome, worker_name
from maskbeam.pipeline.output.tree import BLOCKED, NO_VALUE, Tree, reading_output
from maskbeam.pipeline.process.memory import at_work
from maskbeam.pipeline.storage import Conflict, NotFound, Storage
from maskbeam.transforms.codecs.encode import encode_binary, encode_mask, read_text
from maskbeam.transforms.elements import EncodedImage, Labels, Origin, Rendered, Source
from maskbeam.transforms.errors import Code, ImageError, RunError
from maskbeam.transforms.measures.counted import Counted, count
from maskbeam.transforms.measures.nonfinite import NONFINITE
from maskbeam.transforms.products.render import bytes_to_draw
from maskbeam.transforms.products.rendering import Rendering

# A contest for one name among many writers ends after a few rounds; more means that something else rewrites it.
ROUNDS = 20


class Completing(Protocol):
    """Completes images that are done; see `redraw.Redraw`."""

    def lacks(self, image: EncodedImage, record: Record) -> frozenset[str]:
        """The products that an image lacks."""

    def can_draw(self, lacking: frozenset[str]) -> bool:
        """True if they can be made without the model."""

    def __call__(self, image: EncodedImage, record: Record, lacking: frozenset[str]) -> Claim | None:
        """Makes them; the claim of who has taken the image's name meanwhile, if anybody has."""


@dataclass(frozen=True)
class SkipDone:
    """Sends an image that is done, or whose name another source keeps, past the model: to the tag `outcome`.

    An image that failed for good before comes back as the same failure, unless `retry_failed`. One that lacks nothing
    but what can be drawn from its mask is completed here.
    """

    tree: Tree
    retry_failed: bool
    complete: Completing

    def __call__(self, image: EncodedImage) -> Any:
        record = held_record(self.tree, image)
        verdict = self.tree.judge(record.claim, self.tree.claim(image.source)) if record else Verdict.REPLACE
        if record and verdict is Verdict.YIELD:
            if is_suspect(self.tree, image.source):
                forget_failure(self.tree, image.source)
            return TaggedOutput("outcome", self._yielded(self._with_digest(image), record))
        kept = record if verdict is Verdict.KEEP and record and self._made_as_now(record) else None
        lacking = self.complete.lacks(image, kept) if kept else frozenset()
        if kept and not lacking:
            return TaggedOutput("outcome", _done(image, kept, skipped=True))
        failed_before = None if self.retry_failed else recall_failure(self.tree, image)
        if failed_before:
            return failed_before
        completed = self._completed(image, kept, lacking) if kept else None
        return TaggedOutput("outcome", completed) if completed else image

    def _made_as_now(self, record: Record) -> bool:
        """True if what mattered to an image is as it was.

        Raises:
            ImageError: `OTHER_OPTIONS`: it is not, and nobody asked to replace the mask.
        """
        for flag, now in self.tree.of_images:
            was = record.options.get(flag, now)
            if was != now:
                if self.tree.overwrite:
                    return False
                say = f"leave out {flag}" if was == NO_VALUE else f"say {flag} {was}"
                raise ImageError(
                    Code.OTHER_OPTIONS,
                    f"its mask was made with {flag} {was}, and now it is {now}: {say} to keep such masks; "
                    "--overwrite makes these again and keeps all others",
                )
        return True

    def _with_digest(self, image: EncodedImage) -> EncodedImage:
        """The image with the digest of its bytes, which are not kept."""
        with at_work(image.file_size):
            return replace(fetch_content(image, self.tree.names), data=image.data)

    def _yielded(self, image: EncodedImage, record: Record) -> Outcome:
        mine, held = self.tree.claim(image.source), record.claim
        moved = (held.content, held.fingerprint) == (mine.content, mine.fingerprint) and held.inputs != mine.inputs
        if moved and self._made_as_now(record):
            # The same bytes, done in the same way under another path: the folder was moved or mounted elsewhere.
            lacking = self.complete.lacks(image, record)
            done = self._completed(image, record, lacking) if lacking else _done(image, record, skipped=True)
            if done:
                return done
        return lost(image.image_id, image.source, held, mine)

    def _completed(self, image: EncodedImage, record: Record, lacking: frozenset[str]) -> Outcome | None:
        """The image with what it lacked, or None if only the model can give that."""
        if not self.complete.can_draw(lacking):
            return None
        try:
            with at_work(image.file_size + record.height * record.width * bytes_to_draw(lacking)):
                kept_by = self.complete(image, record, lacking)
        except ValueError:
            # The mask is damaged, or the source has just changed.
            return None
        forget_failure(self.tree, image.source)
        if kept_by is not None:
            return lost(image.image_id, image.source, kept_by, self.tree.claim(image.source))
        return _done(image, record, skipped=False)


def _done(image: EncodedImage, record: Record, *, skipped: bool) -> Outcome:
    source = replace(image.source, content=record.claim.content)
    counted = Counted.from_json(record.statistics)
    return Outcome(
        image.image_id,
        source,
        record.height,
        record.width,
        counted,
        skipped=skipped,
        worker=worker_name(),
        grid=record.grid,
    )


def done_by(tree: Tree, origin: Origin) -> Outcome | None:
    """The outcome of an image whose mask somebody has written meanwhile, as this run would have; else None."""
    image = EncodedImage(origin)
    record = held_record(tree, image)
    is_ours = record is not None and record.claim.same_work(tree.claim(origin.source))
    return _done(image, record, skipped=False) if record and is_ours else None


def lost(image_id: str, source: Source, held: Claim, mine: Claim) -> Outcome:
    """The outcome of an image whose name another source keeps."""
    rival = held.place if held.inputs == mine.inputs else ""
    return Outcome(image_id, source, worker=worker_name(), rival=rival)


@dataclass(frozen=True)
class Write:
    """Writes all files of an image, its record last.

    Raises:
        RunError: The storage refuses (full, forbidden): no later image could fare better.
    """

    tree: Tree
    rendering: Rendering
    ids: tuple[int, ...]

    def __call__(self, rendered: Rendered) -> Outcome:
        labels = _without_place(rendered.labels)
        claim, counted, size = self.tree.claim(labels.source), count(labels, self.ids), labels.origin.size
        # What comes here has not failed, though it may lose its name.
        forget_failure(self.tree, labels.source)
        for file in self.files(rendered, counted):
            placed = put(self.tree, file, claim)
            if placed.kept_by is not None:
                return lost(labels.image_id, labels.source, placed.kept_by, claim)
        updated = placed.replaced is not None and is_older(placed.replaced, claim)
        return Outcome(labels.image_id, labels.source, *size, counted, updated=updated, worker=worker_name())

    def files(self, rendered: Rendered, counted: Counted) -> list["File"]:
        """All files of an image, its record last."""
        labels, claim, name = rendered.labels, self.tree.claim(rendered.source), encode_id(rendered.image_id)
        drawn = {pattern: data for pattern, data in rendered.files.items() if pattern != self.tree.record}
        products = [File(pattern.format(name), data) for pattern, data in drawn.items()]
        statistics = counted.to_json()
        sizes = {pattern: len(data) for pattern, data in drawn.items()}
        turned = int(labels.origin.facts.get("orientation", 1))
        how = {kind: digest for kind, digest in self.tree.drawing if kind in self.rendering.products}
        options = mattered(self.tree, labels.origin, counted)
        record = Record(claim, *labels.origin.size, statistics, sizes, turned, options, how)
        text = record_text(record)
        mask = File(self.tree.record.format(name), self._mask(labels, text), record_metadata(text))
        return [*products, mask]

    def _mask(self, labels: Labels, text: Mapping[str, str]) -> bytes:
        if labels.are_planes:
            return encode_binary(labels.pixels[self.rendering.folders[0][0]], text=text)
        return encode_mask(labels.pixels, text=text)


def mattered(tree: Tree, origin: Origin, counted: Counted) -> dict[str, str]:
    """The options that matter to some images only, and that mattered to this one: by flag, as they are."""
    return {flag: value for flag, value in tree.of_images if _matters(flag, origin, counted)}


def _without_place(labels: Labels) -> Labels:
    """The labels as files without a place on the earth hold them: nothing is counted that they do not tell."""
    return labels if labels.origin.grid is None else replace(labels, origin=replace(labels.origin, grid=None))


def _matters(flag: str, origin: Origin, counted: Counted) -> bool:
    """True if an option that matters to some images mattered to this one."""
    told = {
        "--input_range": "samples",
        "--out_of_range": "beyond",
        "--background": "transparency",
        "--orientation": "orientation",
    }
    return counted[NONFINITE].nonfinite > 0 if flag == "--nonfinite" else told[flag] in origin.facts


def is_older(held: Claim, mine: Claim) -> bool:
    """True of a file of the same source in another version."""
    return held.place == mine.place and held.version != mine.version


class File(NamedTuple):
    """One file of an image: its path below the output, its content, and metadata of its object on gs://."""

    path: str
    data: bytes
    metadata: Mapping[str, str] | None = None


class Placed(NamedTuple):
    """The end of a write: `kept_by` another source, which stands; or ours stands and has `replaced` another file."""

    kept_by: Claim | None = None
    replaced: Claim | None = None


def put(tree: Tree, file: File, claim: Claim) -> Placed:
    """Writes one file of an image, unless the same work has written it before or another source keeps it.

    Raises:
        ImageError: `OUTPUT_BLOCKED`, when something else than a file that can be read is there.
        RunError: The output is another run's now, or something that is not maskbeam keeps changing the file.
    """
    uri = tree.uri(file.path)

    def found() -> Found:
        with reading_output():
            data, version = tree.storage.read_versioned(uri)
        return Found(version, parse_claim(read_text(data).get(TEXT_KEY)), data == file.data)

    write = partial(tree.storage.write, uri, file.data, metadata=file.metadata)
    return _placed(tree, uri, claim, write, found)


def put_file(
    tree: Tree, path: str, made: Path, claim: Claim, *, text: Mapping[str, str], metadata: Mapping[str, str] | None
) -> Placed:
    """The same of a file on this machine; one of the same text and size that is there, and whole, counts as equal."""
    uri = tree.uri(path)

    def found() -> Found:
        with reading_output():
            held, listed = whole_text(tree.storage, uri).get(TEXT_KEY), tree.storage.stat(uri)
        if listed is None:
            raise NotFound(uri)
        # Records of the same length may tell other files.
        is_same = held == text.get(TEXT_KEY) and listed.size == made.stat().st_size
        return Found(listed.version, parse_claim(held), is_same)

    write = partial(tree.storage.write_file, uri, str(made), metadata=metadata)
    return _placed(tree, uri, claim, write, found)


class Found(NamedTuple):
    """A file that is there: its version, whose it is, and whether it is what would be written."""

    version: str | None = None
    claim: Claim | None = None
    is_same: bool = False


def _placed(tree: Tree, uri: str, claim: Claim, write: Callable[..., Any], look: Callable[[], Found]) -> Placed:
    expected, replaced = None, None
    for _ in range(ROUNDS):
        try:
            write(expected=expected)
            return Placed(replaced=replaced)
        except Conflict:
            found = _found(tree.storage, uri, look)
        expected, held = found.version, found.claim
        verdict = tree.judge(held, claim)
        if verdict is Verdict.YIELD:
            return Placed(kept_by=held)
        if verdict is Verdict.KEEP and found.is_same:
            return Placed()
        if held is not None and held.fingerprint != claim.fingerprint and not tree.overwrite:
            # Without --overwrite it is what an interrupted one left, or a newer run's.
            tree.look()
        replaced = held
    if expected is None:
        raise ImageError(Code.OUTPUT_BLOCKED, BLOCKED)
    raise RunError(f"another program keeps changing files in {tree.root}; let only maskbeam write there")


def _found(storage: Storage, uri: str, look: Callable[[], Found]) -> Found:
    try:
        return look()
    except NotFound:
        if storage.stat(uri):
            raise ImageError(Code.OUTPUT_BLOCKED, BLOCKED) from None
        return Found()
