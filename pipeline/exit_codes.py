"""The exit codes of all commands, and what each means: the table in README and `maskbeam --help` are made of this."""

from enum import IntEnum


class ExitCode(IntEnum):
    """The end of a command; `meaning` says it in words."""

    meaning: str

    def __new__(cls, code: int, meaning: str) -> "ExitCode":
        """A member with its meaning."""
        made = int.__new__(cls, code)
        made._value_ = code
        made.meaning = meaning
        return made

    DONE = 0, "done; if images failed, they are within `--max_failures`, by default 0.1%"
    FAILED = 1, "the run failed, or the model hangs; `verify` found a difference"
    WRONG = 2, "wrong options, model, class table or input; nothing was done"
    TOO_MANY = (
        3,
        "too many images failed, a shard could not be read to its end, `--fail_on_degenerate`, or `--require`; all "
        "else is written, unless `--stop_after_failures` ended the run, but there is no `_SUCCESS`",
    )
    INTERRUPTED = 130, "stopped by Ctrl-C"
    TERMINATED = 143, "stopped by SIGTERM"
