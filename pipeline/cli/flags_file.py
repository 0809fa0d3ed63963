"""The words of a command as they are meant: files of flags read, and flags by their own names."""

import re
import shlex
from collections.abc import Iterator, Sequence

from maskbeam.pipeline.cli.commands import COMMANDS
from maskbeam.pipeline.cli.near_words import did_you_mean
from maskbeam.pipeline.options.flag import Flag
from maskbeam.transforms.errors import RunError

_MAX_FLAGS = 1_000_000  # characters of a flags file
# A comment begins with a # that is neither quoted nor inside a word, as in a shell.
_COMMENT = re.compile(r"""((?:"(?:\\.|[^"\\])*"|'[^']*'|\\.|(?<=\S)\#|[^#"'\\])*)(?:\#.*)?""")
_HEADER = re.compile(r"\[([\w ]*)\]")
#: All flags of all commands, by name: each means the same wherever it occurs.
KNOWN: dict[str, Flag] = {
    flag.name: flag for command in reversed(COMMANDS.values()) for flag in reversed(command.flags)
}
SHORT = {f"-{flag.short}": f"--{flag.name}" for flag in KNOWN.values() if flag.short}
_TAKES_VALUE = {f"--{flag.name}" for flag in KNOWN.values() if flag.has_value and not flag.many}


def expand(argv: Sequence[str], command: str = "run") -> Iterator[str]:
    """The words of a command, flags files read, and values that look like flags (`-1..1`) bound to theirs.

    Args:
        argv: As typed, without the command.
        command: Whose they are: in a flags file, what stands below another one's header is left out.

    Raises:
        RunError: A flags file cannot be read; or short flags are run together with their values.
    """
    typed = [command, *argv]
    read = [part for word in argv for part in (_words_of(word[1:], typed) if word[:1] == "@" else [word])]
    words = iter([_named(word) for word in read])
    for word in words:
        value = next(words, None) if word in _TAKES_VALUE else None
        if value is not None and re.match(r"-[\d.]", value):
            yield f"{word}={value}"
        else:
            yield from (word,) if value is None else (word, value)


def _named(word: str) -> str:
    """A flag of ours by its own name: dashes for underscores are accepted, and a letter for some."""
    name, equals, value = word.partition("=")
    if name in SHORT:
        return SHORT[name] + equals + value
    if re.match(r"-[a-zA-Z]\w", word):
        near = did_you_mean(f"-{name}", [f"--{known}" for known in KNOWN])
        raise RunError(f"unknown flag {name}{near} (see maskbeam --help)")
    own = name[2:].replace("-", "_")
    return f"--{own}{equals}{value}" if name.startswith("--") and own in KNOWN else word


def _words_of(path: str, typed: Sequence[str]) -> list[str]:
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(_MAX_FLAGS + 1)
        if len(text) > _MAX_FLAGS:
            raise RunError(f"@{path} holds over {_MAX_FLAGS:,} characters; it stands for a file that holds flags")
        matches = ((line, _COMMENT.fullmatch(line)) for line in text.splitlines())
        lines = [match[1] if match else line for line, match in matches]
        return [word for line in _lines_for(lines, typed, path) for word in shlex.split(line)]
    except OSError as error:
        raise RunError(f"@{path}: {error.strerror}; it stands for a file that holds flags") from None
    except ValueError as error:
        raise RunError(f"@{path} cannot be read as flags: {error}") from None


def _lines_for(lines: Sequence[str], typed: Sequence[str], path: str) -> Iterator[str]:
    """The lines above the first header, which are everybody's, and those below headers of what was typed."""
    ours = True
    for line in lines:
        if header := _HEADER.fullmatch(line.strip()):
            words = header[1].split()
            if not words or words[0] not in COMMANDS:
                near = did_you_mean(words[0] if words else "", list(COMMANDS))
                raise RunError(f"@{path}: {line.strip()} names no command{near}; quote it if it is a value")
            ours = words == list(typed[: len(words)])
        elif ours:
            yield line
