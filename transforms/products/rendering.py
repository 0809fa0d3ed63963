"""The way products are drawn, and the folders that classes have."""

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from maskbeam.transforms.classes.palettes import Color
from maskbeam.transforms.elements import Array
from maskbeam.transforms.products.palette import make_palette

# What storage, shells and format strings trip over, and the two signs that mark an escape here.
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff/\\:*?\"<>|{}%~]|^[. ]|[. ]$")
_LONGEST = 60


@dataclass(frozen=True)
class Rendering:
    """Which files are drawn of an image beside its mask, and how.

    Attributes:
        products: Names of the registry; of planes only those that can be drawn of them.
        colors: Red, green and blue of each class, by id, in the order of channels.
        binary: Id and name of each class that gets binary masks (of planes also its confidence), any text.
        opacity: Of overlays, from 0, the image alone, to 1, the colours alone.
        ignore_label: Id of pixels that no class owns.
    """

    products: frozenset[str]
    colors: Mapping[int, Color]
    binary: tuple[tuple[int, str], ...]
    opacity: float = 0.5
    ignore_label: int = 255

    @cached_property
    def palette(self) -> Array:
        """Uint8 `[256, 3]`, or `[65536, 3]`: colours by id."""
        return make_palette(self.colors)

    @cached_property
    def folders(self) -> tuple[tuple[int, int, str], ...]:
        """Channel, id and folder name of each class of `binary`."""
        channels = {class_id: channel for channel, class_id in enumerate(self.colors)}
        ids, names = [i for i, _ in self.binary], class_folders(self.binary)
        return tuple((channels[i], i, name) for i, name in zip(ids, names, strict=True))


def class_folders(names: Sequence[tuple[int, str]]) -> list[str]:
    """Folder names for classes: safe on every storage, and distinct even where letter case is folded.

    Characters that storage, shells or format strings trip over become `%XX`; a name that is empty, long or the same
    as another's gets `~ID` behind it.

    Args:
        names: Id and name of each class.

    Returns:
        A folder name for each.
    """
    safe = [_UNSAFE.sub(_escaped, name) for _, name in names]
    times = Counter(map(_folded, safe))
    clear = [bool(name) and len(name) <= _LONGEST and times[_folded(name)] == 1 for name in safe]
    marked = [f"{name[:_LONGEST]}~{i}" for name, (i, _) in zip(safe, names, strict=True)]
    return [name if is_clear else other for name, is_clear, other in zip(safe, clear, marked, strict=True)]


def _escaped(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8", "surrogatepass"))


def _folded(folder: str) -> str:
    return unicodedata.normalize("NFC", folder).casefold()
