"""The bands of an image, which may lie in several files, and those of them that a user names."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from maskbeam.pipeline.text.wording import plural, printable
from maskbeam.transforms.elements import Companion
from maskbeam.transforms.errors import Code, ImageError

_SHOWN = 20
# What GDAL calls bands of which nothing is known.
_NO_COLOURS = ("", "undefined", "gray", "palette", "alpha")


@dataclass(frozen=True)
class Band:
    """A band of an image.

    Attributes:
        file: The number of its file, from 0.
        index: Its number in that file, from 1.
        number: Its number among the bands of all files, from 1.
        name: Its own: that of its file where it is alone in it, else the file's description of it; may be empty.
        colour: GDAL's word for what it shows: `red`, `nir`, `alpha`.
        dtype: The type of its values.
        where: Its file, where it is alone in one of several that nobody named.
    """

    file: int
    index: int
    number: int
    name: str
    colour: str
    dtype: str
    where: str = ""

    @property
    def is_alpha(self) -> bool:
        """True where the file calls it transparency."""
        return self.colour == "alpha"

    @property
    def label(self) -> str:
        """The word for it in messages."""
        return f"band {printable(self.name)}" if self.name else f"band {self.number}"


def find_band(bands: Sequence[Band], word: str) -> Band:
    """The band of that name; else of that number, from 1; else one that is called so (`Companion`); else a colour.

    Raises:
        ImageError: BAD_CHANNELS, with the numbers and names there are.
    """
    for fits in _ways(word):
        found = [band for band in bands if fits(band)]
        if len(found) == 1:
            return found[0]
        if found:
            numbers = ", ".join(str(band.number) for band in found)
            raise ImageError(
                Code.BAD_CHANNELS, f"{printable(word)!r} may be any of bands {numbers}: say which, by number"
            )
    raise ImageError(Code.BAD_CHANNELS, f"band {printable(word)} is asked for, and it has {_said_of(bands)}")


def _ways(word: str) -> tuple[Callable[[Band], bool], ...]:
    number = int(word) if word.isascii() and word.isdigit() else 0
    return (
        lambda band: band.name == word,
        lambda band: band.number == number,
        lambda band: Companion(band.where, "", name=band.name).is_called(word),
        lambda band: band.colour == word and word not in _NO_COLOURS,
    )


def fed_bands(bands: Sequence[Band], words: Sequence[str], but: Band | None) -> tuple[Band, ...]:
    """The bands that the model is fed: those that are named, in this order, or all, alpha and `but` apart.

    Raises:
        ImageError: BAD_CHANNELS for a band that is not there, and where none is left.
    """
    found = [find_band(bands, word) for word in words]
    if not words:
        found = [band for band in bands if not band.is_alpha and band is not but]
    if not found:
        raise ImageError(Code.BAD_CHANNELS, "it has no band but transparency: name it with --bands to have it fed")
    return tuple(found)


def _said_of(bands: Sequence[Band]) -> str:
    names = ", ".join(printable(band.name) for band in bands[:_SHOWN] if band.name)
    more = ", ..." if len(bands) > _SHOWN else ""
    return plural(len(bands), "band") + (f": {names}{more}" if names else "")
