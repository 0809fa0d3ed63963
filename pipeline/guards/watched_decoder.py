"""A decoder that a watchdog looks after."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass

from maskbeam.pipeline.guards.watched_call import call_on
from maskbeam.pipeline.output.failures import is_suspect
from maskbeam.pipeline.output.tree import Tree
from maskbeam.pipeline.process.memory import ask_for
from maskbeam.pipeline.process.patience import DECODE_SECONDS, Patience, of_this_thread, queue_of
from maskbeam.pipeline.process.sentinel import DECODER
from maskbeam.pipeline.process.watchdog import watchdog
from maskbeam.pipeline.process.watched_step import Watched
from maskbeam.transforms.budget import asking
from maskbeam.transforms.elements import EncodedImage, Image


@dataclass(frozen=True)
class WatchedDecoder:
    """A decoder that may take so long and no longer.

    Attributes:
        decode: The decoder.
        tree: Where to note that it hangs.
        apart: The same in another process, for images that may have made this one hang.
    """

    decode: Callable[[EncodedImage], Image]
    tree: Tree
    apart: Callable[[EncodedImage], Image]

    def __call__(self, encoded: EncodedImage) -> Image:
        if is_suspect(self.tree, encoded.source):
            return self.apart(encoded)
        call = call_on(self.tree, DECODER, [encoded])
        with ExitStack() as watched:
            watched.enter_context(_watching_decoder(call))

            def ask(count: int) -> None:
                # Waiting for memory is no hang.
                if not ask_for(count, wait=False):
                    watched.close()
                    ask_for(count)
                    watched.enter_context(_watching_decoder(call))

            with asking(ask):
                return self.decode(encoded)


def _watching_decoder(call: Watched) -> AbstractContextManager[None]:
    return watchdog().watching(
        DECODE_SECONDS, call, Patience(DECODE_SECONDS, of_this_thread(), queue_of(threading.get_native_id()))
    )
