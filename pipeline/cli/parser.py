"""The command line: words in, typed options out. Nothing here imports numpy, Beam or TensorFlow until it must."""

import argparse
import difflib
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from maskbeam.pipeline.cli.commands import COMMANDS, Command
from maskbeam.pipeline.cli.flags import FLAGS, SECTIONS
from maskbeam.pipeline.cli.flags_file import KNOWN, expand
from maskbeam.pipeline.cli.help_pages import Shown, help_asked, page
from maskbeam.pipeline.cli.near_words import not_known
from maskbeam.pipeline.cli.places import absolute_options
from maskbeam.pipeline.options import RunOptions
from maskbeam.pipeline.options.flag import Flag
from maskbeam.transforms.errors import RunError

__all__ = ["Shown", "check_beam_flags", "parse", "run_options"]


class Parser(argparse.ArgumentParser):
    """An argparse parser of one command, whose errors are one line that ends in what to do."""

    def __init__(self, command: Command) -> None:
        super().__init__(prog=f"maskbeam {command.name}", add_help=False, allow_abbrev=False)
        if command.out:
            self.add_argument("output", type=KNOWN["output"].parse, metavar="OUT")
        for flag in command.flags:
            # What is not given the options have themselves.
            self.add_argument(f"--{flag.name}", dest=flag.name, default=argparse.SUPPRESS, **_argparse(flag))

    def error(self, message: str) -> NoReturn:
        text = re.sub(r"^argument (--?\w+): expected (one|at least one) argument$", r"\1 needs a value", message)
        raise RunError(f"{text.removeprefix('argument ')} (see {self.prog} --help)")


def _argparse(flag: Flag) -> dict[str, Any]:
    if not flag.has_value:
        return {"action": "store_true"}
    if flag.many:
        return {"metavar": flag.metavar, "type": flag.parse, "nargs": "+", "action": "extend"}
    return {"metavar": flag.metavar, "type": flag.parse, "choices": flag.choices}


def parse(command: Command, argv: Sequence[str]) -> dict[str, Any]:
    """The arguments that a command's function is called with, by name.

    Args:
        command: Whose words they are.
        argv: As typed after it.

    Raises:
        RunError: A flag or a value is wrong or missing.
        Shown: The help was asked for, and shown.
    """
    topic = help_asked(argv)
    if topic is not None:
        print(page(command, topic), end="")  # noqa: T201 - what was asked for
        raise Shown
    parser = Parser(command)
    values, unknown = parser.parse_known_args(list(expand(argv, command.name)))
    _check_unknown(command, unknown)
    given = vars(values)
    missing = [f"--{name}" for name in command.needs if not given.get(name)]
    if missing:
        parser.error(f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing")
    own = command.words if command.typed else command.flags
    called = {flag.name: given.get(flag.name, flag.default) for flag in own}
    if command.out:
        called["output"] = given["output"]
    if command.typed:
        called["options"] = _to_options(command, given, unknown)
    return called


def _check_unknown(command: Command, words: Sequence[str]) -> None:
    flags = {flag.name for flag in command.flags}
    for word in words:
        name = word.split("=")[0].removeprefix("--")
        if word.startswith("--") and name in KNOWN and name not in flags:
            raise RunError(
                f"maskbeam {command.name} does not heed --{name}, a flag of maskbeam {_takers(name)}: leave it out; "
                f"in a file of flags, have it below a header such as [run] (see maskbeam {command.name} --help)"
            )
    if command.beam:
        check_beam_flags(words)
    elif words:
        known = ["--help", *(f"--{name}" for name in flags)]
        raise RunError(f"{not_known(words[0], known)} (see maskbeam {command.name} --help)")


def _takers(name: str) -> str:
    takers = [each.name for each in COMMANDS.values() if name in {flag.name for flag in each.flags}]
    return " and ".join(filter(None, (", ".join(takers[:-1]), takers[-1])))


def _to_options(command: Command, given: dict[str, Any], beam: Sequence[str]) -> RunOptions:
    """The typed options of parsed flags, paths absolute.

    Raises:
        RunError: A path is a URI of a scheme that is not supported.
    """
    sections: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    for flag in command.of_run:
        if flag.name in given:
            section, name = flag.target.split(".")
            value = given[flag.name]
            sections[section][name] = tuple(value) if isinstance(value, list) else value
    run = sections.pop("run")
    made = {name: SECTIONS[name](**held) for name, held in sections.items()}
    return absolute_options(RunOptions(**made, beam=tuple(beam), **run))


def run_options(argv: Sequence[str]) -> RunOptions:
    """The options of `maskbeam run`.

    Raises:
        RunError: A flag or a value is wrong or missing.
    """
    options: RunOptions = parse(COMMANDS["run"], argv)["options"]
    return options


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
