"""Starts TensorFlow once per process: without its banner on the console, and sharing the GPUs' memory."""

import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any

from maskbeam.pipeline.process.streams import errors_lock
from maskbeam.transforms.errors import RunError

# Written by C++ before TensorFlow reads any setting about logging, so they can only be filtered on their way.
_BANNER = re.compile(
    rb"WARNING: All log messages before absl|To enable the following instructions|[IW]\d{4} \d\d:\d\d"
    rb"|I\d{4} |W\d{4} |E\d{4} .*(cuInit|Unable to register)|\d{4}-\d\d-\d\d .*: [IW] "
)


def start_tensorflow(*, threads: int = 0) -> Any:
    """Imports TensorFlow, and lets it take GPU memory as it needs it; call it before any other use of TensorFlow.

    Args:
        threads: That one operation may use where there is no GPU, if TensorFlow has not computed anything yet; 0
            leaves that to TensorFlow.

    Returns:
        The module `tensorflow`.
    """
    # Of several threads one starts it, because meanwhile the error stream is another one.
    with errors_lock:
        tf = _start()
        if threads and not tf.config.list_physical_devices("GPU"):
            with suppress(RuntimeError):  # It computes already, and its threads cannot be changed any more.
                tf.config.threading.set_intra_op_parallelism_threads(threads)
    return tf


@cache
def _start() -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with _without_banner():
        import tensorflow as tf

        tf.get_logger().setLevel("ERROR")
        for gpu in tf.config.list_physical_devices("GPU"):
            _grow_memory(tf, gpu)
    return tf


def _grow_memory(tf: Any, gpu: Any) -> None:
    try:
        tf.config.experimental.set_memory_growth(gpu, True)
    except RuntimeError:
        return  # Already in use in this process; how it takes memory cannot be changed any more.


def check_devices(*, gpu: bool) -> tuple[str, ...]:
    """Names of the devices that TensorFlow computes on.

    Raises:
        RunError: `gpu` is asked for and there is none.
    """
    tf = start_tensorflow()
    gpus = tuple(device.name for device in tf.config.list_physical_devices("GPU"))
    if gpu and not gpus:
        built = "" if tf.test.is_built_with_cuda() else " This TensorFlow was built without GPU support."
        raise RunError(
            f"A GPU was asked for, but TensorFlow {tf.__version__} finds none on this machine.{built} "
            "Install its driver and tensorflow[and-cuda], or leave the device to be chosen."
        )
    return gpus or ("CPU",)


@contextmanager
def _without_banner() -> Iterator[None]:
    """Everything that the process writes to its error stream still arrives there, but TensorFlow's banner."""
    try:
        sys.stderr.flush()
        real = os.dup(2)
    except (OSError, ValueError, AttributeError):
        yield  # No error stream, nothing to keep clean.
        return
    read_end, write_end = os.pipe()
    os.dup2(write_end, 2)
    os.close(write_end)
    filtering = threading.Thread(target=_forward, args=(read_end, real), daemon=True)
    filtering.start()
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(real, 2)
        # A process started meanwhile may hold the pipe open; the thread then ends with it.
        filtering.join(timeout=5)


def _forward(read_end: int, real: int) -> None:
    with os.fdopen(read_end, "rb") as lines, os.fdopen(real, "wb", buffering=0) as stream:
        for line in lines:
            if not _BANNER.match(line):
                stream.write(line)
