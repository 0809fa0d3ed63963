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

from pipeline.inputs.anonymous import PLAIN, Names
from pipeline.inputs.ids import check_id
from pipeline.inputs.kinds import COMPANION_EXTENSIONS, extension_of, is_gzip_shard
from pipeline.inputs.listing import list_chunks
from pipeline.inputs.part import Part
from pipeline.inputs.records import image_of, record_of
from pipeline.inputs.sampling import sample
from pipeline.inputs.shards import read_chunk_records
from pipeline.inputs.tfrecord import Damage
from pipeline.options import ReadOptions
from pipeline.reports.progress import tally
from pipeline.reports.verdict import UNREAD
from pipeline.storage import LOST, SourceChanged, find_file, open_input
from transforms.elements import Chunk, EncodedImage, Entry, Failure, Found, Source, size_of
from transforms.errors import ImageError
from transforms.signatures import HEAD_BYTES

MAX_FILE_BYTES = 1 << 30
_THREADS = 16


def read_chunk(chunk: Chunk, options: ReadOptions) -> Iterator[EncodedImage | Failure]:
    """The images of a chunk, in order, and what is not to be had.

    Failures are `SOURCE_MISSING`, `SHARD_UNREAD`, `TOO_LARGE`, `BAD_ID`, `DAMAGED_RECORD`, `BAD_EXAMPLE`,
    `MISSING_KEY` and, for raw tensors whose sizes do not fit, `UNREADABLE`.
    """
    for entry in _with_versions(chunk.files):
        yield _file(entry)
    if chunk.shard is not None:
        yield from _records(chunk, chunk.shard, options)


def fetch(image: EncodedImage) -> EncodedImage:
    """The image with its bytes, fetched unless it has them, and with the version that they are.

    Raises:
        ImageError: `SOURCE_MISSING`; `SOURCE_CHANGED`, when the file keeps changing; `TOO_LARGE`.
    """
    if image.data is not None:
        return image
    where = image.source.where
    try:
        data = open_input(where).read(where, version=image.source.version, limit=_most(image.size))
        return replace(image, data=data)
    except LOST:
        raise _missing() from None
    except SourceChanged:
        return _fetch_again(image)


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
        return fetch(EncodedImage(image_id, source))
    uri, offset = place
    try:
        # Looked at twice, for a byte of the first look may have been altered on its way from remote storage.
        compressed = any(is_gzip_shard(open_input(uri).read(uri, limit=HEAD_BYTES)) for _ in range(2))
        chunk = Chunk(shard=Entry(uri, 0, ""), end=None if compressed else offset + 1, offsets=frozenset((offset,)))
        found = next(read_chunk(chunk, options), None)
    except LOST:
        raise _missing() from None
    if found is None or found.source.version != source.version:
        raise ImageError("SOURCE_CHANGED", "the record is another one now")
    if isinstance(found, Failure):
        raise ImageError(found.code, found.reason)
    return replace(found, image_id=image_id or found.image_id, source=source)


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
    unread = isinstance(found, Failure) and found.code == UNREAD
    return unread or part.holds(found.image_id or found.source.where)


def _with_versions(entries: Iterable[Entry]) -> Iterator[Entry]:
    entries = list(entries)
    if all(entry.version for entry in entries):
        return iter(entries)
    with ThreadPoolExecutor(_THREADS) as pool:
        return iter(list(pool.map(_with_version, entries)))


def _with_version(entry: Entry) -> Entry:
    listed = None if entry.version else find_file(entry.uri)
    return replace(entry, size=listed.size, version=listed.version) if listed else entry


def _file(entry: Entry) -> EncodedImage | Failure:
    source = Source(entry.uri, entry.version)
    try:
        if not entry.version:
            raise _missing()
        _check_size(entry.size)
        _check_companion(entry.uri)
        return EncodedImage(check_id(entry.image_id), source, size=entry.size)
    except ImageError as error:
        return Failure(entry.image_id, source, error.code, error.reason)


def _records(chunk: Chunk, shard: Entry, options: ReadOptions) -> Iterator[EncodedImage | Failure]:
    position = chunk.start
    try:
        for item in read_chunk_records(chunk):
            if isinstance(item, Damage):
                yield _lost(shard, item.offset, "DAMAGED_RECORD", item.reason)
            else:
                yield image_of(item, shard, options)
                position = item.end
    except LOST:
        yield _lost(shard, position, "SHARD_UNREAD", "the shard cannot be read on: it is gone or unreadable")
    except SourceChanged:
        yield _lost(shard, position, "SHARD_UNREAD", "the shard cannot be read on: it was altered meanwhile")


def _lost(shard: Entry, offset: int, code: str, reason: str) -> Failure:
    return Failure("", Source(f"{shard.uri}#{offset}", shard.version), code, reason)


def _fetch_again(image: EncodedImage) -> EncodedImage:
    # A file that was replaced after it was listed is read as it is now; one that keeps changing is not.
    where = image.source.where
    storage, listed = open_input(where), find_file(where)
    if listed is None:
        raise _missing()
    _check_size(listed.size)
    try:
        data = storage.read(where, version=listed.version, limit=_most(listed.size))
    except LOST:
        raise _missing() from None
    except SourceChanged:
        raise ImageError("SOURCE_CHANGED", "the file was altered again and again while it was read") from None
    return replace(image, data=data, source=replace(image.source, version=listed.version))


def _most(size: int) -> int | None:
    """How many bytes are asked for of a file that was listed with so many; one more tells a file without an end."""
    return size + 1 if size else None


def _check_size(size: int) -> None:
    if size > MAX_FILE_BYTES:
        raise ImageError("TOO_LARGE", f"the file has {size >> 20} MiB, over {MAX_FILE_BYTES >> 20}")


def _check_companion(uri: str) -> None:
    extension = extension_of(uri)
    if extension in COMPANION_EXTENSIONS:
        what = f"its extension, {extension}, is that of overviews, masks and thumbnails of another image"
        raise ImageError("UNSUPPORTED_FORMAT", f"{what}; rename it if it is an image of its own")


def _missing() -> ImageError:
    return ImageError("SOURCE_MISSING", "the file is not there any more, or cannot be read")
