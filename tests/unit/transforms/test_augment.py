import numpy as np
import pytest

from maskbeam.transforms.augment import VIEWS, AugmentedEngine, augmented
from maskbeam.transforms.confidence import confidence
from maskbeam.transforms.elements import Array
from tests.support.tiling import PlaceEngine

PLANES = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)


def turns(plane: Array) -> list[tuple[Array, object]]:
    """All eight symmetries of a square by rotation, each with what undoes it: another way to say the same views."""
    found: list[tuple[Array, object]] = []
    for quarter in range(4):
        for mirrored in (False, True):
            seen = np.rot90(plane, quarter)
            seen = seen[:, ::-1] if mirrored else seen

            def undo(scores: Array, quarter: int = quarter, mirrored: bool = mirrored) -> Array:
                back = scores[:, ::-1] if mirrored else scores
                return np.rot90(back, -quarter)

            found.append((seen, undo))
    return found


def test_d4_is_the_mean_over_all_turns_and_mirrors() -> None:
    engine = PlaceEngine(3)
    scores = AugmentedEngine(engine, "d4", "logits")(PLANES)
    for plane, logits in zip(PLANES, scores.logits, strict=True):
        each = [undo(engine.scores(seen)) for seen, undo in turns(plane)]  # type: ignore[operator]
        assert np.allclose(logits, np.mean(each, axis=0), atol=1e-6)
    expected = confidence(np.moveaxis(scores.logits, -1, 0), kind="logits").sum(axis=(1, 2), dtype=np.int64)
    assert np.array_equal(scores.confidence, expected)


def test_flips_take_planes_that_are_not_square() -> None:
    engine, planes = PlaceEngine(2), PLANES[:, :5]
    logits = AugmentedEngine(engine, "flips", "logits")(planes).logits
    for plane, found in zip(planes, logits, strict=True):
        each = [engine.scores(plane[::down, ::across])[::down, ::across] for down in (1, -1) for across in (1, -1)]
        assert np.allclose(found, np.mean(each, axis=0), atol=1e-6)


def test_the_same_planes_give_the_same_bits() -> None:
    engine = AugmentedEngine(PlaceEngine(3), "d4", "logits")
    assert np.array_equal(engine(PLANES).logits, engine(PLANES).logits)


@pytest.mark.parametrize("kind", ["sigmoid", "multilabel", "multilabel_logits", "probabilities"])
def test_confidence_of_every_kind_of_head(kind: str) -> None:
    scores = AugmentedEngine(PlaceEngine(1 if kind == "sigmoid" else 3), "flips", kind)(PLANES)
    assert (scores.confidence > 0).all()
    assert (scores.confidence <= 65535 * 64).all()


def test_no_views_is_the_engine_itself() -> None:
    assert augmented(PlaceEngine, "none", "logits") is PlaceEngine  # type: ignore[arg-type, comparison-overlap]
    assert len(set(VIEWS["d4"])) == 8
