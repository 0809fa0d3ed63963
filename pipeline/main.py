"""The command `maskbeam`. Heavy libraries are imported by the command that needs them, once its options are good."""

import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext

from maskbeam import __version__
from maskbeam.pipeline.cli.commands import COMMANDS
from maskbeam.pipeline.cli.help_pages import overview
from maskbeam.pipeline.cli.near_words import did_you_mean
from maskbeam.pipeline.cli.parser import Shown, parse
from maskbeam.pipeline.exit_codes import ExitCode
from maskbeam.pipeline.process.ending import run_as_process, stopping_on_signals
from maskbeam.pipeline.process.own_end import only_our_end
from maskbeam.pipeline.terminal.logs import quiet
from maskbeam.pipeline.text.wording import printable
from maskbeam.transforms.errors import RunError
from maskbeam.transforms.garbage_collection import starting_up


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command: the words given, or those of this process, which then ends with it.

    Returns:
        Its exit code, see `ExitCode`.
    """
    if argv is None:
        run_as_process(lambda: main(sys.argv[1:]))
    debug = bool(os.environ.get("MASKBEAM_DEBUG"))
    quiet(debug=debug)
    try:
        with stopping_on_signals(), only_our_end():
            return _command(list(argv))
    except Shown:
        return ExitCode.DONE
    except SystemExit as error:
        said = f"code of the model or of a library called exit({error.code!r}), which is no end of a run"
        return _say(said, ExitCode.FAILED)
    except RunError as error:
        return _say(str(error), ExitCode.WRONG)
    except Exception as error:
        if debug:
            raise
        said = f"a mistake in maskbeam: {type(error).__name__}: {error}; MASKBEAM_DEBUG=1 shows where"
        return _say(said, ExitCode.FAILED)


def _say(text: str, code: ExitCode) -> int:
    print(f"maskbeam: {printable(text)}", file=sys.stderr)  # noqa: T201 - the terminal is this module's business
    return code


def _command(argv: list[str]) -> int:
    word = argv[0] if argv else "--help"
    if word in ("-h", "--help", "help"):
        print(overview(), end="")  # noqa: T201
        return ExitCode.DONE
    if word == "--version":
        print(f"maskbeam {__version__}")  # noqa: T201
        return ExitCode.DONE
    if word not in COMMANDS:
        raise RunError(f"{word!r} is no command{did_you_mean(word, list(COMMANDS))} (see maskbeam --help)")
    command = COMMANDS[word]
    with starting_up() if command.works else nullcontext():
        given = parse(command, argv[1:])
        return command.load()(**given)


if __name__ == "__main__":
    main()
