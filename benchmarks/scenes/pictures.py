"""The inputs: pictures of any size as seen from the air, and the model, made when first asked for and kept."""

from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from maskbeam.pipeline.commands.demo.scenes import draw_scene
from maskbeam.transforms.elements import Array

SIZE, CLASSES = 128, 5
# Drawing costs a tenth of a second each; so many of them, mirrored and in a new order, fill any picture.
_PIECES, _SIDE = 24, 512


class Pictures:
    """The inputs below `folder`; only `picture` and `read` know their kind, so that rasters can take over."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def picture(self, side: int) -> Path:
        """A picture of `side` x `side` pixels; what `--input` takes."""
        # Not compressed: decoders of JPEG differ, and then so do labels.
        path = self._folder / f"{side}.tif"
        if not path.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            Pillow.fromarray(draw_picture(side)).save(path)
        return path

    def model(self) -> Path:
        """The tutorial's U-Net of 128 x 128, its three classes mixed into five."""
        path = self._folder / f"unet-{SIZE}-{CLASSES}.keras"
        if not path.exists():
            from benchmarks.unet import enlarged, train_unet

            self._folder.mkdir(parents=True, exist_ok=True)
            enlarged(train_unet(), SIZE, CLASSES).save(path)
        return path


def read(path: Path) -> Array:
    """The pixels uint8 `[H, W, C]` of a picture."""
    Pillow.MAX_IMAGE_PIXELS = None
    with Pillow.open(path) as picture:
        return np.asarray(picture)


def draw_picture(side: int, *, seed: int = 0) -> Array:
    """Drawn scenes side by side, uint8 `[side, side, 3]`."""
    rng = np.random.default_rng(seed)
    pieces = [draw_scene(seed + number, _SIDE, _SIDE)[0] for number in range(_PIECES)]
    picture = np.empty((side, side, 3), np.uint8)
    for top in range(0, side, _SIDE):
        for left in range(0, side, _SIDE):
            place = picture[top : top + _SIDE, left : left + _SIDE]
            piece = pieces[rng.integers(_PIECES)][:: rng.choice((-1, 1)), :: rng.choice((-1, 1))]
            place[:] = piece[: place.shape[0], : place.shape[1]]
    return picture
