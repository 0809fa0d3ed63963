"""Reads a finished output: masks, classes, records, products and failures; a notebook's cells begin at each `# %%`.

python examples/reading_output.py demo/result
"""

# %% An output, here or on gs://, in which a run has finished
import sys
from collections import Counter

import numpy as np

from maskbeam import FinishedOutput

output = FinishedOutput.open(sys.argv[1])
print(f"{output.root}: {'a success' if output.is_success else 'ended with too many failures'}")

# %% Its classes, and some of what it was made with
for each in output.classes.classes:
    print(f"class {each.id}: {each.name}, channel {each.channel} of the model, drawn in {each.color}")
print(f"upsampled by {output.settings['--upsample']}, products {sorted(output.products)}")

# %% Its images: all that the report says of each
images = list(output.images())
for image in images:
    print(f"{image.image_id}: {image.source.where}, {image.cells['height']} x {image.cells['width']}")

# %% A mask: the pixel is the class id
first = images[0].image_id
mask = output.mask(first)
shares = {each.name: float(np.mean(mask == each.id)) for each in output.classes.classes}
print(f"{first}: {shares}")

# %% What the mask says of itself, so that a rerun and `maskbeam verify` need nothing else
record = output.record(first)
print(f"made of the source {record.claim.place}, {record.height} x {record.width}; {record.statistics['classes']}")

# %% What else was drawn of the image
drawn = output.drawn(first)
for path, pixels in drawn.items():
    print(f"{path}: {pixels.shape} {pixels.dtype}")

# %% What could not be done, by code: docs/faults.md says what to do about each
failures = Counter(failure.code for failure in output.failed())
print(dict(failures))
