"""A field of an options class and its flag, said once: the field's metadata is all that the command line knows."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from maskbeam.pipeline.options.values import filled

FLAG = "flag"


class Decides(Enum):
    """The files of an output that depend on an option; `maskbeam.pipeline.job.settings` is made of this."""

    MASKS = "pixels or names of masks: a rerun with another value is refused"
    SOME_MASKS = "the masks of some images, whose records say how they were made"
    FOUND = "masks, through what is found out about the model or its classes, which is told in its place"
    PRODUCTS = "which images are let in, or what is drawn of masks; no mask"
    NOTHING = "no image's files"


@dataclass(frozen=True)
class Flag:
    """A flag, and what else is to be known of its field.

    Attributes:
        help: One line; the default is added to it, unless it ends in one in brackets. A field without it has no flag.
        metavar: The word for its value in the help.
        parse: Turns the word into a value, or raises argparse's error.
        choices: All values there are; those that only rooms above this one know are added by
            `maskbeam.pipeline.cli.flags`.
        known: Words of which it takes several; `{}` stands for them in the help.
        many: True where it takes several words, and may be repeated.
        group: Its group in the help, see `maskbeam.pipeline.cli.flags.GROUPS`; that of its class unless said.
        first: True where the help's first page shows it.
        also: The commands beside `run` that heed it.
        decides: The files of an output that depend on it.
        place: True where its value is a path, which is made absolute.
        kept: True where a part of a job keeps it for `maskbeam merge`.
        short: A letter that stands for it.
        name: Without its dashes.
        target: The field, as `section.field`.
        default: The field's own.
    """

    help: str
    metavar: str = ""
    parse: Callable[[str], Any] = filled
    choices: Collection[str] | None = None
    known: Collection[str] = ()
    many: bool = False
    group: str = ""
    first: bool = False
    also: tuple[str, ...] = ()
    decides: Decides = Decides.MASKS
    place: bool = False
    kept: bool = True
    short: str = ""
    name: str = ""
    target: str = ""
    default: Any = None

    @property
    def words(self) -> str:
        """The help, with all words that are known now."""
        return self.help.replace("{}", ",".join(self.known))

    @property
    def has_value(self) -> bool:
        """True where a word follows it."""
        return self.default is not False


def option(default: Any, help: str = "", **said: Any) -> Any:
    """A field of an options class.

    Args:
        default: Its value where nobody says another.
        help: As of `Flag`.
        said: Further attributes of `Flag`.
    """
    return field(default=default, metadata={FLAG: Flag(help, **said)})


def plain(value: Any) -> Any:
    """A field's value as JSON has it."""
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, tuple):
        return list(value)
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
