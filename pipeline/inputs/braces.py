"""Braces in a pattern: they list the bands of one image that are files of their own, as in `*_{B04,B03,B02}.tif`.

Alternatives may hold `/` and `*`. Each stands for one file of an image; what the other parts of the pattern match
tells images apart. A name that really holds braces is found under itself, as is a name such as `b[1]`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import translate
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple, NoReturn

from maskbeam.pipeline.inputs.containers.kinds import MANIFEST_EXTENSIONS, extension_of, is_named_like_a_shard
from maskbeam.pipeline.storage import absolute, is_gcs
from maskbeam.pipeline.storage.patterns import EVERYTHING, escape
from maskbeam.transforms.codecs.registry import image_extension
from maskbeam.transforms.errors import RunError

_CLASS = r"\[!?\]?[^\]/]*\]"
_TOKEN = re.compile(rf"{_CLASS}|.", re.DOTALL)
_PIECE = re.compile(rf"(?<=/)\*\*/|(?<=/)\*\*\Z|\*+|\?|{_CLASS}|.", re.DOTALL)
_PIECES = {"**/": "(?:[^/]*/)*", EVERYTHING: ".+", "?": "[^/]"}
_GLOB = re.compile(r"[*?\[]")
_SPECIAL = re.compile(r"[*?\[{]")
_SPECIAL_INSIDE = re.compile(r"[*?\[{},]")
_MEANING = "braces list the bands of one image that are files of their own"
_HOW = f"{_MEANING}, as in 'scene_{{B04,B03,B02}}.tif'; a brace of a name is written [{{]"
# Where a character, or a class in brackets, stands, and it.
_Token = tuple[int, str]


class Place(NamedTuple):
    """The place of a file in a pattern with braces: what stands before and after, and which alternative it is."""

    before: str
    alternative: int
    after: str


@dataclass(frozen=True)
class Braces:
    """A pattern with braces, in its three parts."""

    before: str
    alternatives: tuple[str, ...]
    after: str

    @property
    def patterns(self) -> list[str]:
        """The pattern of each alternative."""
        return [f"{self.before}{each}{self.after}" for each in self.alternatives]

    @property
    def is_fixed_before(self) -> bool:
        """True if of all that comes before an image's own part nothing is a glob."""
        return not any(map(_GLOB.search, (self.before, *self.alternatives)))

    @property
    def is_by_folder(self) -> bool:
        """True if an image is what lies in one folder: alternatives hold folders, and nothing behind them differs."""
        return any("/" in each for each in self.alternatives) and not _GLOB.search(self.after)

    def where(self, before: str, after: str) -> str:
        """The pattern that means one image alone: its own parts are filled in, and its braces are as they were."""
        return f"{escape(before, _SPECIAL)}{{{','.join(self.alternatives)}}}{escape(after, _SPECIAL)}"

    def place(self, uri: str) -> Place | None:
        """The place of a file that one of `patterns` means, else None.

        Each glob takes as much as it can, from the left, and of the alternatives the first that fits.
        """
        match = self._matcher.fullmatch(uri)
        if match is None:
            return None
        before, *middle, after = match.groups()
        return Place(before, next(i for i, held in enumerate(middle) if held is not None), after)

    @cached_property
    def _matcher(self) -> re.Pattern[str]:
        middle = "|".join(f"({_expression(each)})" for each in self.alternatives)
        return re.compile(f"({_expression(self.before)})(?:{middle})({_expression(self.after)})", re.DOTALL)


def _expression(pattern: str) -> str:
    return "".join(_piece(found[0]) for found in _PIECE.finditer(pattern))


def _piece(token: str) -> str:
    if token in _PIECES:
        return _PIECES[token]
    if token.startswith("*"):
        return "[^/]*"
    if len(token) > 1:
        # A name such as `b[1]` is found under itself, too; which of the two it is, the listing knows.
        return f"(?:{re.escape(token)}|(?!/){translate(token)[4:-3]})"
    return re.escape(token)


def parse_braces(pattern: str, exists: Callable[[str], bool]) -> Braces | None:
    """The braces of a pattern, or None where it has none that are not part of a name.

    Args:
        pattern: Absolute.
        exists: Says whether there is a file or a folder of a name.

    Raises:
        RunError: They are not closed, or list no bands; says what to write.
    """
    if "{" not in pattern:
        return None
    tokens, start = _tokens(pattern), 0
    while (first := _next(tokens, "{", start)) is not None:
        last = _next(tokens, "}", first)
        end = _end_of_component(pattern, first if last is None else last)
        if not _is_a_name(pattern[:end], exists):
            return _checked(pattern, tokens, first, last)
        start = end
    return None


def expanded(pattern: str) -> list[str]:
    """The pattern of each alternative, where braces can be read as such, whether they are right or a name's."""
    tokens = _tokens(pattern)
    first = _next(tokens, "{", 0)
    last = None if first is None else _next(tokens, "}", first)
    return [] if first is None or last is None else _cut(pattern, tokens, first, last).patterns


def braces_of_files(files: tuple[str, ...]) -> str:
    """The pattern that means these files, in this order, and no others."""
    shared = files[0][: _shared_folders(files)]
    return f"{escape(shared, _SPECIAL)}{{{','.join(escape(each[len(shared) :], _SPECIAL_INSIDE) for each in files)}}}"


def _shared_folders(files: tuple[str, ...]) -> int:
    parts = [each.split("/")[:-1] for each in files]
    count = next((i for i, level in enumerate(zip(*parts, strict=False)) if len(set(level)) > 1), None)
    folders = parts[0][: min(map(len, parts)) if count is None else count]
    return sum(len(each) + 1 for each in folders)


def braces_of_image(where: str) -> Braces:
    """The braces of a pattern that means one image alone, as `Braces.where` and `braces_of_files` write it."""
    tokens = _tokens(where)
    first = _next(tokens, "{", 0) or 0
    return _cut(where, tokens, first, _next(tokens, "}", first) or 0)


def _tokens(pattern: str) -> list[_Token]:
    return [(found.start(), found[0]) for found in _TOKEN.finditer(pattern)]


def _next(tokens: list[_Token], wanted: str, start: int) -> int | None:
    return next((at for at, found in tokens if at >= start and found == wanted), None)


def _end_of_component(pattern: str, at: int) -> int:
    end = pattern.find("/", at)
    return len(pattern) if end < 0 else end


def _is_a_name(path: str, exists: Callable[[str], bool]) -> bool:
    return "*" not in path and "?" not in path and not _ends_in_bucket(path) and exists(path)


def _ends_in_bucket(pattern: str) -> bool:
    """True if a beginning of a pattern goes no further than the name of a bucket, which never holds braces."""
    return is_gcs(pattern) and "/" not in pattern.removeprefix("gs://")


def _checked(pattern: str, tokens: list[_Token], first: int, last: int | None) -> Braces:
    if last is None:
        _refuse(pattern, f"its braces are not closed; {_HOW}")
    inner = _next(tokens, "{", first + 1)
    if inner is not None:
        what = "holds braces inside braces" if inner < last else "has several braces"
        _refuse(pattern, f"{what}; a pattern has one pair, so write out every alternative in it; {_HOW}")
    braces = _cut(pattern, tokens, first, last)
    _check_alternatives(pattern, braces)
    _check_kind(pattern, braces)
    return braces


def _cut(pattern: str, tokens: list[_Token], first: int, last: int) -> Braces:
    commas = [at for at, found in tokens if found == "," and first < at < last]
    alternatives = tuple(pattern[start + 1 : end] for start, end in pairwise([first, *commas, last]))
    after = pattern[last + 1 :]
    return Braces(pattern[:first], alternatives, f"{after}{EVERYTHING}" if after.endswith("/") else after)


def _check_alternatives(pattern: str, braces: Braces) -> None:
    alternatives = braces.alternatives
    if len(alternatives) == 1:
        _refuse(pattern, f"its braces hold one alternative alone; {_HOW}")
    if any(each != each.strip() or not each for each in alternatives):
        _refuse(pattern, f"an alternative in its braces is empty, or has a blank at its end; {_HOW}")
    if len(set(alternatives)) < len(alternatives):
        _refuse(pattern, "an alternative stands in its braces twice; name each band once")
    if any(EVERYTHING in each for each in alternatives) or any(absolute(each) != each for each in braces.patterns):
        _refuse(pattern, "its braces hold `**`, `//`, `.` or `..`; write plain names of folders in them, or *")
    if _ends_in_bucket(braces.before):
        _refuse(pattern, "its braces stand in the name of a bucket; name one bucket")


def _check_kind(pattern: str, braces: Braces) -> None:
    ends = [f"{each}{braces.after}".removeprefix(".") for each in braces.alternatives]
    dotted = braces.before.endswith(".") or all(each.startswith(".") for each in braces.alternatives)
    if dotted and all(image_extension(f"x.{end}") == f".{end}".lower() for end in ends):
        _refuse(pattern, f"{_MEANING}, and these are kinds of files: name a folder, or a pattern for each kind")
    if any(_is_list(each) for each in braces.patterns):
        _refuse(pattern, f"{_MEANING}: name each shard or manifest, or a pattern for each")


def _is_list(pattern: str) -> bool:
    like_a_shard = is_named_like_a_shard(pattern) and not image_extension(pattern)
    return like_a_shard or extension_of(pattern) in MANIFEST_EXTENSIONS


def _refuse(pattern: str, what: str) -> NoReturn:
    raise RunError(f"--input {pattern}: {what}")
