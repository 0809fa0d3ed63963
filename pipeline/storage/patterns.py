"""Glob patterns over whole names, the same for files and objects."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

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
        return not any(name.startswith(".") for name in names) and _match(names, self.parts or (EVERYTHING,))

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


def split(pattern: str, exists: Callable[[str], bool]) -> Glob:
    """Takes a pattern apart at its first glob.

    A component such as `b[1]` that `exists` as a name and does not match itself is that name; `*.png` stays a glob
    even where a file has this very name, because that file is among its matches and others are not lost.
    """
    parts = pattern.split("/")
    count = next((i for i, part in enumerate(parts) if _is_glob(part, "/".join(parts[: i + 1]), exists)), len(parts))
    fixed, rest = "/".join(parts[:count]).removesuffix("/"), parts[count:]
    if rest and not rest[-1]:
        rest[-1] = EVERYTHING
    return Glob(fixed, tuple(rest))


def _is_glob(part: str, path: str, exists: Callable[[str], bool]) -> bool:
    return bool(_MAGIC.search(part)) and (fnmatchcase(part, part) or not exists(path))


def _match(names: Sequence[str], parts: Sequence[str]) -> bool:
    if not parts:
        return not names
    if parts[0] == EVERYTHING:
        return bool(names) and (len(parts) == 1 or any(_match(names[i:], parts[1:]) for i in range(len(names))))
    return bool(names) and fnmatchcase(names[0], parts[0]) and _match(names[1:], parts[1:])
