"""The findings that a command tells: lines as they come, and the same as facts."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from maskbeam.pipeline.text.wording import printable

Say = Callable[[str], None]


def say_at_terminal(text: str) -> None:
    """Tells the person at the terminal."""
    print(printable(text), flush=True)  # noqa: T201 - what the command is for


@dataclass
class Told:
    """All that is told: lines as they come, and the same as facts, for `--format json`."""

    say: Say
    facts: dict[str, Any] = field(default_factory=dict)

    def __call__(self, text: str) -> None:
        """Says a line."""
        self.say(text)
