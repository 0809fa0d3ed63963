"""Checks that runners share: what can be known to be wrong before work starts."""

import socket

from maskbeam.pipeline.inputs.anonymous import KEY_VARIABLE, naming
from maskbeam.pipeline.options import RunOptions
from maskbeam.pipeline.storage import is_gcs
from maskbeam.transforms.errors import RunError

SECONDS = 10.0


def check_key(options: RunOptions) -> None:
    """Refuses a key that is in this process's environment alone: workers would have to be sent it.

    Raises:
        RunError: Workers elsewhere would lack the key of --anonymous_ids.
    """
    if options.output.anonymous_ids and not naming(anonymous=True).key_file:
        raise RunError(
            f"{KEY_VARIABLE} is the key itself, which workers elsewhere do not have, and which must not be in the "
            "job that is sent to them: write it into a file that only you and they can read, and say where that is: "
            f"{KEY_VARIABLE}=@/path/on/a/shared/disk or {KEY_VARIABLE}=@gs://bucket/file"
        )


def check_shared(options: RunOptions) -> None:
    """Refuses files on a disk of this machine.

    Args:
        options: With absolute paths.

    Raises:
        RunError: Workers in containers would read or write such files.
    """
    named = {"--output": options.output.path, "--model": options.model.path}
    if key_file := naming(anonymous=options.output.anonymous_ids).key_file:
        named[KEY_VARIABLE] = key_file
    local = [(flag, path) for flag, path in named.items() if not is_gcs(path)]
    local += [("--input", pattern) for pattern in options.read.patterns if not is_gcs(pattern)]
    for flag, path in local:
        raise RunError(
            f"{flag} {path} is on a disk of this machine, which workers in containers (--environment_type=DOCKER, "
            "the default) do not see: use gs://, or workers that share the disk with --environment_type=EXTERNAL "
            "or PROCESS"
        )


def check_answers(flag: str, address: str, who: str, remedy: str) -> None:
    """Makes sure that somebody answers at an address.

    Args:
        flag: The flag that gave it.
        address: As `HOST:PORT`.
        who: Who should be there.
        remedy: What to do where nobody is.

    Raises:
        RunError: Nobody answers, or it is no address.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise RunError(f"{flag} {address} is not an address such as localhost:8099")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=SECONDS).close()
    except OSError as error:
        raise RunError(
            f"{flag} {address}: {who} does not answer there ({error.strerror or error}); {remedy}"
        ) from None
