"""The command line: words in, typed options out. Nothing here imports numpy, Beam or TensorFlow until it must."""

import argparse
import difflib
import re
import shlex
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from maskbeam.pipeline.cli.flags import FLAGS, SECTIONS
from maskbeam.pipeline.cli.places import absolute_options
from maskbeam.pipeline.options import RunOptions
from maskbeam.pipeline.options.flag import Flag
from maskbeam.transforms.errors import RunError

EXAMPLE = """example:
  maskbeam run --input 'scenes/*.tfrecord' --model unet.keras --classes labels.csv \\
               --products color,overlay --output out
"""
ABOUT_RUN = """Segment images: masks and reports out. Run again, it does only what is missing.
Flags of Beam (--runner, ...) go beside ours. @FILE stands for the flags in a file, quoted as in a shell, comments
after #. Of a flag given twice the last one counts; of --input all."""

# A comment begins with a # that is neither quoted nor inside a word, as in a shell.
_MAX_FLAGS = 1_000_000  # characters of a flags file
_COMMENT = re.compile(r"""((?:"(?:\\.|[^"\\])*"|'[^']*'|\\.|(?<=\S)\#|[^#"'\\])*)(?:\#.*)?""")


class Shown(SystemExit):
    """The help was asked for, and shown."""


class Parser(argparse.ArgumentParser):
    """An argparse parser whose errors are one line that ends in what to do."""

    def __init__(self, prog: str, description: str, epilog: str | None = None) -> None:
        super().__init__(
            prog=prog,
            description=description,
            usage=f"{prog} [options]",
            epilog=epilog,
            formatter_class=_formatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        text = re.sub(
            r"^argument (--?\w+)(?:/--?\w+)?: expected (one|at least one) argument$", r"\1 needs a value", message
        )
        raise RunError(f"{text.removeprefix('argument ')} (see {self.prog} --help)")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        # Only --help ends here; errors are raised.
        raise Shown(status)

    def parse(self, argv: Sequence[str]) -> argparse.Namespace:
        """Parses words that must all be known.

        Raises:
            RunError: One is not known, or a value is wrong.
        """
        values, unknown = self.parse_known_args(list(expand(argv)))
        for word in unknown:
            raise RunError(f"{not_known(word, self.flags)} (see {self.prog} --help)")
        return values

    @property
    def flags(self) -> list[str]:
        """All flags, with their dashes."""
        return [option for action in self._actions for option in action.option_strings]


def _formatter(prog: str) -> argparse.HelpFormatter:
    return argparse.RawDescriptionHelpFormatter(prog, max_help_position=30)


def add_flags(parser: argparse.ArgumentParser, only: Sequence[str] | None = None) -> None:
    """Gives a parser the flags of a run, all of them or `only` those of these names."""
    for title, flags in FLAGS.items():
        group = parser if only is not None else parser.add_argument_group(title)
        for flag in (flag for flag in flags if only is None or flag.name in only):
            group.add_argument(f"--{flag.name}", dest=flag.target, **_argparse(flag))


def _argparse(flag: Flag) -> dict[str, Any]:
    if not flag.has_value:
        return {"action": "store_true", "default": False, "help": flag.help}
    words = f": {', '.join(flag.choices)}" if flag.choices else ""
    text, bracket, default = flag.help.partition(" [")
    # argparse would parse a text that is its default; the options have it themselves.
    known = {"default": flag.default or argparse.SUPPRESS, "metavar": flag.metavar}
    known["help"] = f"{text}{words}{bracket + default or _default(flag)}".replace("%", "%%")
    if flag.many:
        return {**known, "default": [], "nargs": "+", "action": "extend", "type": flag.parse}
    return {**known, "choices": flag.choices, "type": flag.parse}


def _default(flag: Flag) -> str:
    value = flag.default
    if value in (None, "", (), frozenset()):
        return ""
    return f" [{','.join(map(str, value)) if isinstance(value, tuple) else value}]"


def expand(argv: Sequence[str]) -> Iterator[str]:
    """The words of a command, flags files read, and values that look like flags (`-1..1`) bound to theirs.

    Raises:
        RunError: A flags file cannot be read.
    """
    takes_value = {f"--{flag.name}" for flags in FLAGS.values() for flag in flags if flag.has_value and not flag.many}
    words = iter([part for word in argv for part in (_words_of(word[1:]) if word[:1] == "@" else [word])])
    for word in words:
        value = next(words, None) if word in takes_value else None
        if value is not None and re.match(r"-[\d.]", value):
            yield f"{word}={value}"
        else:
            yield from (word,) if value is None else (word, value)


def _words_of(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(_MAX_FLAGS + 1)
        if len(text) > _MAX_FLAGS:
            raise RunError(f"@{path} holds over {_MAX_FLAGS:,} characters; it stands for a file that holds flags")
        matches = ((line, _COMMENT.fullmatch(line)) for line in text.splitlines())
        return [word for line, match in matches for word in shlex.split(match[1] if match else line)]
    except OSError as error:
        raise RunError(f"@{path}: {error.strerror}; it stands for a file that holds flags") from None
    except ValueError as error:
        raise RunError(f"@{path} cannot be read as flags: {error}") from None


def to_options(values: argparse.Namespace, beam: Sequence[str]) -> RunOptions:
    """The typed options of parsed flags, paths absolute.

    Raises:
        RunError: A path is a URI of a scheme that is not supported.
    """
    sections: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    for target, value in vars(values).items():
        if "." in target:
            section, name = target.split(".")
            sections[section][name] = tuple(value) if isinstance(value, list) else value
    run = sections.pop("run")
    given = {name: SECTIONS[name](**held) for name, held in sections.items()}
    return absolute_options(RunOptions(**given, beam=tuple(beam), **run))


def check_beam_flags(words: Sequence[str]) -> None:
    """Refuses a word that neither maskbeam nor Beam knows, naming the nearest flag that exists.

    Beam itself only warns of flags that it throws away.
    """
    if not words:
        return
    ours = [f"--{flag.name}" for flags in FLAGS.values() for flag in flags]
    if not words[0].startswith("-") or difflib.get_close_matches(words[0].split("=")[0], ours, cutoff=0.9):
        # Told before Beam is imported, which takes a second.
        raise RunError(f"{not_known(words[0], ours)} (see maskbeam run --help)")
    from apache_beam.options.pipeline_options import PipelineOptions

    # Runners may have flags of their own that Beam's Python does not know.
    import maskbeam.pipeline.runners.registry  # noqa: F401

    parser = argparse.ArgumentParser(allow_abbrev=False, add_help=False, conflict_handler="resolve")
    parser.error = _refuse  # type: ignore[method-assign]
    for kind in _all_subclasses(PipelineOptions):
        kind._add_argparse_args(parser)
    known_words, unknown = parser.parse_known_args(list(words))
    for word in unknown:
        known = [option for action in parser._actions for option in action.option_strings]
        raise RunError(f"{not_known(word, [*ours, *known])} (see maskbeam run --help)")
    _check_runner(known_words.runner, words)


def _check_runner(name: str | None, words: Sequence[str]) -> None:
    from apache_beam.runners.runner import create_runner

    from maskbeam.pipeline.runners.registry import runner_of

    try:
        create_runner(runner_of(words).beam_class or str(name))
    except Exception as error:
        raise RunError(f"--runner {name}: {str(error) or type(error).__name__}") from error


def _refuse(message: str) -> NoReturn:
    raise RunError(f"{message.removeprefix('argument ')} (a flag of Beam; see maskbeam run --help)")


def _all_subclasses(kind: Any) -> list[Any]:
    return [deeper for child in kind.__subclasses__() for deeper in (child, *_all_subclasses(child))]


def not_known(word: str, known: Sequence[str]) -> str:
    """What is wrong with a word that means nothing here."""
    if not word.startswith("-"):
        return f"{word!r} belongs to no flag; patterns go after --input, in quotes if they hold wildcards"
    return f"unknown flag {word}{did_you_mean(word.split('=')[0], known)}"


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """`; did you mean X?`, or nothing."""
    nearest = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"; did you mean {nearest[0]}?" if nearest else ""


def run_options(argv: Sequence[str]) -> RunOptions:
    """The options of `maskbeam run`.

    Raises:
        RunError: A flag or a value is wrong or missing.
    """
    parser = Parser("maskbeam run", ABOUT_RUN, EXAMPLE)
    add_flags(parser)
    values, beam = parser.parse_known_args(list(expand(argv)))
    check_beam_flags(beam)
    missing = [f"--{flag.name}" for flag in FLAGS["needed"] if not getattr(values, flag.target, None)]
    if missing:
        parser.error(f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing")
    return to_options(values, beam)
