"""Which class each channel of a model stands for: its id in masks, its name and its colour."""

import difflib
import unicodedata
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass

from maskbeam.transforms.classes.palettes import Color, generate_colors
from maskbeam.transforms.errors import RunError

LARGEST_ID = 65535
# Names become folders, columns and lines of a terminal.
_LONGEST_NAME = 200
# Unicode's categories of control characters, line breaks, and halves of surrogate pairs, which UTF-8 cannot hold.
_UNUSABLE = ("Cc", "Zl", "Zp", "Cs")
# Names under which people file what is none of their classes.
_VOID = (
    "__ignore__",
    "ignore",
    "void",
    "unlabeled",
    "unlabelled",
    "other",
    "bg",
    "background",
    "_background_",
    "__background__",
)


@dataclass(frozen=True)
class ClassInfo:
    """One class.

    Attributes:
        channel: Its place along the model's last axis, from 0.
        id: What a mask's pixel holds, 0..65535.
        name: Its name, any text.
        color: Red, green and blue, 0..255.
        taken_as: Where its pixels are compared or handed on: the class that it is taken for, `""` to leave it out,
            None for itself.
    """

    channel: int
    id: int
    name: str
    color: Color
    taken_as: str | None = None


@dataclass(frozen=True)
class ClassTable:
    """All classes of a model, by channel; a table that exists is valid.

    Attributes:
        classes: Channels 0, 1, 2, ... in this order.
        source: Where the table comes from, for messages.
        notes: What was assumed while it was read; the caller prints them.
        shared_colors: Whether classes may share a colour, as some public tables want it.

    Raises:
        RunError: No class; channels that are not 0..C-1; an id outside 0..65535; an empty name; a doubled id, name
            (letter case aside, because names become folders) or colour.
    """

    classes: tuple[ClassInfo, ...]
    source: str
    notes: tuple[str, ...] = ()
    shared_colors: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(sorted(self.classes, key=lambda c: c.channel)))
        if [c.channel for c in self.classes] != list(range(len(self.classes))) or not self.classes:
            listed = ", ".join(str(c.channel) for c in self.classes[:40]) or "none"
            raise RunError(f"{self.source}: channels must be 0, 1, 2, ... each once; there are: {listed}")
        check_classes(self.classes, lambda c: f"channel {c.channel}", self.source, shared_colors=self.shared_colors)

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def ids(self) -> tuple[int, ...]:
        """Ids by channel."""
        return tuple(c.id for c in self.classes)

    @property
    def names(self) -> tuple[str, ...]:
        """Names by channel."""
        return tuple(c.name for c in self.classes)

    @property
    def colors(self) -> dict[int, Color]:
        """Colours by id."""
        return {c.id: c.color for c in self.classes}

    @property
    def wide(self) -> bool:
        """True if masks need 16 bits: some id is above 254."""
        return max(self.ids) > 254

    @property
    def default_ignore(self) -> int:
        """The ignore label unless told: the largest value of a mask's pixel."""
        return LARGEST_ID if self.wide else 255

    @property
    def palette(self) -> bytes:
        """Red, green and blue of ids 0..255, 768 bytes; ids that no class has are black."""
        colors = self.colors
        return b"".join(bytes(colors.get(i, (0, 0, 0))) for i in range(256))

    def check_channels(self, channels: int) -> None:
        """Compares the table with the model.

        Raises:
            RunError: The model has another number of classes.
        """
        if channels != len(self):
            lists = f"{self.source} lists {_count(len(self), 'class')}, but the model has {_count(channels, 'class')}"
            raise RunError(f"{lists}; {self._likely_cause(channels)}")

    def _likely_cause(self, channels: int) -> str:
        # What is certainly no class goes before the background, which often is one.
        by_name = {c.name.casefold(): c for c in self.classes}
        found = next((by_name[name] for name in _VOID if name in by_name), None)
        void = found and f"{found.name!r} (channel {found.channel})"
        if channels == len(self) + 1:
            if void is None:
                return "probably the background is missing: add it, as the first class if the model has it first"
            return f"{void} is there, so another class is missing from the table"
        if channels == len(self) - 1:
            if void is None:
                return "probably the model was trained without one of them: remove it from the table"
            return f"probably {void} is no channel of the model: remove it from the table"
        return "give the table that this model was trained with"

    def check_ignore(self, ignore_label: int | None) -> int:
        """The ignore label to use: the given one, or the default when None.

        Raises:
            RunError: A class owns it, or the mask's pixel cannot hold it.
        """
        label = self.default_ignore if ignore_label is None else ignore_label
        owner = next((c for c in self.classes if c.id == label), None)
        if owner is not None:
            raise RunError(
                f"--ignore_label {label} is the id of {owner.name!r} in {self.source}; choose one that no class has"
            )
        if not 0 <= label <= self.default_ignore:
            raise RunError(f"--ignore_label {label} does not fit: masks of this table hold 0..{self.default_ignore}")
        return label

    def named(self, name: str) -> ClassInfo:
        """The class of this name.

        Raises:
            RunError: There is none; says which names come close.
        """
        found = next((c for c in self.classes if c.name == name), None)
        if found is None:
            close = difflib.get_close_matches(name, self.names, n=3) or self.names[:10]
            raise RunError(f"{self.source} has no class {name!r}; it has, for example, {', '.join(map(repr, close))}")
        return found


def check_classes(
    classes: Iterable[ClassInfo], where: Callable[[ClassInfo], str], source: str, *, shared_colors: bool = False
) -> None:
    """Finds what makes classes unusable together.

    Args:
        classes: In any order.
        where: Says where in the source a class stands, such as "line 3".
        source: What the table is read from.
        shared_colors: Whether a doubled colour is fine.

    Raises:
        RunError: Names the place, the value and what to do.
    """
    classes = list(classes)
    for c in classes:
        if not 0 <= c.id <= LARGEST_ID:
            raise RunError(
                f"{source}, {where(c)}: id {c.id} is not within 0..{LARGEST_ID}, which is what masks can hold"
            )
        _check_name(c, f"{source}, {where(c)}")
        if not all(0 <= value <= 255 for value in c.color):
            raise RunError(f"{source}, {where(c)}: colour {c.color} of {c.name!r} is not within 0..255")
    _refuse_duplicate(classes, lambda c: c.id, lambda c: f"id {c.id}", where, source)
    _refuse_duplicate(classes, lambda c: folded_name(c.name), lambda c: f"name {c.name!r}", where, source)
    if not shared_colors:
        _refuse_duplicate(classes, lambda c: c.color, lambda c: f"colour {hex_color(c.color)}", where, source)


def _check_name(c: ClassInfo, place: str) -> None:
    if not c.name.strip():
        raise RunError(f"{place}: the class with id {c.id} has no name; give it one")
    if len(c.name) > _LONGEST_NAME:
        raise RunError(
            f"{place}: the name of the class with id {c.id} has {len(c.name):,} characters, more than {_LONGEST_NAME}"
        )
    odd = next((char for char in c.name if unicodedata.category(char) in _UNUSABLE), None)
    if odd is not None:
        raise RunError(
            f"{place}: the name of the class with id {c.id} holds the control character {odd!a}; write it without"
        )


def _refuse_duplicate(
    classes: list[ClassInfo],
    key: Callable[[ClassInfo], Hashable],
    value: Callable[[ClassInfo], str],
    where: Callable[[ClassInfo], str],
    source: str,
) -> None:
    seen: dict[Hashable, ClassInfo] = {}
    for c in classes:
        first = seen.setdefault(key(c), c)
        if first is not c:
            reason = (
                "" if value(first) == value(c) else ", which would share one folder where letter case does not count"
            )
            raise RunError(
                f"{source}, {where(c)}: {value(c)} is already taken: {where(first)} has {value(first)}{reason}; "
                "each class needs its own"
            )


def folded_name(name: str) -> str:
    """A name as it is compared: letter case, and how accents are encoded, aside."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def hex_color(color: Color) -> str:
    """A colour as `#rrggbb`."""
    return "#{:02x}{:02x}{:02x}".format(*color)


def generated_table(channels: int, *, sigmoid: bool = False) -> ClassTable:
    """The table of a model that comes without one: `class_0`, `class_1`, ... in colours that differ.

    Args:
        channels: Number of classes.
        sigmoid: Whether they are the two sides of a one-channel model: `background` (black) and `foreground`.
    """
    if sigmoid:
        names, colors = ["background", "foreground"], [(0, 0, 0), *generate_colors(1)]
    else:
        names, colors = [f"class_{i}" for i in range(channels)], generate_colors(channels)
    classes = tuple(ClassInfo(i, i, name, color) for i, (name, color) in enumerate(zip(names, colors, strict=True)))
    note = f"no class table given: classes are named {names[0]}{'' if len(names) == 1 else ' to ' + names[-1]}"
    return ClassTable(classes, "generated table", (note,))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'es' if number != 1 else ''}"
