"""Turns patterns into chunks, the references that are spread over workers, and into a summary for a person."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

from maskbeam.pipeline.inputs.containers.kinds import Kind
from maskbeam.pipeline.inputs.find_inputs import Input, Listing, find_inputs, ids_below, root_of
from maskbeam.pipeline.options import ReadOptions
from maskbeam.pipeline.storage import absolute
from maskbeam.pipeline.text.wording import by_kind, plural
from maskbeam.transforms.elements import Chunk, Entry

_MAX_FILES = 1000
_MAX_FILE_BYTES = 1 << 30  # of a chunk of files
_FIRST_CHUNKS = 16
_RANGE_BYTES = 64 << 20
_MIN_RANGE_BYTES = 16 << 20
# Of images of several files, as many as show whether the braces stand where they should.
_IDS = 3


@dataclass(frozen=True)
class InputSummary:
    """The meaning of a run's patterns.

    Attributes:
        files: Number of images that are files, one or several.
        shards: Number of TFRecord shards; how many images they hold shows only when they are read.
        bytes: Size of all files and shards; of images that a manifest lists, unknown and not counted.
        left_out: Files that are neither images nor shards, by kind.
        roots: Each pattern's fixed part, below which ids begin.
        shard_bytes: Size of the shards among them.
        joined: How many of the images lie in several files.
        ids: Those of the first few of these.
    """

    files: int
    shards: int
    bytes: int
    left_out: Counter[str]
    roots: tuple[str, ...]
    shard_bytes: int = 0
    joined: int = 0
    ids: tuple[str, ...] = ()

    def __str__(self) -> str:
        listed = listed_in_words(self.files, self.shards, self.left_out, joined=self.joined)
        return f"{listed}; {self.bytes / 1e6:,.1f} MB; {ids_below(self.roots)}"


def listed_in_words(files: int, shards: int, left_out: Mapping[str, int], *, joined: int = 0) -> str:
    """The listing, for a person: `2 image files and 1 TFRecord shard, left out: 3 .txt`.

    Args:
        files: Number of images that are files, one or several.
        shards: Number of shards.
        left_out: Number of other files, by kind.
        joined: How many of the images lie in several files.
    """
    parts = [f"{plural(joined, 'image')} of several files"] if joined else []
    parts += [plural(files - joined, "image file")] if files > joined or not (files or shards) else []
    parts += [plural(shards, "TFRecord shard")] if shards else []
    text = " and ".join(parts)
    return f"{text}, left out: {by_kind(left_out)}" if left_out else text


def list_chunks(pattern: str, options: ReadOptions) -> Iterator[Chunk]:
    """The input that `pattern` means, in pieces for workers; errors as in `find_inputs`.

    Image files come up to 1,000 in a chunk, those of one image together, but first in small chunks, so that a few are
    work for several workers too. A shard is cut into ranges of up to 64 MB; a compressed one, or one of unknown size,
    stays whole.
    """
    listing = Listing([pattern], options)
    yield from chunks_of(listing)
    yield Chunk(listed=listing.listed)


def chunks_of(inputs: Iterable[Input]) -> Iterator[Chunk]:
    """Inputs in pieces for workers."""
    files: list[Entry] = []
    records: list[Input] = []
    count = held = size = 0
    for found in inputs:
        kind, entry = found.kind, found.entry
        if found.offset is not None:
            records.append(found)
            if len(records) == _MAX_FILES:
                yield from _by_shard(records)
                records = []
            continue
        if kind is not Kind.IMAGE:
            yield from _ranges(kind, entry)
            continue
        files.append(entry)
        count += 1
        held += len(entry.bands) or 1
        size += entry.size
        if len(files) > count // _FIRST_CHUNKS or held >= _MAX_FILES or size >= _MAX_FILE_BYTES:
            yield Chunk(files=tuple(files))
            files, held, size = [], 0, 0
    if files:
        yield Chunk(files=tuple(files))
    yield from _by_shard(records)


def _by_shard(records: Iterable[Input]) -> Iterator[Chunk]:
    """Records that a manifest lists, those of a shard together; one that is listed twice comes twice."""
    shards: dict[tuple[str, int], list[Input]] = {}
    times: Counter[tuple[str, int | None]] = Counter()
    for record in records:
        place = record.entry.uri, record.offset
        shards.setdefault((record.entry.uri, times[place]), []).append(record)
        times[place] += 1
    for found in shards.values():
        ids = {each.offset: each.record_id for each in found if each.offset is not None}
        end = None if found[0].kind is Kind.GZIP_SHARD else max(ids) + 1
        named = {offset: image_id for offset, image_id in ids.items() if image_id}
        yield Chunk(shard=found[0].entry, end=end, offsets=frozenset(ids), ids=named)


def describe_inputs(options: ReadOptions) -> InputSummary:
    """The meaning of all patterns, without reading any image; errors as in `find_inputs`."""
    left_out: Counter[str] = Counter()
    kinds: Counter[Kind] = Counter()
    size = of_shards = joined = 0
    ids: list[str] = []
    roots = []
    for pattern in options.patterns:
        root = options.id_root
        for found in find_inputs(pattern, options, left_out=left_out):
            entry = found.entry
            kinds[found.counts_as] += 1
            size += 0 if found.offset is not None else entry.size
            of_shards += 0 if found.counts_as is Kind.IMAGE else entry.size
            joined += bool(entry.bands)
            ids += [entry.image_id] if entry.bands and len(ids) < _IDS else []
            root = root or root_of(absolute(pattern), entry.first_file)
        roots.append(root or absolute(pattern))
    files = kinds.pop(Kind.IMAGE, 0)
    amounts = (files, kinds.total(), size, left_out)
    return InputSummary(*amounts, tuple(dict.fromkeys(roots)), of_shards, joined, tuple(ids))


def _ranges(kind: Kind, shard: Entry) -> Iterator[Chunk]:
    if kind is Kind.GZIP_SHARD or not shard.size:
        # A size of 0 may be that of a file which did not answer: whoever reads it will know.
        yield Chunk(shard=shard)
        return
    step = min(_RANGE_BYTES, max(_MIN_RANGE_BYTES, shard.size // _FIRST_CHUNKS))
    count = -(-shard.size // step)
    bounds = [shard.size * i // count for i in range(count + 1)]
    yield from (Chunk(shard=shard, start=start, end=end) for start, end in pairwise(bounds))
