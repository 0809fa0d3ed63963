"""Glob patterns over whole names, the same for files and objects."""

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import NamedTuple

_MAGIC = re.compile(r"[*?\[]")
EVERYTHING = "**"


@dataclass(frozen=True)
class Glob:
    """A pattern in two parts.

    Attributes:
        fixed: What every match starts with, without a trailing slash.
        parts: What the components below it have to match; `**` stands for any number of components. Empty when the
            pattern is a plain name: a file, or a folder that stands for all below it.
    """

    fixed: str
    parts: tuple[str, ...]

    def matches(self, names: Sequence[str]) -> bool:
        """True if a file with these components below `fixed` is meant; hidden ones never are."""
        return not _is_hidden(names) and _match(names, self.parts or (EVERYTHING,))

    def may_hold(self, names: Sequence[str]) -> bool:
        """True if a folder with these components below `fixed` may hold matches."""
        for name, part in zip(names, self.parts or (EVERYTHING,), strict=False):
            if part == EVERYTHING:
                return True
            if not fnmatchcase(name, part):
                return False
        return len(names) < len(self.parts)

    @property
    def prefix(self) -> str:
        """The longest literal start of all matches' names: `fixed`, and the first part as far as it is plain."""
        first = self.parts[0] if self.parts else ""
        plain = _MAGIC.split(first, maxsplit=1)[0]
        return f"{self.fixed}/{plain}" if self.fixed else plain

    @property
    def is_flat(self) -> bool:
        """True if all matches lie in the folder `fixed` itself."""
        return len(self.parts) == 1 and self.parts[0] != EVERYTHING


@dataclass(frozen=True)
class AnyGlob:
    """Several globs that have `fixed` in common: a name is meant if any of them means it."""

    fixed: str
    globs: tuple[Glob, ...]

    def matches(self, names: Sequence[str]) -> bool:
        """As `Glob.matches`."""
        return not _is_hidden(names) and any(_match(names, glob.parts) for glob in self.globs)

    def may_hold(self, names: Sequence[str]) -> bool:
        """As `Glob.may_hold`."""
        return any(glob.may_hold(names) for glob in self.globs)

    @property
    def prefix(self) -> str:
        """As `Glob.prefix`."""
        # Character by character, as object storage compares.
        return os.path.commonprefix([glob.prefix for glob in self.globs])  # noqa: RUF071

    @property
    def is_flat(self) -> bool:
        """As `Glob.is_flat`."""
        return all(glob.is_flat for glob in self.globs)


class _Split(NamedTuple):
    """The components of a pattern, and which of them is the first glob."""

    parts: list[str]
    first: int


def split(pattern: str, exists: Callable[[str], bool]) -> Glob:
    """Takes a pattern apart at its first glob.

    A component such as `b[1]` that `exists` as a name and does not match itself is that name; `*.png` stays a glob
    even where a file has this very name, because that file is among its matches and others are not lost.
    """
    parts, first = _split(pattern, exists)
    return Glob("/".join(parts[:first]).removesuffix("/"), tuple(parts[first:]))


def split_all(patterns: Sequence[str], exists: Callable[[str], bool]) -> AnyGlob:
    """Takes several patterns apart behind the folders that they have in common; each component as `split` says.

    A pattern without a glob means one file, and no folder.
    """
    found = [_split(pattern, exists) for pattern in patterns]
    # The last component is a file's name.
    most = min(min(first, len(parts) - 1) for parts, first in found)
    shared = len(os.path.commonprefix([parts[:most] for parts, _ in found]))  # noqa: RUF071
    fixed = "/".join(found[0].parts[:shared]).removesuffix("/")
    return AnyGlob(fixed, tuple(Glob(fixed, _globbed(each, shared)) for each in found))


def _split(pattern: str, exists: Callable[[str], bool]) -> _Split:
    parts = pattern.split("/")
    first = next((i for i, part in enumerate(parts) if _is_glob(part, "/".join(parts[: i + 1]), exists)), len(parts))
    if first < len(parts) and not parts[-1]:
        parts[-1] = EVERYTHING
    return _Split(parts, first)


def _globbed(pattern: _Split, start: int) -> tuple[str, ...]:
    """The components from `start` on, plain names among them as globs that match nothing else."""
    return (*map(escape, pattern.parts[start : pattern.first]), *pattern.parts[pattern.first :])


def _is_glob(part: str, path: str, exists: Callable[[str], bool]) -> bool:
    return bool(_MAGIC.search(part)) and (fnmatchcase(part, part) or not exists(path))


def _is_hidden(names: Sequence[str]) -> bool:
    return any(name.startswith(".") for name in names)


def _match(names: Sequence[str], parts: Sequence[str]) -> bool:
    if not parts:
        return not names
    if parts[0] == EVERYTHING:
        return bool(names) and (len(parts) == 1 or any(_match(names[i:], parts[1:]) for i in range(len(names))))
    return bool(names) and fnmatchcase(names[0], parts[0]) and _match(names[1:], parts[1:])


def escape(name: str, magic: re.Pattern[str] = _MAGIC) -> str:
    """A name as a pattern that matches nothing else."""
    return magic.sub(r"[\g<0>]", name)
