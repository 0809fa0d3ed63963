from pathlib import Path

import numpy as np
import pytest

from maskbeam.pipeline.output.blocks import Blocks, SavedBlock
from maskbeam.pipeline.output.tree import Tree
from maskbeam.transforms.argmax import Labeling
from maskbeam.transforms.elements import Labels, Origin, Source
from maskbeam.transforms.tiling.layout import Tiling


def test_only_the_blocks_that_are_asked_for_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = Tree(str(tmp_path), f"{tmp_path}/.tmp/run", "masks/{}.png", "fingerprint", "inputs")
    tiling = Tiling((8, 8), 0.25, "hann", 2, block_pixels=200)
    origin, blocks = Origin("a", Source("a.tif", "1"), (60, 20)), Blocks(tree, Labeling("logits", (0, 1)), tiling)
    layout = tiling.layout(origin.size)
    for block in layout.blocks[1:]:
        blocks.save(Labels(origin, block.region, np.ones(block.region.size, np.uint8)))
    assert sorted(blocks.saved(origin, layout)) == [block.number for block in layout.blocks[1:]]
    seen: list[int] = []
    real = Blocks._read

    def noted(self: Blocks, block: SavedBlock) -> Labels | None:
        seen.append(next(each.number for each in layout.blocks if each.region == block.region))
        return real(self, block)

    monkeypatch.setattr(Blocks, "_read", noted)
    assert len(layout.blocks) > 3
    assert sorted(blocks.saved(origin, layout, range(3))) == [1, 2]
    assert seen == [0, 1, 2]
