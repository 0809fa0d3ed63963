"""A model of many channels is refused over input that cannot have them, before every single image fails."""

from maskbeam.pipeline.inputs.containers.kinds import Kind
from maskbeam.pipeline.inputs.find_inputs import Listing
from maskbeam.pipeline.options import ReadOptions
from maskbeam.transforms.codecs.registry import channels_by_name, channels_of_all
from maskbeam.transforms.errors import RunError


def check_channels(channels: int, options: ReadOptions) -> None:
    """Makes sure that some input may have as many channels as the model takes; lists it only where that is in doubt.

    Raises:
        RunError: No image file may have them, and there are image files only; and what `find_inputs` raises.
    """
    if channels in channels_of_all():
        return
    given: set[int] = set()
    for found in Listing(options.patterns, options):
        of_this = channels_by_name(found.entry.uri)
        if found.kind is not Kind.IMAGE or found.entry.bands or channels in of_this:
            return
        given |= of_this
    if given:
        numbers = " or ".join(map(str, sorted(given)))
        raise RunError(
            f"the model takes {channels} channels, but --input has image files only, and those give {numbers}: "
            "transparency and further bands are left out. Give raw tensors in TFRecord shards "
            f"(--channels_key), or use a model of {numbers} channels; if bands are files of their own, name them in "
            "braces, and put the pattern in quotes: '*_{B04,B03}.tif'"
        )
