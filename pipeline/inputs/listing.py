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


@dataclass(frozen=True)
class InputSummary:
    """The meaning of a run's patterns.

    Attributes:
        files: Number of image files.
        shards: Number of TFRecord shards; how many images they hold shows only when they are read.
        bytes: Size of all files and shards; of images that a manifest lists, unknown and not counted.
        shard_bytes: Size of the shards among them.
        left_out: Files that are neither images nor shards, by kind.
        roots: Each pattern's fixed part, below which ids begin.
    """

    files: int
    shards: int
    bytes: int
    left_out: Counter[str]
    roots: tuple[str, ...]
    shard_bytes: int = 0

    def __str__(self) -> str:
        listed = listed_in_words(self.files, self.shards, self.left_out)
        return f"{listed}; {self.bytes / 1e6:,.1f} MB; {ids_below(self.roots)}"


def listed_in_words(files: int, shards: int, left_out: Mapping[str, int]) -> str:
    """The listing, for a person: `2 image files and 1 TFRecord shard, left out: 3 .txt`."""
    parts = [plural(files, "image file")] if files or not shards else []
    parts += [plural(shards, "TFRecord shard")] if shards else []
    text = " and ".join(parts)
    return f"{text}, left out: {by_kind(left_out)}" if left_out else text


def list_chunks(pattern: str, options: ReadOptions) -> Iterator[Chunk]:
    """The input that `pattern` means, in pieces for workers; errors as in `find_inputs`.

    Image files come up to 1,000 in a chunk, but first in small chunks, so that a few files are work for several
    workers too. A shard is cut into ranges of up to 64 MB; a compressed one, or one of unknown size, stays whole.
    """
    listing = Listing([pattern], options)
    yield from chunks_of(listing)
    yield Chunk(listed=listing.listed)


def chunks_of(inputs: Iterable[Input]) -> Iterator[Chunk]:
    """Inputs in pieces for workers."""
    files: list[Entry] = []
    count = size = 0
    for kind, entry in inputs:
        if kind is not Kind.IMAGE:
            yield from _ranges(kind, entry)
            continue
        files.append(entry)
        count += 1
        size += entry.size
        if len(files) >= min(_MAX_FILES, 1 + count // _FIRST_CHUNKS) or size >= _MAX_FILE_BYTES:
            yield Chunk(files=tuple(files))
            files, size = [], 0
    if files:
        yield Chunk(files=tuple(files))


def describe_inputs(options: ReadOptions) -> InputSummary:
    """The meaning of all patterns, without reading any image; errors as in `find_inputs`."""
    left_out: Counter[str] = Counter()
    kinds: Counter[Kind] = Counter()
    size = of_shards = 0
    roots = []
    for pattern in options.patterns:
        root = options.id_root
        for kind, entry in find_inputs(pattern, options, left_out=left_out):
            kinds[kind] += 1
            size += entry.size
            of_shards += 0 if kind is Kind.IMAGE else entry.size
            root = root or root_of(absolute(pattern), entry.uri)
        roots.append(root or absolute(pattern))
    files = kinds.pop(Kind.IMAGE, 0)
    return InputSummary(files, kinds.total(), size, left_out, tuple(dict.fromkeys(roots)), of_shards)


def _ranges(kind: Kind, shard: Entry) -> Iterator[Chunk]:
    if kind is Kind.GZIP_SHARD or not shard.size:
        # A size of 0 may be that of a file which did not answer: whoever reads it will know.
        yield Chunk(shard=shard)
        return
    step = min(_RANGE_BYTES, max(_MIN_RANGE_BYTES, shard.size // _FIRST_CHUNKS))
    count = -(-shard.size // step)
    bounds = [shard.size * i // count for i in range(count + 1)]
    yield from (Chunk(shard=shard, start=start, end=end) for start, end in pairwise(bounds))
