"""The reading of rasters, looked after by a watchdog: a library that hangs in it costs its image, and not the run."""

import threading
from contextlib import AbstractContextManager
from dataclasses import dataclass

from maskbeam.pipeline.guards.watched_call import call_on
from maskbeam.pipeline.output.tree import Tree
from maskbeam.pipeline.process.patience import DECODE_SECONDS, Patience, of_this_thread, queue_of
from maskbeam.pipeline.process.watchdog import watchdog
from maskbeam.pipeline.storage import is_gcs
from maskbeam.transforms.elements import EncodedImage, Origin

# What waits for a network ends by its own limits: so long, at most, takes a request that is tried again and again.
FAR_SECONDS = 900.0


@dataclass(frozen=True)
class WatchedReads:
    """Watches the calls that open a raster or read of it, each in the thread that makes it.

    Attributes:
        tree: Where to note that one hangs.
    """

    tree: Tree

    def __call__(self, origin: Origin) -> AbstractContextManager[None]:
        """A context for one call on the files of an image."""
        seconds = FAR_SECONDS if is_gcs(origin.source.where) else DECODE_SECONDS
        patience = Patience(seconds, of_this_thread(), queue_of(threading.get_native_id()))
        return watchdog().watching(seconds, call_on(self.tree, "reader", [EncodedImage(origin)]), patience)
