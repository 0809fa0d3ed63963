"""The core needs neither rasterio nor pyproj: what works with them is imported, and they are not."""

import subprocess
import sys

import numpy as np

from maskbeam.transforms.codecs.geotiff import GEOTIFF

MODULES = (
    "maskbeam.pipeline.output.geotiff.cog",
    "maskbeam.pipeline.output.look_up",
    "maskbeam.pipeline.storage.local_storage",
    "maskbeam.transforms.codecs.registry",
    "maskbeam.transforms.geo.aoi",
    "maskbeam.transforms.geo.geojson",
    "maskbeam.transforms.geo.area",
    "maskbeam.transforms.geo.footprint",
)
CODE = """
import importlib, sys
sys.modules.update(rasterio=None, pyproj=None)  # to import them is an error
for name in sys.argv[1:]:
    importlib.import_module(name)
from maskbeam.transforms.codecs.encode import is_whole, read_text
data = sys.stdin.buffer.read()
assert read_text(data) == {"maskbeam": "said"} and is_whole(data) and not is_whole(data[:-1])
"""


def test_modules_are_imported_and_text_is_read_without_them() -> None:
    data = GEOTIFF.encode(np.zeros((600, 600), np.uint8), text={"maskbeam": "said"})
    subprocess.run([sys.executable, "-c", CODE, *MODULES], input=data, check=True, capture_output=True)
