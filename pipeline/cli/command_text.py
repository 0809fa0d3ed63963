"""The command line that gives certain options."""

import os
import shlex
from typing import Any

from maskbeam.pipeline.cli.flags import FLAGS, value_of
from maskbeam.pipeline.options import RunOptions
from maskbeam.pipeline.options.flag import Flag, plain


def run_command(options: RunOptions) -> str:
    """`maskbeam run` with the flags whose values are not their defaults, quoted for a shell."""
    words = ["maskbeam", "run"]
    for flag in (flag for group in FLAGS.values() for flag in group):
        value = value_of(options, flag)
        if value != flag.default:
            words += _words(flag, value)
    return shlex.join([*words, *options.beam])


def _words(flag: Flag, value: Any) -> list[str]:
    if value is True:
        return [f"--{flag.name}"]
    held = plain(value)
    values = [_near(each) if flag.place else str(each) for each in (held if isinstance(held, list) else [held])]
    if flag.many:
        return [f"--{flag.name}", *values]
    text = ",".join(values)
    # A value such as -1..1 would be taken for a flag.
    return [f"--{flag.name}={text}"] if text.startswith("-") else [f"--{flag.name}", text]


def _near(path: str) -> str:
    """The path from here when it lies below, as a person would type it."""
    here = f"{os.getcwd()}/"
    below = path.removeprefix(here)
    return below if below and not below.startswith(("-", "@", "gs:")) else path
