"""List and read: patterns become chunks, and chunks images that are not decoded yet.

Every input comes out once, as an `EncodedImage` or as a `Failure`. One input is an image file, a record, a damaged
place of a shard, or what is left of a range of a shard that cannot be read on. Records come with their bytes; the
bytes of files are fetched later, by `fetch`, in the pool that decodes them.
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import TaggedOutput

from maskbeam.pipeline.inputs.anonymous import PLAIN, Names
from maskbeam.pipeline.inputs.bands import check_bands, find_bands, joined
from maskbeam.pipeline.inputs.containers.kinds import COMPANION_EXTENSIONS, extension_of, is_gzip_shard
from maskbeam.pipeline.inputs.containers.tfrecord import Damage
from maskbeam.pipeline.inputs.fetch import check_size, fetch, source_missing
from maskbeam.pipeline.inputs.ids import check_id
from maskbeam.pipeline.inputs.listing import list_chunks
from maskbeam.pipeline.inputs.read_shard import read_chunk_records
from maskbeam.pipeline.inputs.records import image_of, place_of, record_of
from maskbeam.pipeline.inputs.sampling import sample
from maskbeam.pipeline.options import Part, ReadOptions
from maskbeam.pipeline.storage import LOST, SourceChanged, find_file, open_input
from maskbeam.pipeline.tally import tally
from maskbeam.transforms.codecs.codec import HEAD_BYTES
from maskbeam.transforms.codecs.registry import is_raster_name
from maskbeam.transforms.elements import (
    Chunk,
    Companion,
    EncodedImage,
    Entry,
    Failure,
    Found,
    Origin,
    Source,
    size_of,
)
from maskbeam.transforms.errors import Code, ImageError

_THREADS = 16


def read_chunk(chunk: Chunk, options: ReadOptions) -> Iterator[EncodedImage | Failure]:
    """The images of a chunk, in order, and what is not to be had.

    Failures are `SOURCE_MISSING`, `SHARD_UNREAD`, `TOO_LARGE`, `BAD_ID`, `DAMAGED_RECORD`, `BAD_EXAMPLE`,
    `MISSING_KEY` and, for raw tensors whose sizes do not fit, `UNREADABLE`.
    """
    is_first = len(chunk.files) == 1
    for entry in _with_versions(chunk.files):
        yield _file(entry, options, is_first)
    if chunk.shard is not None:
        yield from _records(chunk, chunk.shard, options)


def reread(source: Source, options: ReadOptions, *, image_id: str = "") -> EncodedImage:
    """An image with its bytes once more, from where it was.

    Args:
        source: As it was read.
        options: As it was read with.
        image_id: The image's id.

    Raises:
        ImageError: It is gone or another one now, or whatever was wrong with it before.
    """
    place = record_of(source)
    if place is None:
        return fetch(EncodedImage(Origin(image_id, source, companions=find_bands(source))))
    found = _read_record(*place, options)
    if found is None or found.source.version != source.version:
        raise ImageError(Code.SOURCE_CHANGED, "the record is another one now")
    if isinstance(found, Failure):
        raise ImageError(Code[found.code], found.reason)
    return found.of(image_id or found.image_id, source)


def read_at(where: str, options: ReadOptions) -> EncodedImage:
    """An image with its bytes, as it is now, from the place that a report names: a file, or `shard#offset`.

    Raises:
        ImageError: There is none, or none that can be read.
    """
    listed = find_file(where)
    place = place_of(where)
    if listed is not None or place is None:
        return reread(Source(where, listed.version if listed else ""), options)
    found = _read_record(*place, options)
    if found is None:
        raise source_missing()
    if isinstance(found, Failure):
        raise ImageError(Code[found.code], found.reason)
    return found


def _read_record(uri: str, offset: int, options: ReadOptions) -> EncodedImage | Failure | None:
    try:
        # Looked at twice, for a byte of the first look may have been altered on its way from remote storage.
        compressed = any(is_gzip_shard(open_input(uri).read(uri, limit=HEAD_BYTES)) for _ in range(2))
        chunk = Chunk(shard=Entry(uri, 0, ""), end=None if compressed else offset + 1, offsets=frozenset((offset,)))
        return next(read_chunk(chunk, options), None)
    except LOST:
        raise source_missing() from None


class List(beam.PTransform[Any, Any]):
    """Patterns to chunks, spread over the workers; with `options.limit` a sample of all `options.patterns`."""

    def __init__(self, options: ReadOptions) -> None:
        super().__init__()
        self._options = options

    def expand(self, patterns: Any) -> Any:
        if self._options.limit is None:
            chunks = patterns | "List inputs" >> beam.FlatMap(list_chunks, self._options).with_output_types(Chunk)
        else:
            once = patterns.pipeline | "Once" >> beam.Create([self._options])
            chunks = once | "Draw sample" >> beam.FlatMap(sample).with_output_types(Chunk)
        return chunks | "Spread chunks" >> beam.Reshuffle()


class Read(beam.PTransform[Any, Any]):
    """Chunks to images: `main` has them, `failed` has `Failure`s, `counted` what each chunk held (`Found`).

    Images are called by what `names` makes of their ids; with `options.part` the other parts' are passed over.
    """

    def __init__(self, options: ReadOptions, *, names: Names = PLAIN) -> None:
        super().__init__()
        self._options = options
        self._names = names

    def expand(self, chunks: Any) -> Any:
        read = beam.ParDo(_Read(self._options, self._names)).with_output_types(EncodedImage)
        return chunks | "Read chunks" >> read.with_outputs("failed", "counted", main="main")


class _Read(beam.DoFn):
    def __init__(self, options: ReadOptions, names: Names) -> None:
        self._options = options
        self._names = names

    def process(self, chunk: Chunk) -> Iterator[Any]:
        part = self._options.part
        count, sizes = 0, iter([entry.size for entry in chunk.files])
        for held in read_chunk(chunk, self._options):
            found = self._names.named(held)
            mine = part is None or _belongs(found, part)
            tally.add(bytes=next(sizes, size_of(found)), read=int(mine))
            if not mine:
                continue
            count += 1
            yield TaggedOutput("failed", found) if isinstance(found, Failure) else found
        yield TaggedOutput("counted", replace(chunk.listed or Found(), inputs=count))


def _belongs(found: EncodedImage | Failure, part: Part) -> bool:
    # Records of every part are among those that nobody has seen.
    unread = isinstance(found, Failure) and found.code == Code.SHARD_UNREAD
    return unread or part.holds(found.image_id or found.source.where)


def _with_versions(entries: Iterable[Entry]) -> Iterator[Entry]:
    entries = list(entries)
    if all(entry.version for entry in entries):
        return iter(entries)
    with ThreadPoolExecutor(_THREADS) as pool:
        return iter(list(pool.map(_with_version, entries)))


def _with_version(entry: Entry) -> Entry:
    if entry.version:
        return entry
    if entry.bands:
        return joined(replace(entry, bands=tuple(map(_looked_up, entry.bands))))
    listed = find_file(entry.uri)
    return replace(entry, size=listed.size, version=listed.version) if listed else entry


def _looked_up(band: Companion) -> Companion:
    listed = find_file(band.where)
    return replace(band, size=listed.size, version=listed.version) if listed else band


def _file(entry: Entry, options: ReadOptions, is_first: bool) -> EncodedImage | Failure:
    source = Source(entry.uri, entry.version)
    try:
        check_bands(entry.bands)
        if not entry.version:
            raise source_missing()
        for uri, size in [(band.where, band.size) for band in entry.bands] or [(entry.uri, entry.size)]:
            if not (options.rasters and is_raster_name(uri)):
                check_size(size)
            _check_companion(uri)
        origin = Origin(check_id(entry.image_id), source, companions=entry.bands)
        return EncodedImage(origin, file_size=entry.size, is_first=is_first)
    except ImageError as error:
        return Failure(entry.image_id, source, error.code, error.reason)


def _records(chunk: Chunk, shard: Entry, options: ReadOptions) -> Iterator[EncodedImage | Failure]:
    position, missing = chunk.start, set(chunk.offsets or ())
    try:
        for item in read_chunk_records(chunk):
            missing.discard(item.offset)
            if isinstance(item, Damage):
                yield _lost(shard, item.offset, Code.DAMAGED_RECORD, item.reason)
            else:
                image = image_of(item, shard, options)
                yield image.of(chunk.ids[item.offset], image.source) if item.offset in chunk.ids else image
                position = item.end
        for offset in sorted(missing):
            yield _lost(shard, offset, Code.SOURCE_MISSING, "no record of the shard begins there")
    except LOST:
        yield _lost(shard, position, Code.SHARD_UNREAD, "the shard cannot be read on: it is gone or unreadable")
    except SourceChanged:
        yield _lost(shard, position, Code.SHARD_UNREAD, "the shard cannot be read on: it was altered meanwhile")


def _lost(shard: Entry, offset: int, code: Code, reason: str) -> Failure:
    return Failure("", Source(f"{shard.uri}#{offset}", shard.version), code, reason)


def _check_companion(uri: str) -> None:
    extension = extension_of(uri)
    if extension in COMPANION_EXTENSIONS:
        what = f"its extension, {extension}, is that of overviews, masks and thumbnails of another image"
        raise ImageError(Code.UNSUPPORTED_FORMAT, f"{what}; rename it if it is an image of its own")
