"""The command `maskbeam`. Heavy libraries are imported by the command that needs them, once its options are good."""

import os
import sys
from collections.abc import Callable, Sequence

from maskbeam import __version__
from maskbeam.pipeline.cli.flags import ALL
from maskbeam.pipeline.cli.parser import (
    EXAMPLE,
    Parser,
    Shown,
    add_flags,
    check_beam_flags,
    did_you_mean,
    expand,
    run_options,
    to_options,
)
from maskbeam.pipeline.options.values import filled
from maskbeam.pipeline.process.ending import run_as_process, stopping_on_signals
from maskbeam.pipeline.process.own_end import only_our_end
from maskbeam.pipeline.terminal.logs import quiet
from maskbeam.pipeline.text.wording import printable
from maskbeam.transforms.errors import RunError
from maskbeam.transforms.garbage import starting_up

ABOUT_MERGE = """Report on an output whose parts (maskbeam run --part I/N) are all done.
Their options are kept in it, but not whose code may run here: --trust_model, with --model and
--custom_objects, is typed again, and so are flags of Beam."""
ABOUT_CLEAN = """List the masks of inputs that the last run no longer found, and remove them with their products.
Without --yes it asks at a terminal, and elsewhere only lists."""
HELP = f"""usage: maskbeam COMMAND [options]

Batch semantic segmentation with Keras models.

commands:
  run       segment images: masks and reports out
  inspect   look at a model and how it wants its input
  merge     report on an output that was made in parts
  verify    check a whole output against its own records
  clean     list or remove the masks of inputs that are gone
  demo      make sample images and segment them

`maskbeam COMMAND --help` tells more; `maskbeam --version` the version.

{EXAMPLE}"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command: the words given, or those of this process, which then ends with it.

    Returns:
        0 done; 1 the run failed; 2 wrong options or model; 3 too many images failed; 130 or 143 stopped by a signal.
    """
    if argv is None:
        run_as_process(lambda: main(sys.argv[1:]))
    debug = bool(os.environ.get("MASKBEAM_DEBUG"))
    quiet(debug=debug)
    try:
        with stopping_on_signals(), only_our_end():
            return _command(list(argv))
    except Shown:
        return 0
    except SystemExit as error:
        return _say(f"code of the model or of a library called exit({error.code!r}), which is no end of a run", 1)
    except RunError as error:
        return _say(str(error), 2)
    except Exception as error:
        if debug:
            raise
        return _say(f"a mistake in maskbeam: {type(error).__name__}: {error}; MASKBEAM_DEBUG=1 shows where", 1)


def _say(text: str, code: int) -> int:
    print(f"maskbeam: {printable(text)}", file=sys.stderr)  # noqa: T201 - the terminal is this module's business
    return code


def _command(argv: list[str]) -> int:
    commands: dict[str, Callable[[list[str]], int]] = {
        "run": _run,
        "inspect": _inspect,
        "merge": _merge,
        "verify": _verify,
        "clean": _clean,
        "demo": _demo,
    }
    word = argv[0] if argv else "--help"
    if word in ("-h", "--help", "help"):
        print(HELP, end="")  # noqa: T201
        return 0
    if word == "--version":
        print(f"maskbeam {__version__}")  # noqa: T201
        return 0
    if word not in commands:
        raise RunError(f"{word!r} is no command{did_you_mean(word, list(commands))} (see maskbeam --help)")
    return commands[word](argv[1:])


@starting_up()
def _run(argv: list[str]) -> int:
    options = run_options(argv)
    from maskbeam.pipeline.run import run

    return run(options)


def _inspect(argv: list[str]) -> int:
    parser = Parser("maskbeam inspect", "Look at a model: its input, its head, and which scaling fits it.")
    add_flags(parser)
    options = to_options(parser.parse(argv), ())
    if not options.model.path:
        parser.error("--model is missing")
    from maskbeam.pipeline.commands.inspect.inspect_model import inspect

    return inspect(options)


@starting_up()
def _merge(argv: list[str]) -> int:
    parser = Parser("maskbeam merge", ABOUT_MERGE)
    parser.add_argument("output", type=filled, metavar="DIR", help="the output folder of the parts")
    add_flags(parser, [flag.name for flag in ALL if "merge" in flag.also])
    values, beam = parser.parse_known_args(list(expand(argv)))
    check_beam_flags(beam)
    from maskbeam.pipeline.commands.merge import merge

    return merge(values.output, to_options(values, beam))


def _verify(argv: list[str]) -> int:
    parser = Parser("maskbeam verify", "Check every mask and report of an output against its records.")
    parser.add_argument("output", type=filled, metavar="DIR", help="the output folder of a run")
    output = parser.parse(argv).output
    from maskbeam.pipeline.verify.verify import verify

    return verify(output)


def _clean(argv: list[str]) -> int:
    parser = Parser("maskbeam clean", ABOUT_CLEAN)
    parser.add_argument("output", type=filled, metavar="DIR", help="the output folder of a run")
    parser.add_argument("--yes", action="store_true", help="remove them, and ask nothing")
    parser.add_argument("--all_inputs", action="store_true", help="also masks that other commands' --input made")
    values = parser.parse(argv)
    from maskbeam.pipeline.commands.clean import ask_at_terminal, clean

    return clean(values.output, yes=values.yes, all_inputs=values.all_inputs, ask=ask_at_terminal())


@starting_up()
def _demo(argv: list[str]) -> int:
    parser = Parser("maskbeam demo", "Make sample images and segment them with the sample model.")
    parser.add_argument("--output", type=filled, default="demo", metavar="DIR", help="where everything goes [demo]")
    output = parser.parse(argv).output
    from maskbeam.pipeline.commands.demo.demo import demo

    return demo(output, run=main)


if __name__ == "__main__":
    main()
