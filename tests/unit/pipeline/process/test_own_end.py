"""An end of the process that maskbeam did not make is never a success."""

import signal
import subprocess
import sys

import pytest

CODE = """
import ctypes, sys, threading
from maskbeam.pipeline.process.own_end import notice_first, only_our_end
stop = ctypes.CDLL(None).exit
with only_our_end():
    {inside}
print("on")
{after}
"""


def ended(inside: str, after: str = "") -> tuple[int, str]:
    code = CODE.format(inside=inside, after=after)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ("no success" in done.stderr) == (done.returncode == 1)
    return done.returncode, done.stdout


@pytest.mark.parametrize("inside", ["stop(0)", "t = threading.Thread(target=stop, args=(0,)); t.start(); t.join()"])
def test_an_end_in_the_middle_is_a_failure(inside: str) -> None:
    assert ended(inside) == (1, "")


def test_our_own_ends_keep_their_codes() -> None:
    assert ended("pass") == (0, "on\n")
    assert ended("sys.exit(3)") == (3, "")
    assert ended("pass", "sys.stdout.flush(); stop(5)") == (5, "on\n")


def test_an_end_is_noticed_before_what_libraries_have_registered() -> None:
    later = "libc = ctypes.CDLL(None); libc.__cxa_atexit(libc.abort, None, None)"
    assert ended(f"{later}; stop(0)")[0] == -signal.SIGABRT
    assert ended(f"{later}; notice_first(); stop(0)") == (1, "")
