"""Finds the inputs that a pattern means: image files and shards, with their ids, one after the other.

A pattern is a file, a folder (all below it), a glob, or a manifest; with braces it lists the bands of images that are
files of their own. Listing opens no file that has an image's extension; others are told by their first bytes.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from typing import NamedTuple

from maskbeam.pipeline.inputs.bands import Group, entry_of, id_of, list_groups
from maskbeam.pipeline.inputs.braces import Braces, braces_of_files, parse_braces
from maskbeam.pipeline.inputs.containers.kinds import (
    MANIFEST_EXTENSIONS,
    Kind,
    extension_of,
    is_named_like_a_shard,
    kind_by_content,
    kind_by_extension,
    left_out_as,
)
from maskbeam.pipeline.inputs.ids import image_id_of, path_below
from maskbeam.pipeline.inputs.manifest import Line, parse_manifest
from maskbeam.pipeline.inputs.records import place_of
from maskbeam.pipeline.options import ReadOptions
from maskbeam.pipeline.storage import (
    LOST,
    Listed,
    SourceChanged,
    Storage,
    absolute,
    find_file,
    folder_of,
    is_gcs,
    open_input,
)
from maskbeam.pipeline.text.wording import by_kind
from maskbeam.transforms.codecs.registry import image_extension, is_raster_name
from maskbeam.transforms.elements import Entry, Found
from maskbeam.transforms.errors import RunError

_log = logging.getLogger(__name__)
_THREADS = 16
_BATCH = 256
# What pipes, sockets, devices and links to them are counted as.
_SPECIAL = "special file"
_MAX_MANIFEST_BYTES = 1 << 30
# What a file is, and what it is counted as if it is left out.
_Told = tuple[Kind, str]


class Input(NamedTuple):
    """One image, a file or several, or one shard; or one record of a shard, by its `offset`.

    The entry's `image_id` is a shard's path without extension for records that have no name. The entry of a
    manifest's image has no `version` yet: asking for a million of them is the readers' work, not the listing's. Of a
    record `record_id` is the manifest's id, if it gives one.
    """

    kind: Kind
    entry: Entry
    offset: int | None = None
    record_id: str = ""

    @property
    def counts_as(self) -> Kind:
        """`kind`; of a record that of an image."""
        return self.kind if self.offset is None else Kind.IMAGE


class Listing:
    """The inputs that patterns mean, one after the other; errors as in `find_inputs`."""

    def __init__(self, patterns: Iterable[str], options: ReadOptions) -> None:
        self._patterns = patterns
        self._options = options
        self._files = 0
        self._left_out: Counter[str] = Counter()

    @property
    def listed(self) -> Found:
        """The sum of what was listed, as far as the inputs were gone through."""
        return Found(files=self._files, left_out=dict(self._left_out))

    def __iter__(self) -> Iterator[Input]:
        for pattern in self._patterns:
            for found in find_inputs(pattern, self._options, left_out=self._left_out):
                self._files += 1
                yield found


def find_inputs(pattern: str, options: ReadOptions, *, left_out: Counter[str] | None = None) -> Iterator[Input]:
    """The inputs that `pattern` means, in the order of their names (of a manifest: of its lines).

    Args:
        pattern: File, folder, glob or manifest.
        options: For ids.
        left_out: Counts the files that are neither images nor shards, by kind.

    Raises:
        RunError: Nothing matches, unless `allow_empty`; a manifest is wrong; a file lies outside `id_root`; or braces
            are not closed, or list no bands.
    """
    pattern = absolute(pattern)
    skipped: Counter[str] = Counter()
    count = 0
    for count, found in enumerate(_found(pattern, options, skipped), 1):  # noqa: B007 - the number is used below
        yield found
    if left_out is not None:
        left_out.update(skipped)
    if not count and not options.allow_empty:
        also = f" (of other files there are: {by_kind(skipped)})" if skipped else ""
        raise RunError(f"--input {pattern} matches no image and no shard{also}; correct it, or set --allow_empty")


def ids_below(roots: Iterable[str]) -> str:
    """The rule by which images are named, for a person."""
    return f"ids are paths below {', '.join(roots)}, of records their names"


def root_of(pattern: str, uri: str) -> str:
    """The fixed part of a pattern, below which ids begin, as seen from a file that it matched.

    These are the leading folders that pattern and file share by name: a folder whose name holds glob characters
    shares it, a glob does not.
    """
    shared = 0
    folders = uri.split("/")[:-1]
    for mine, theirs in zip(pattern.rstrip("/").split("/"), folders, strict=False):
        if mine != theirs:
            break
        shared += 1
    return "/".join(folders[:shared]) + "/"


def _found(pattern: str, options: ReadOptions, skipped: Counter[str]) -> Iterator[Input]:
    # Of what it lists messages name the pattern's own part, and of what it reads nothing.
    storage, braces = open_input(pattern), _braces_of(pattern)
    if braces:
        yield from _of_braces(storage, braces, pattern, options, skipped)
        return
    listing = storage.list(pattern, special=lambda: skipped.update([_SPECIAL]))
    if extension_of(pattern) not in MANIFEST_EXTENSIONS:
        yield from _files(storage, listing, pattern, options, skipped)
        return
    for listed in listing:
        if extension_of(listed.uri) in MANIFEST_EXTENSIONS:
            yield from _of_manifest(storage, listed, options)
        else:
            yield from _files(storage, [listed], pattern, options, skipped)


def _braces_of(pattern: str) -> Braces | None:
    storage = open_input(pattern)
    return parse_braces(pattern, lambda path: next(iter(storage.list(path)), None) is not None)


def _of_braces(
    storage: Storage, braces: Braces, pattern: str, options: ReadOptions, skipped: Counter[str]
) -> Iterator[Input]:
    def wanted(listed: Listed) -> bool:
        # Of bands nothing is opened: the user has named their files one by one.
        if _kind_by_extension(listed.uri, options, named=False) is not Kind.OTHER:
            return True
        skipped[left_out_as(listed.uri)] += 1
        return False

    for group in list_groups(storage, braces, special=lambda: skipped.update([_SPECIAL]), wanted=wanted):
        entry = entry_of(group, braces)
        root = options.id_root or root_of(pattern, entry.first_file)
        image_id = id_of(group, braces, root, keep_extension=options.keep_extension)
        yield Input(Kind.IMAGE, replace(entry, image_id=image_id))


def _files(
    storage: Storage, listing: Iterable[Listed], pattern: str, options: ReadOptions, skipped: Counter[str]
) -> Iterator[Input]:
    for (kind, what), listed in _with_kinds(storage, listing, options, named=pattern):
        if kind is Kind.OTHER:
            skipped[what] += 1
            continue
        below = path_below(listed.uri, options.id_root or root_of(pattern, listed.uri))
        yield _input(kind, listed, _id_of(kind, below, options), pattern)


def _id_of(kind: Kind, below: str, options: ReadOptions) -> str:
    if kind is Kind.IMAGE:
        return image_id_of(below, keep_extension=options.keep_extension, known=image_extension(below))
    return image_id_of(below)


def _input(kind: Kind, listed: Listed, image_id: str, named: str) -> Input:
    if kind is Kind.SHARD and not listed.size:
        _log.warning("an empty shard was found in --input %s", named)
    return Input(kind, Entry(listed.uri, listed.size, listed.version, image_id))


def _with_kinds(
    storage: Storage, listing: Iterable[Listed], options: ReadOptions, *, named: str
) -> Iterator[tuple[_Told, Listed]]:
    remaining = iter(listing)
    with ThreadPoolExecutor(_THREADS) as pool:
        while batch := list(islice(remaining, _BATCH)):
            kinds = [_kind_by_extension(listed.uri, options, named=listed.uri == named) for listed in batch]
            unknown = [listed for kind, listed in zip(kinds, batch, strict=True) if kind is None]
            looked = pool.map(lambda listed: _look(storage, listed, named=listed.uri == named), unknown)
            for kind, listed in zip(kinds, batch, strict=True):
                yield (kind, left_out_as(listed.uri) if kind is Kind.OTHER else "") if kind else next(looked), listed


def _kind_by_extension(uri: str, options: ReadOptions, *, named: bool) -> Kind | None:
    """As `kind_by_extension`; rasters are images where they are read as such."""
    return Kind.IMAGE if options.rasters and is_raster_name(uri) else kind_by_extension(uri, named=named)


def _look(storage: Storage, listed: Listed, *, named: bool) -> _Told:
    head = b""

    def read_head(limit: int) -> bytes:
        nonlocal head
        head = storage.read(listed.uri, limit=limit)
        return head

    try:
        kind = kind_by_content(listed.uri, read_head, named=named)
    except (*LOST, SourceChanged):
        # Its loss shows among the failures: as that of one image, or of a whole shard.
        kind = Kind.GZIP_SHARD if is_named_like_a_shard(listed.uri) else Kind.IMAGE
    return kind, left_out_as(listed.uri, head) if kind is Kind.OTHER else ""


def _of_manifest(storage: Storage, manifest: Listed, options: ReadOptions) -> Iterator[Input]:
    if manifest.size > _MAX_MANIFEST_BYTES:
        raise RunError(
            f"--input {manifest.uri} has {manifest.size >> 20} MiB; cut it into manifests of 1 GiB at most"
        )
    try:
        lines = parse_manifest(manifest.uri, storage.read(manifest.uri))
    except (*LOST, SourceChanged) as error:
        raise RunError(f"--input {manifest.uri} cannot be read: {error}") from None
    with ThreadPoolExecutor(_THREADS) as pool:
        while batch := list(islice(lines, _BATCH)):
            yield from pool.map(lambda line: _of_line(manifest, line, options), batch)


def _of_line(manifest: Listed, line: Line, options: ReadOptions) -> Input:
    if line.bands:
        image_id = line.image_id or _id_of(Kind.IMAGE, _below_manifest(manifest, line, options), options)
        files = tuple(band.where for band in line.bands)
        return Input(Kind.IMAGE, Entry(braces_of_files(files), 0, "", image_id, line.bands))
    if record := record_named(line.uri):
        return _of_record(manifest, line, *record, options)
    if braces := _braces_of(line.uri):
        return _of_bands(manifest, line, braces, options)
    storage, listed = open_input(line.uri), Listed(line.uri, 0, "")
    kind = _kind_by_extension(line.uri, options, named=True)
    if kind is None:
        listed = find_file(line.uri) or listed
        kind, _ = _look(storage, listed, named=True)
    image_id = line.image_id or _id_of(kind, _below_manifest(manifest, line, options), options)
    return _input(kind, listed, image_id, manifest.uri)


def record_named(uri: str) -> tuple[str, int] | None:
    """Shard and offset of a record as reports name it, `shard-uri#offset`; None where a file is called so."""
    place = place_of(uri)
    return None if place is None or find_file(uri) else place


def _of_record(manifest: Listed, line: Line, shard: str, offset: int, options: ReadOptions) -> Input:
    named = line._replace(uri=shard, image_id="")
    kind, entry, *_ = _of_line(manifest, named, options)
    return Input(Kind.SHARD if kind is Kind.IMAGE else kind, entry, offset, line.image_id)


def _of_bands(manifest: Listed, line: Line, braces: Braces, options: ReadOptions) -> Input:
    """An image of several files, as reports name it: by a pattern that means its files alone."""
    group = next(list_groups(open_input(line.uri), braces), Group(braces.before, braces.after, []))
    folder, top = folder_of(manifest.uri) + "/", "gs://" if is_gcs(line.uri) else "/"
    root = options.id_root or (folder if group.before.startswith(folder) else top)
    image_id = line.image_id or id_of(group, braces, root, keep_extension=options.keep_extension)
    return Input(Kind.IMAGE, replace(entry_of(group, braces), image_id=image_id))


def _below_manifest(manifest: Listed, line: Line, options: ReadOptions) -> str:
    if options.id_root:
        return path_below(line.uri, options.id_root)
    folder = folder_of(manifest.uri) + "/"
    if line.uri.startswith(folder):
        return path_below(line.uri, folder)
    return line.uri.removeprefix("gs://").lstrip("/")
