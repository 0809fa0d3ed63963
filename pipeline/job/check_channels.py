"""A model of many channels is refused over input that cannot have them, before every single image fails."""

from maskbeam.pipeline.inputs.containers.kinds import Kind
from maskbeam.pipeline.inputs.find_inputs import Listing
from maskbeam.pipeline.options import ReadOptions
from maskbeam.transforms.errors import RunError

# Of what a decoded image file has: transparency is dropped or laid over a colour, bands beyond colour are left out.
_OF_FILES = (1, 3)


def check_channels(channels: int, options: ReadOptions) -> None:
    """Makes sure that some input may have as many channels as the model takes; lists it only where that is in doubt.

    Raises:
        RunError: The model takes neither 1 nor 3, and there are image files only; and what `find_inputs` raises.
    """
    if channels in _OF_FILES:
        return
    count = 0
    for count, found in enumerate(Listing(options.patterns, options), 1):  # noqa: B007 - the number is used below
        if found.kind is not Kind.IMAGE:
            return
    if count:
        raise RunError(
            f"the model takes {channels} channels, but --input has image files only, and those give 1 or 3: "
            "transparency and further bands are left out. Give raw tensors in TFRecord shards "
            "(--channels_key), or use a model of 1 or 3 channels"
        )
