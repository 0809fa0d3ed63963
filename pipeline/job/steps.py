"""The functions of a job's main flow, with its options."""

from collections.abc import Callable
from functools import partial

from maskbeam.pipeline.job.job import Job
from maskbeam.pipeline.models.loading.cores import share_cores
from maskbeam.pipeline.models.loading.tf_jpeg import decode_jpeg, decode_jpeg_as_pillow
from maskbeam.transforms.codecs.codec import JpegDecoder
from maskbeam.transforms.codecs.decode import decode
from maskbeam.transforms.elements import EncodedImage, Image
from maskbeam.transforms.resampling.prepare import InputSpec
from maskbeam.transforms.resampling.resize import is_of_tensorflow

Decoder = Callable[[EncodedImage], Image]


def decode_for(job: Job) -> partial[Image]:
    """The decoder with a job's options."""
    options, spec = job.options.decode, job.probe.spec
    size = (spec.height, spec.width) if spec.height and spec.width else None
    return partial(
        decode,
        input_range=options.one_range,
        background=options.background,
        upright=options.orientation == "upright",
        max_pixels=options.max_pixels,
        fast_scale=size if options.fast_decode else None,
        jpeg_decoder=_tf_decoder(spec) if is_of_tensorflow(spec.resize_filter) else decode_jpeg_as_pillow,
    )


def _tf_decoder(spec: InputSpec) -> JpegDecoder:
    # A worker may decode before it loads the model, and TensorFlow's threads are chosen once.
    return partial(decode_jpeg, threads=share_cores(spec.pixels).threads)
