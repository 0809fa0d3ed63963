"""The decoder of a job, looked after: by a watchdog in this process, or in a process of its own."""

from collections.abc import Callable

from maskbeam.pipeline.guards.child_decoder import IsolatedDecoder
from maskbeam.pipeline.guards.watched_decoder import WatchedDecoder
from maskbeam.pipeline.job.job import Job
from maskbeam.pipeline.job.steps import decode_for
from maskbeam.transforms.codecs.registry import modules_of_formats
from maskbeam.transforms.elements import EncodedImage, Image
from maskbeam.transforms.resampling.resize import is_of_tensorflow


def safe_decoder(job: Job) -> Callable[[EncodedImage], Image]:
    """`decode_for`, with a guard against decoders that hang and, with --isolate_decoding, that crash."""
    decode = decode_for(job)
    engine = ("tensorflow",) if is_of_tensorflow(job.probe.spec.resize_filter) else ()
    isolated = IsolatedDecoder(decode, (*engine, *modules_of_formats()))
    return isolated if job.options.decode.isolate else WatchedDecoder(decode, job.tree, apart=isolated)
