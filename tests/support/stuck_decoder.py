"""`maskbeam run` with the numpy engine and a decoder that hangs on some images and lets no other thread run."""

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from maskbeam.pipeline.guards.child_decoder import IsolatedDecoder
from maskbeam.transforms.elements import EncodedImage, Image, Source
from tests.support.elements import decoded_image, encoded_image

# What an image that hangs has after its pixels.
STICKS = b"sticks"
# So that what hangs is ended soon.
SECONDS = 5.0
TICK_SECONDS = 0.1


@dataclass(frozen=True)
class StuckDecoder:
    """A decoder that holds the interpreter's lock for an hour."""

    decode: Callable[[EncodedImage], Image]

    def __call__(self, encoded: EncodedImage) -> Image:
        if encoded.data is not None and encoded.data.endswith(STICKS):
            ctypes.PyDLL(None).sleep(3600)
        return self.decode(encoded)


def as_it_is(encoded: EncodedImage) -> Image:
    return decoded_image(encoded.image_id, encoded.source, np.zeros((1, 1, 3), np.uint8))


def run_hurried(argv: Sequence[str]) -> int:
    """The command, in a process of its own; its exit code."""
    modules: Any = (
        import_module(f"maskbeam.pipeline.{name}")
        for name in ("guards.child_decoder", "guards.decoder", "process.watchdog", "guards.watched_decoder")
    )
    isolate, safe_decoder, watchdog, watched_decoder = modules
    from tests.support.numpy_engine import main

    # What children are forked from takes its time to start, decoding does not.
    IsolatedDecoder(as_it_is)(encoded_image("first", Source("", "")))
    decode_for = safe_decoder.decode_for
    safe_decoder.decode_for = lambda job: StuckDecoder(decode_for(job))
    watched_decoder.DECODE_SECONDS = isolate.DECODE_SECONDS = SECONDS
    watchdog.TICK_SECONDS = TICK_SECONDS
    return main(argv)
