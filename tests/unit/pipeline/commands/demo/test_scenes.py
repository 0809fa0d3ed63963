"""The drawn scenes: repeatable, of the size asked for, and with true masks that fit what is seen."""

import numpy as np
import pytest

from maskbeam.pipeline.commands.demo.scenes import CLASSES, FOREST, WATER, draw_scene


@pytest.mark.parametrize(("height", "width"), [(64, 48), (128, 200), (130, 131)])
def test_picture_and_mask_have_the_size_asked_for(height: int, width: int) -> None:
    rgb, labels = draw_scene(3, height, width)
    assert rgb.shape == (height, width, 3)
    assert labels.shape == (height, width)
    assert rgb.dtype == labels.dtype == np.uint8
    assert labels.max() < len(CLASSES)


def test_a_seed_gives_the_same_scene_and_another_seed_another() -> None:
    first, again, other = (draw_scene(seed, 96, 96) for seed in (5, 5, 6))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


def test_every_class_occurs_in_a_handful_of_scenes() -> None:
    labels = np.stack([draw_scene(seed, 192, 192)[1] for seed in range(12)])
    shares = np.bincount(labels.ravel(), minlength=len(CLASSES)) / labels.size
    assert (shares > (0.2, 0.1, 0.04, 0.02, 0.01)).all()


def test_pixels_look_like_their_class() -> None:
    pictures, masks = zip(*(draw_scene(seed, 160, 160) for seed in range(12)), strict=True)
    rgb, labels = np.concatenate(pictures).astype(float), np.concatenate(masks)
    water, forest, others = rgb[labels == WATER], rgb[labels == FOREST], rgb[labels > FOREST + 1]
    assert water[:, 2].mean() > water[:, 0].mean() + 15
    assert forest[:, 1].mean() > forest[:, [0, 2]].mean()
    assert forest.mean() < others.mean() - 20
