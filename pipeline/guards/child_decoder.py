"""Decoding in child processes: a decoder that crashes or hangs costs its image, and not the process.

Children are forked from a server that was started on its own and holds the decoders, so that a new child costs
milliseconds. Images go there and pixels come back through a pipe.
"""

import multiprocessing
import os
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache, partial
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from multiprocessing.forkserver import ensure_running
from typing import Any

from maskbeam.pipeline.guards.silence_child import silence, starting_silently
from maskbeam.pipeline.process.patience import DECODE_SECONDS, Patience, of_process, queue_of
from maskbeam.pipeline.process.watchdog import TICK_SECONDS
from maskbeam.transforms.budget import admit, asking
from maskbeam.transforms.elements import EncodedImage, Image
from maskbeam.transforms.errors import Code, ImageError, MaskbeamError, RunError

Decode = Callable[[EncodedImage], Image]
_TRIES = 3
# They import TensorFlow, on a machine that may have much else to do.
START_SECONDS = 300.0


@dataclass(frozen=True)
class IsolatedDecoder:
    """A decoder whose calls run in child processes.

    Attributes:
        decode: The decoder; it can be pickled.
        modules: What it imports, beside this package, that takes long: imported once, before children are forked.

    Raises (when called):
        RunError: Something keeps ending them.
        ImageError: `CRASH`, `HANG`, `OUT_OF_MEMORY` when the system killed the child, or the decoder's own.
    """

    decode: Decode
    modules: tuple[str, ...] = ()

    def __call__(self, encoded: EncodedImage) -> Image:
        for _ in range(_TRIES):
            with _children(self.modules).lent() as child, suppress(_TerminatedError):
                return child.call(self.decode, encoded)
        raise RunError("another program keeps ending the processes that decode (SIGTERM); run the same command again")


class _TerminatedError(MaskbeamError):
    """A child was told to end, as a service manager tells all processes of a service; the image has no part in it."""


@dataclass(frozen=True)
class _Wanted:
    """The memory that a child is about to use: its parent looks after the memory of all of them."""

    bytes: int


class _Child:
    """One child process, which does one call at a time."""

    def __init__(self, context: ForkServerContext) -> None:
        with starting_silently():
            # Their server imports decoders, also when it has died and is started again.
            ensure_running()
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), daemon=True, name="decoder")
        self._process.start()
        theirs.close()
        self._wait_until_ready()
        self.usable = True

    def _wait_until_ready(self) -> None:
        try:
            if answers(self._pipe.poll, START_SECONDS):
                self._pipe.recv()
                return
        except (EOFError, OSError):
            self._process.join(10)
        ended = f"ended with exit code {self._process.exitcode}" if self._process.exitcode is not None else "hang"
        self.close()
        raise RunError(f"the processes that decode {ended} before they have an image; MASKBEAM_DEBUG=1 shows why")

    def call(self, decode: Decode, encoded: EncodedImage) -> Image:
        self.usable = False
        try:
            self._pipe.send((decode, encoded))
            while isinstance(answer := self._answer(), _Wanted):
                admit(answer.bytes)
                self._pipe.send(None)
        except (EOFError, OSError):
            raise self._died() from None
        self.usable = True
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[no-any-return]

    def _answer(self) -> Any:
        child, seconds = self._process.pid or 0, DECODE_SECONDS
        patience = Patience(DECODE_SECONDS, of_process(child), queue_of(child))
        while not answers(self._pipe.poll, seconds):
            if patience.is_over():
                raise ImageError(Code.HANG, f"the decoder did not come to an end within {DECODE_SECONDS:.0f} s")
            seconds = patience.again
        return self._pipe.recv()

    def close(self) -> None:
        self._process.kill()
        self._process.join()
        self._pipe.close()

    @property
    def alive(self) -> bool:
        return self._process.is_alive()

    def _died(self) -> Exception:
        self._process.join(10)
        code = self._process.exitcode or 0
        if code == -signal.SIGTERM:
            return _TerminatedError()
        if code == -signal.SIGKILL:
            return ImageError(
                Code.OUT_OF_MEMORY, "the system ended the process that decoded the image, for its memory"
            )
        ended = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return ImageError(Code.CRASH, f"the decoder crashed ({ended})")


def answers(poll: Callable[[float], bool], seconds: float, clock: Callable[[], float] = time.monotonic) -> bool:
    """True if `poll` says so in time; time in which this process was stopped, as by Ctrl-Z, does not count."""
    while seconds > 0:
        before = clock()
        if poll(min(seconds, TICK_SECONDS)):
            return True
        seconds -= min(clock() - before, 2 * TICK_SECONDS)
    return False


class _Children:
    """Those that wait for work; no more of them than there are cores."""

    def __init__(self, modules: tuple[str, ...]) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(
            [
                "maskbeam.pipeline.guards.child_decoder",
                "maskbeam.transforms.codecs.decode",
                *modules,
            ]
        )
        self._slots = threading.Semaphore(os.cpu_count() or 1)
        self._idle: list[_Child] = []
        self._lock = threading.Lock()

    @contextmanager
    def lent(self) -> Iterator[_Child]:
        with self._slots:
            child = self._take()
            try:
                yield child
            finally:
                self._give_back(child)

    def _take(self) -> _Child:
        while True:
            with self._lock:
                child = self._idle.pop() if self._idle else None
            if child is None:
                return _Child(self._context)
            if child.alive:
                return child
            child.close()

    def _give_back(self, child: _Child) -> None:
        if not child.usable:
            child.close()
            return
        with self._lock:
            self._idle.append(child)


@cache
def _children(modules: tuple[str, ...]) -> _Children:
    return _Children(modules)


def _serve(pipe: Connection) -> None:
    # A core dump would hold the image. Signals from the terminal are the parent's business.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    silence()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pipe.send("ready")
    while True:
        try:
            decode, encoded = pipe.recv()
        except (EOFError, OSError):
            return
        with asking(partial(_ask, pipe)):
            pipe.send(_answer(decode, encoded))


def _ask(pipe: Connection, count: int) -> None:
    pipe.send(_Wanted(count))
    pipe.recv()


def _answer(decode: Decode, encoded: EncodedImage) -> Any:
    # A decoder that hangs when the parent is gone already would keep a core for ever; the system ends it.
    signal.setitimer(signal.ITIMER_PROF, 4 * DECODE_SECONDS)
    try:
        return decode(encoded)
    except ImageError as error:
        return error
    except Exception as error:
        # An exception of another kind may hold what cannot be sent, and content of the image.
        return RuntimeError(f"the decoder raised {type(error).__name__}")
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
