"""How well windows join: steps of the score across their lines, and labels that more overlap would change.

    python -m benchmarks.scenes.seams FOLDER

For each blend it tells `step`, the mean step of the score from a pixel to the next where the windows with a say in
them differ, divided by that of all other pairs, and `wrong`, the share of wrong labels, both of a model whose scores
are off by 0.3 at the left edge of its window and by -0.3 at the right one; and `changed`, the share of labels of the
sample model that differ from those of `hann` with an overlap of 0.75.
"""

import shutil
import sys
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from benchmarks.scenes.cost import tell
from maskbeam.pipeline.cli.parser import run_options
from maskbeam.pipeline.commands.demo.sample_input import SAMPLE_MODEL
from maskbeam.pipeline.commands.demo.scenes import draw_scene
from maskbeam.pipeline.run import run
from maskbeam.pipeline.terminal.logs import quiet
from maskbeam.transforms.codecs.encode import decode_mask
from maskbeam.transforms.elements import Array, LogitsBatch, ModelInput, Origin, Placement, Region, Source
from maskbeam.transforms.tiling.canvas import Canvas
from maskbeam.transforms.tiling.layout import Layout, Span, Tiling
from maskbeam.transforms.tiling.weights import BLENDS, CONSTANT, HANN

SIDE, SIZE, OFF = 128, (512, 4096), 0.3
OVERLAP, MOST = 0.25, 0.75
# Scenes that the sample model was not trained on.
_SEED, _SCENES, _SCENE = 9000, 6, (384, 512)


def cases() -> dict[str, tuple[str, float]]:
    """What is tried, by name: a blend and an overlap."""
    return {"no overlap": (CONSTANT, 0.0), **{f"{blend}, {OVERLAP}": (blend, OVERLAP) for blend in BLENDS}}


def smooth_field(size: tuple[int, int], *, seed: int = 0) -> Array:
    """Scores of about -0.5 to 0.5 that change slowly, float32 `[H, W]`: sums of waves."""
    rng, (rows, columns) = np.random.default_rng(seed), np.indices(size, dtype=np.float32)
    field = np.zeros(size, np.float32)
    for _ in range(12):
        down, across = rng.uniform(-1, 1, 2) / 60
        field += np.sin(down * rows + across * columns + rng.uniform(0, 2 * np.pi)).astype(np.float32)
    return field / 12


def blended(field: Array, layout: Layout) -> Array:
    """The scores `[H, W]` of a model that says the field, but is off at the edges of its windows."""
    span = Span(0, len(layout.blocks) - 1)
    canvas, whole = Canvas(layout, span), np.empty_like(field)
    place = (np.arange(SIDE, dtype=np.float32) + 0.5) / SIDE * 2 - 1
    origin = Origin("", Source("", ""), layout.size)
    for number, window in enumerate(layout.windows_of(span)):
        seen = field[window.top : window.top + SIDE, window.left : window.left + SIDE]
        image = ModelInput(origin, window, Placement(SIDE, SIDE, SIDE, SIDE, 0, 0, SIDE, SIDE), seen)
        none = np.zeros(1, np.int64)
        batch = LogitsBatch((image,), (seen - np.float32(OFF) * place**9)[None, ..., None], none, none)
        for rows in canvas.add(number, batch):
            sums = np.asarray(rows.scores)[..., 0]
            scores = sums if rows.weights is None else sums / rows.weights
            part = rows.region
            whole[part.top : part.top + part.height, part.left : part.left + part.width] = scores
    return whole


def at_lines(layout: Layout) -> Array:
    """Bool `[W - 1]`: pairs of columns in which not the same windows have a say."""
    apart = np.zeros(layout.size[1] - 1, np.bool_)
    for left in layout.columns:
        reach = layout.reach(Region(0, left, SIDE, SIDE))
        edges = np.array([reach.left, reach.left + reach.width]) - 1
        apart[edges[(edges >= 0) & (edges < apart.size)]] = True
    return apart


def synthetic(blend: str, overlap: float) -> dict[str, float]:
    """`step` and `wrong` of a blend."""
    layout = Tiling((SIDE, SIDE), overlap, blend, 1).layout(SIZE)
    field = smooth_field(SIZE)
    scores, lines = blended(field, layout), at_lines(layout)
    steps = abs(np.diff(scores, axis=1)).mean(axis=0)
    wrong = np.count_nonzero((scores > 0) != (field > 0)) / field.size
    return {"step": float(steps[lines].mean() / steps[~lines].mean()), "wrong": wrong}


def sample_labels(scenes: Path, output: Path, blend: str, overlap: float) -> Array:
    """The sample model's labels `[N, H, W]` of all scenes."""
    shutil.rmtree(output, ignore_errors=True)
    # The sample model takes planes of any size.
    tiled = ["--resize", "tile", "--tile_size", str(SIDE), "--tile_blend", blend, "--tile_overlap", str(overlap)]
    options = run_options(["--input", str(scenes), "--model", str(SAMPLE_MODEL), "--output", str(output), *tiled])
    if run(options):
        raise RuntimeError(f"the run with {blend} and an overlap of {overlap} failed")
    return np.stack([decode_mask(path.read_bytes()) for path in sorted((output / "masks").rglob("*.png"))])


def main(folder: Path) -> None:
    quiet()
    scenes, output = folder / "scenes", folder / "output"
    scenes.mkdir(parents=True, exist_ok=True)
    for number in range(_SCENES):
        Pillow.fromarray(draw_scene(_SEED + number, *_SCENE)[0]).save(scenes / f"{number}.png")
    best = sample_labels(scenes, output, HANN, MOST)
    said = {}
    for name, (blend, overlap) in cases().items():
        changed = np.count_nonzero(sample_labels(scenes, output, blend, overlap) != best) / best.size
        said[name] = {**synthetic(blend, overlap), "changed": changed}
    tell(**said)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
