"""What the system's errors on local files mean for an image, or for the run."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.storage import Denied, NotFound, Unavailable, folder_of
from transforms.errors import ImageError, RunError

_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)
_FULL = (errno.ENOSPC, errno.EDQUOT)
_BAD_NAME = (errno.ENAMETOOLONG, errno.EILSEQ)
# A sector that cannot be read is the fault of one file; so are a socket and a link to itself.
_NO_SUCH_FILE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.EIO, *_BAD_NAME)


@contextmanager
def reading(uri: str) -> Iterator[None]:
    """Turns the system's errors about one file into `NotFound`, all others into `RunError`."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_SUCH_FILE:
            raise NotFound(f"the file cannot be read: {error.strerror}") from None
        raise _run_error(error, folder_of(uri)) from None
    except ValueError:
        raise NotFound("no file can have this name") from None


@contextmanager
def writing(uri: str) -> Iterator[None]:
    """Turns the system's errors about a name into `ImageError` (`BAD_ID`), all others into `RunError`."""
    try:
        yield
    except OSError as error:
        if error.errno in _BAD_NAME:
            reason = f"the file system of the output refuses the image's name: {error.strerror}; set --id_root"
            raise ImageError("BAD_ID", reason) from None
        raise _run_error(error, folder_of(uri)) from None


def _run_error(error: OSError, folder: str) -> RunError:
    if error.errno in _REFUSED:
        return Denied(f"No access to {folder}: {error.strerror}; give this user the right, or choose another folder")
    if error.errno in _FULL:
        return RunError(f"No space left for {folder}: free some and run the same command again; what is done is kept")
    if error.errno == errno.EXDEV:
        return RunError(f"{folder} lies on another file system than the output's .tmp folder; have both on one")
    if error.errno == errno.ENOENT:
        return RunError(f"A file on its way to {folder} vanished; does another run use the same output?")
    return Unavailable(f"The file system failed at {folder}: {error.strerror}; run the same command again")
