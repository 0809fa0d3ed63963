"""`maskbeam run` over scenes of many small blocks, with the engine of plain numpy, as a command of its own."""

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from maskbeam.pipeline.job import job as job_module
from maskbeam.transforms.tiling.layout import Tiling
from tests.support.numpy_engine import command, main
from tests.support.rasters import planes, write_raster

#: Blocks of about 700 pixels, in columns of at least 4 strides: 81 in a scene of 200 x 260.
SmallBlocks = partial(Tiling, block_pixels=700, sums_bytes=4000)
FLAGS = ("--nodata", "0", "--products", "color,confidence,overlay")


def draw_scenes(folder: Path, count: int, size: tuple[int, int]) -> Path:
    """Scenes of three bands of chance, without data in a corner."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        data = planes(3, *size, seed=number)
        data[:, : size[0] // 3, : size[1] // 4] = 0
        write_raster(folder / f"scene-{number}.tif", data)
    return folder


def command_of(inputs: Path, output: str, *flags: str) -> list[str]:
    """The command line of a run over them."""
    return command(str(inputs), output, *FLAGS, *flags)


def main_in_small_blocks(argv: Sequence[str]) -> int:
    """The command, whose images are divided into small blocks: workers are sent the division."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job_module, "Tiling", SmallBlocks)
        return main(argv)


if __name__ == "__main__":
    sys.exit(main_in_small_blocks(sys.argv[1:]))
