"""Messages about words that mean nothing, with the nearest one that does."""

import difflib
from collections.abc import Sequence


def not_known(word: str, known: Sequence[str]) -> str:
    """The message about a word that means nothing here."""
    if not word.startswith("-"):
        return f"{word!r} belongs to no flag; patterns go after --input, in quotes if they hold wildcards"
    return f"unknown flag {word}{did_you_mean(word.split('=')[0], known)}"


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """`; did you mean X?`, or nothing."""
    nearest = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"; did you mean {nearest[0]}?" if nearest else ""
