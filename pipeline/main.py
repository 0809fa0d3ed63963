"""The command `maskbeam`. Heavy libraries are imported by the command that needs them, once its options are good."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline.flags import EXAMPLE, Parser, add_flags, check_beam_flags, to_options
from pipeline.options import RunOptions
from pipeline.quiet import quiet
from transforms.errors import RunError

COMMANDS = """commands:
  run       segment images: masks and reports out
  inspect   look at a model and how it wants its input
  verify    check a whole output against its own records
  demo      make sample images and segment them

`maskbeam COMMAND --help` tells more."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    Returns:
        0 done; 1 the run failed; 2 wrong options or model; 3 too many images failed; 130 or 143 stopped by a signal.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    quiet(debug="MASKBEAM_DEBUG" in os.environ)
    try:
        return _command(argv)(argv[1:])
    except RunError as error:
        print(f"maskbeam: {error}", file=sys.stderr)  # noqa: T201 - the terminal is this module's business
        return 2


def _command(argv: list[str]) -> Callable[[list[str]], int]:
    commands = {"run": _run, "inspect": _inspect, "verify": _verify, "demo": _demo}
    parser = Parser(
        prog="maskbeam",
        description="Batch semantic segmentation with Keras models.",
        usage="maskbeam COMMAND [options]",
        epilog=f"{COMMANDS}\n\n{EXAMPLE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=commands, help=argparse.SUPPRESS)
    return commands[parser.parse_args(argv[:1] or ["--help"]).command]


def _parser(command: str, description: str) -> Parser:
    return Parser(
        prog=f"maskbeam {command}",
        description=description,
        usage=f"maskbeam {command} [options]",
        epilog=EXAMPLE if command == "run" else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        fromfile_prefix_chars="@",
        allow_abbrev=False,
    )


def run_options(argv: Sequence[str]) -> RunOptions:
    """The options of `maskbeam run`.

    Raises:
        RunError: A flag or a value is wrong or missing.
    """
    parser = _parser(
        "run", "Segment images. Flags of Beam (--runner, ...) go beside ours; @FILE reads flags from a file."
    )
    add_flags(parser)
    parser.add_argument("--dry_run", action="store_true", help="say what would be done, and do nothing")
    values, beam = parser.parse_known_args(argv)
    options = to_options(values, beam)
    for flag, value in (
        ("input", options.read.patterns),
        ("model", options.model.path),
        ("output", options.output.path),
    ):
        if not value:
            parser.error(f"--{flag} is missing")
    check_beam_flags(beam)
    return options


def _run(argv: list[str]) -> int:
    options = run_options(argv)
    from pipeline.run import run

    return run(options)


def _inspect(argv: list[str]) -> int:
    parser = _parser("inspect", "Look at a model: its input, its head, and which scaling fits it.")
    add_flags(parser)
    options = to_options(parser.parse_args(argv), ())
    if not options.model.path:
        parser.error("--model is missing")
    from pipeline.inspection.inspect_model import inspect

    return inspect(options)


def _verify(argv: list[str]) -> int:
    parser = _parser("verify", "Check every mask and report of an output against its records.")
    parser.add_argument("output", metavar="DIR", help="the output folder of a run")
    output = parser.parse_args(argv).output
    from pipeline.output.verify import verify

    return verify(output)


def _demo(argv: list[str]) -> int:
    parser = _parser("demo", "Make sample images and segment them with the sample model.")
    parser.add_argument("--output", default="demo", metavar="DIR", help="where everything goes [demo]")
    output = parser.parse_args(argv).output
    from pipeline.sample.demo import demo

    return demo(str(Path(output)))


if __name__ == "__main__":
    sys.exit(main())
