"""The GPU of this machine, found without loading TensorFlow where there cannot be one."""

import sys
from glob import glob

from maskbeam.pipeline.models.loading.tensorflow_start import start_tensorflow

# Of NVIDIA's cards and its boards, of AMD, and of any below Windows.
GPU_DEVICES = ("/dev/nvidia*", "/dev/nvhost*", "/dev/kfd", "/dev/dxg")


def has_gpu() -> bool:
    """True if TensorFlow would find a GPU here; it is loaded only where one could be."""
    # It takes seconds to load, and on Linux there is no GPU without one of these.
    if sys.platform == "linux" and not any(glob(pattern) for pattern in GPU_DEVICES):
        return False
    return bool(start_tensorflow().config.list_physical_devices("GPU"))
