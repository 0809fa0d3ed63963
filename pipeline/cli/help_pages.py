"""The pages of `--help`: the list of commands, and of each the flags that it takes, those of a run by topic."""

import argparse
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from maskbeam.pipeline.cli.commands import COMMANDS, EXAMPLE, Command
from maskbeam.pipeline.cli.flags import GROUPS
from maskbeam.pipeline.exit_codes import ExitCode
from maskbeam.pipeline.options.flag import Flag
from maskbeam.transforms.errors import RunError

_ALWAYS = ("needed", "try")
#: Topics of `maskbeam run --help TOPIC`, beside `all`.
TOPICS = tuple(group for group in GROUPS if group not in _ALWAYS)
_BESIDE = {
    "cluster": "Flags of Beam go beside ours, such as --runner=FlinkRunner,\n--flink_master=HOST:8081 and "
    "--parallelism; docs/cluster.md says which."
}
_WIDTH = 80
_INDENT = 12


class Shown(SystemExit):
    """The help was asked for, and shown."""


def help_asked(argv: Sequence[str]) -> str | None:
    """The topic of which help is asked, or nothing of it; None where nobody asks for help."""
    for word, following in pairwise([*argv, ""]):
        if word in ("-h", "--help"):
            return "" if following.startswith("-") else following
        if word.startswith("--help="):
            return word.partition("=")[2]
    return None


def overview() -> str:
    """`maskbeam --help`."""
    commands = "\n".join(f"  {command.name:<9} {command.help}" for command in COMMANDS.values())
    codes = "\n".join(f"  {code:<9} {code.meaning.partition(';')[0].replace('`', '')}" for code in ExitCode)
    return (
        "usage: maskbeam COMMAND [options]\n\nBatch semantic segmentation with Keras models.\n\n"
        f"commands:\n{commands}\n\n`maskbeam COMMAND --help` tells more; `maskbeam --version` the version.\n\n"
        f"exit codes:\n{codes}\n\n{EXAMPLE}"
    )


def page(command: Command, topic: str = "") -> str:
    """The help of a command.

    Raises:
        RunError: There is no such topic.
    """
    if command.name != "run":
        return _page(command, {"options": command.flags})
    if topic not in ("", "all", *TOPICS):
        raise RunError(f"{topic!r} is no topic of the help; choose from {', '.join((*TOPICS, 'all'))}")
    if topic == "all":
        shown = {title: _of(group, command.flags) for group, title in GROUPS.items()}
        return _page(command, shown, epilog="\n\n".join((*_BESIDE.values(), EXAMPLE)))
    if topic:
        return _page(command, {GROUPS[topic]: _of(topic, command.flags)}, epilog=_BESIDE.get(topic))
    first = [flag for flag in command.flags if flag.first]
    shown = {GROUPS[group]: _of(group, first) for group in _ALWAYS}
    shown["used most"] = [flag for topic in TOPICS for flag in _of(topic, first)]
    return _page(command, shown, epilog=f"{_further(command)}\n\n{EXAMPLE}")


def _of(group: str, flags: Iterable[Flag]) -> list[Flag]:
    return [flag for flag in flags if flag.group == group]


def _further(command: Command) -> str:
    """The names of flags that the first page does not show, by topic."""
    lines = ["more, by `maskbeam run --help TOPIC` (all: everything):"]
    for topic in TOPICS:
        named = " ".join(f"--{flag.name}" for flag in _of(topic, command.flags) if not flag.first)
        lines += textwrap.wrap(
            named or "flags of Beam",
            _WIDTH,
            initial_indent=f"  {topic:<{_INDENT - 2}}",
            subsequent_indent=" " * _INDENT,
            break_on_hyphens=False,
        )
    return "\n".join(lines)


def _page(command: Command, groups: Mapping[str, Sequence[Flag]], epilog: str | None = None) -> str:
    usage = f"maskbeam {command.name}{' OUT' if command.out else ''} [options]"
    parser = argparse.ArgumentParser(
        usage=usage, description=command.about, epilog=epilog, add_help=False, formatter_class=_Formatter
    )
    if command.out:
        parser.add_argument("output", metavar="OUT", help="folder of the output; local or gs://")
    for title, flags in groups.items():
        group = parser.add_argument_group(title)
        for flag in flags:
            short = [f"-{flag.short}"] if flag.short else []
            action = {} if flag.has_value else {"action": "store_true"}
            shown = {"metavar": f"{flag.metavar} ..." if flag.many else flag.metavar} if flag.has_value else {}
            group.add_argument(*short, f"--{flag.name}", help=_help(flag), **action, **shown)  # type: ignore[arg-type]
    return parser.format_help()


def _help(flag: Flag) -> str:
    words = f": {', '.join(flag.choices)}" if flag.choices else ""
    text, bracket, default = flag.words.partition(" [")
    return f"{text}{words}{bracket + default or _default(flag)}".replace("%", "%%")


def _default(flag: Flag) -> str:
    value = flag.default
    if value is False or value in (None, "", (), frozenset()):
        return ""
    return f" [{','.join(map(str, value)) if isinstance(value, tuple) else value}]"


class _Formatter(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if not action.option_strings:
            return super()._format_action_invocation(action)
        return " ".join(filter(None, (", ".join(action.option_strings), action.metavar)))  # type: ignore[arg-type]
