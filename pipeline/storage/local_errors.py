"""The meaning of the system's errors on local files: try again, or the fault of one image, or the end of the run."""

import errno
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from maskbeam.pipeline.storage import Denied, NotFound, Unavailable, Unreadable
from maskbeam.transforms.errors import Code, ImageError, RunError

REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)
_FULL = (errno.ENOSPC, errno.EDQUOT)
_BAD_NAME = (errno.ENAMETOOLONG, errno.EILSEQ)
_BLOCKED = (errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP)
# A sector that cannot be read is the fault of one file; so are a socket and a link to itself.
_NO_SUCH_FILE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.EIO, *_BAD_NAME)
_NO_SUCH_FOLDER = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, *_BAD_NAME)
# What every other file would answer, too: this process has no room, or a whole mount is away.
_OF_ALL_FILES = (
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
    errno.ENOTCONN,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.ENETDOWN,
    errno.ENETUNREACH,
    errno.ECONNREFUSED,
)
# Network and FUSE mounts answer so for a moment: a server that restarts, a handle that it has forgotten.
_PASSING = (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN)
# Seconds between tries: half a second in all, for a bad sector fails five times and must not hold up a run.
PAUSES = (0.02, 0.05, 0.1, 0.3)

T = TypeVar("T")


def insist(action: Callable[[], T]) -> T:
    """Does what may fail for a moment, up to five times; other errors, and the last one, are raised as they are.

    Args:
        action: May be done again after it was half done.
    """
    for seconds in PAUSES:
        try:
            return action()
        except OSError as error:
            if error.errno not in _PASSING:
                raise
        time.sleep(seconds)
    return action()


@contextmanager
def reading(place: str) -> Iterator[None]:
    """Turns the system's errors about one file into `NotFound` and `Unreadable`, all others into `RunError`.

    Messages name `place`, here and below, and never a file.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _NO_SUCH_FILE or _is_bad_name(error):
            raise NotFound(f"the file cannot be read: {error.strerror}") from None
        raise _reading_error(error, place) from None
    except ValueError:
        raise NotFound("no file can have this name") from None


@contextmanager
def listing(named: str, *, below: bool = False) -> Iterator[None]:
    """Turns the system's errors about a folder that is not there into `NotFound`, all others into `RunError`.

    A folder that is there and cannot be listed is no empty folder: its images would be lost without a word.

    Args:
        named: The folder that the user named, for messages.
        below: Whether it is one below that: it may be called after a patient, and messages do not name it.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _NO_SUCH_FOLDER:
            raise NotFound(f"the folder cannot be listed: {error.strerror}") from None
        if below and error.errno in REFUSED:
            raise _refused_below(error, named) from None
        raise _run_error(error, f"a folder below {named}" if below else named) from None
    except ValueError:
        raise NotFound("no folder can have this name") from None


@contextmanager
def writing(place: str) -> Iterator[None]:
    """Turns the system's errors about a name, or what bears it, into `ImageError`, all others into `RunError`."""
    try:
        yield
    except OSError as error:
        if _is_bad_name(error):
            reason = f"the file system of the output refuses the image's name: {error.strerror}; set --id_root"
            raise ImageError(Code.BAD_ID, reason) from None
        if error.errno in _BLOCKED:
            what = "a file lies where one of its outputs needs a folder, or the other way round"
            raise ImageError(Code.OUTPUT_BLOCKED, f"{what}; remove it, and run again") from None
        raise _run_error(error, place) from None


def refused(error: OSError, folder: str) -> Denied:
    """The message for a user who may not do what he asks for."""
    return Denied(f"No access to {folder}: {error.strerror}; give this user the right, or choose another folder")


def _refused_below(error: OSError, named: str) -> Denied:
    return Denied(
        f"No access to a folder below {named}: {error.strerror}; give this user the right, or choose another folder. "
        f"This shows which: find {shlex.quote(named)} -type d ! -readable"
    )


def _is_bad_name(error: OSError) -> bool:
    # FAT, NTFS and SMB answer EINVAL to a name with a colon, say. Of a file that is open no name is at fault.
    return error.errno in _BAD_NAME or (error.errno == errno.EINVAL and isinstance(error.filename, str | bytes))


def _reading_error(error: OSError, folder: str) -> RunError:
    if error.errno in _OF_ALL_FILES:
        return _run_error(error, folder)
    if error.errno in REFUSED:
        return Unreadable(f"No access to a file in {folder}: {error.strerror}; give this user the right to read it")
    if error.errno == errno.EINVAL:
        return Unreadable(f"A file in {folder} is none that can be read to its end; name another one")
    return Unreadable(f"The file system failed at a file in {folder}: {error.strerror}; run the same command again")


def _run_error(error: OSError, folder: str) -> RunError:
    if error.errno in REFUSED:
        return refused(error, folder)
    if error.errno in _FULL:
        return RunError(f"No space left for {folder}: free some and run the same command again; what is done is kept")
    if error.errno == errno.EXDEV:
        return RunError(f"{folder} lies on another file system than the output's .tmp folder; have both on one")
    if error.errno == errno.ENOENT:
        return RunError(f"A file on its way to {folder} vanished; does another run use the same output?")
    return Unavailable(f"The file system failed at {folder}: {error.strerror}; run the same command again")
