"""Files become images of several files, one for each group that a pattern with braces tells apart.

A listing is sorted by name, so that a group is whole once names no longer begin as its files do: of a million files
only the few groups are held that are still open.
"""

import heapq
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

from maskbeam.pipeline.digests import digest
from maskbeam.pipeline.inputs.braces import Braces, braces_of_image
from maskbeam.pipeline.inputs.ids import image_id_of, path_below
from maskbeam.pipeline.storage import Listed, Storage, open_input
from maskbeam.transforms.codecs.registry import image_extension
from maskbeam.transforms.elements import Companion, Entry, Source
from maskbeam.transforms.errors import Code, ImageError

_SEPARATORS = "_-."
_GLOB = re.compile(r"[*?\[]")
# No other source has such a one: generations, sizes with times and checksums have no such colon.
_VERSION = re.compile(r"\d+:[0-9a-f]{16}")


class File(NamedTuple):
    """A file of an image: which alternative it is, and its listing without what is not needed."""

    alternative: int
    uri: str
    size: int
    version: str


class Group(NamedTuple):
    """The files of one image: what they have before and after the braces, and the files as they were listed."""

    before: str
    after: str
    files: list[File]


def list_groups(
    storage: Storage,
    braces: Braces,
    *,
    special: Callable[[], None] | None = None,
    wanted: Callable[[Listed], bool] | None = None,
) -> Iterator[Group]:
    """The images that a pattern with braces means, in the order in which they are complete.

    Args:
        storage: Where they lie.
        braces: The pattern.
        special: As in `Storage.list`.
        wanted: Says of each file whether it may be a part of an image; None: all are.
    """
    patterns = braces.patterns
    if not braces.is_fixed_before or not _GLOB.search(braces.after):
        yield from grouped(filter(wanted, storage.list(*patterns, special=special)), braces)
        return
    # All bands of one kind come before all of the next, as in `{red,nir}/*.tif`: each kind is listed by itself, and
    # what is listed is sorted by what comes after.
    listings = [_placed(filter(wanted, storage.list(each, special=special)), braces) for each in patterns]
    for after, files in groupby(heapq.merge(*listings, key=_after), _after):
        yield Group(braces.before, after, [file for _, file in files])


def grouped(listing: Iterable[Listed], braces: Braces) -> Iterator[Group]:
    """The groups among files that are sorted by name."""
    opened: dict[str, dict[str, Group]] = {}
    for before, after, file in _files(listing, braces):
        for done in [each for each in opened if not file.uri.startswith(each)]:
            yield from opened.pop(done).values()
        groups = opened.setdefault(before, {})
        groups.setdefault(after, Group(before, after, [])).files.append(file)
    for remaining in opened.values():
        yield from remaining.values()


def _files(listing: Iterable[Listed], braces: Braces) -> Iterator[tuple[str, str, File]]:
    for listed in listing:
        place = braces.place(listed.uri)
        if place:
            yield place.before, place.after, File(place.alternative, listed.uri, listed.size, listed.version)


def _placed(listing: Iterable[Listed], braces: Braces) -> Iterator[tuple[str, File]]:
    return ((after, file) for _, after, file in _files(listing, braces))


def _after(placed: tuple[str, File]) -> str:
    return placed[0]


def entry_of(group: Group, braces: Braces) -> Entry:
    """The image of a group, without an id. Bands are in the order of the braces; a missing one has no version."""
    bands = tuple(band for i, name in enumerate(braces.alternatives) for band in _bands(group, braces, i, name))
    return joined(Entry(braces.where(group.before, group.after), 0, "", bands=bands))


def joined(entry: Entry) -> Entry:
    """The same with the size of all its files, and for its version their number and a digest of all of theirs."""
    version = f"{len(entry.bands)}:{digest(' '.join(band.version for band in entry.bands))}"
    return Entry(entry.uri, sum(band.size for band in entry.bands), version, entry.image_id, entry.bands)


def _bands(group: Group, braces: Braces, alternative: int, name: str) -> list[Companion]:
    found = [file for file in group.files if file.alternative == alternative]
    missing = Companion(f"{group.before}{name}{group.after}", "", name=name)
    return [Companion(file.uri, file.version, name=name, size=file.size) for file in found] or [missing]


def find_bands(source: Source) -> tuple[Companion, ...]:
    """The files of an image as they are now; none if it never lay in several.

    Raises:
        ImageError: One is not there, or they are other versions.
    """
    if not _VERSION.fullmatch(source.version):
        return ()
    braces = braces_of_image(source.where)
    group = next(list_groups(open_input(source.where), braces), Group(braces.before, braces.after, []))
    entry = entry_of(group, braces)
    check_bands(entry.bands)
    if entry.version != source.version:
        raise ImageError(Code.SOURCE_CHANGED, "one of its files is another one now")
    return entry.bands


def check_bands(bands: Iterable[Companion]) -> None:
    """Makes sure that of several files of an image each is there, once.

    Raises:
        ImageError: `SOURCE_MISSING` or `BAD_CHANNELS`; names the band, never a file.
    """
    names: set[str] = set()
    for number, band in enumerate(bands, 1):
        name = band.name or str(number)
        if not band.version:
            raise ImageError(Code.SOURCE_MISSING, f"the file of band {name} is not there, or cannot be read")
        if name in names:
            raise ImageError(Code.BAD_CHANNELS, f"two files fit band {name}; write more of its name in the braces")
        names.add(name)


def id_of(group: Group, braces: Braces, root: str, *, keep_extension: bool) -> str:
    """The id of an image of several files: its path without the braces, or the folder before them if they hold `/`.

    Where nothing is left of that, it is the name of the folder `root`.

    Args:
        group: Its files.
        braces: The pattern.
        root: The folder below which ids begin.
        keep_extension: As in `image_id_of`.

    Raises:
        RunError: It does not lie below `root`.
    """
    path = _path(group.before, "" if braces.is_by_folder else group.after, keep_extension=keep_extension)
    folder = root.rstrip("/")
    return folder.rpartition("/")[2] if path.rstrip("/") == folder else path_below(path, root)


def _path(before: str, after: str, *, keep_extension: bool) -> str:
    """A path without the part between `before` and `after`, and without separators that are left over there."""
    middle, extension = _without_extension(after)
    if not middle or middle[0] in f"{_SEPARATORS}/":
        before = before.rstrip(_SEPARATORS)
    if before.endswith("/"):
        middle = middle.lstrip(f"{_SEPARATORS}/")
    path = f"{before}{middle}".removesuffix("/")
    return f"{path}{extension}" if keep_extension else path


def _without_extension(after: str) -> tuple[str, str]:
    # Behind a letter, because a name that is nothing but an extension has none.
    name = f"x{after}"
    stem = image_id_of(name, known=image_extension(name))
    return stem[1:], name[len(stem) :]
