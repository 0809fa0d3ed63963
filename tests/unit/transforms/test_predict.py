import threading
from dataclasses import replace

import numpy as np
import pytest
from apache_beam import Create, Map
from apache_beam.testing.util import assert_that, equal_to

from maskbeam.transforms import predict as predict_module
from maskbeam.transforms.elements import (
    Array,
    FailedWindow,
    Failure,
    LogitsBatch,
    ModelInput,
    Placement,
    Source,
    Window,
)
from maskbeam.transforms.errors import RunError
from maskbeam.transforms.predict import BATCHES_WAITING, UNGUARDED, Predict, Predicted, Scores, predict
from tests.support.elements import made_input
from tests.support.graph import local_pipeline


def model_input(name: str, value: int, size: int = 2) -> ModelInput:
    placement = Placement(size, size, size, size, 0, 0, size, size)
    return made_input(name, Source(f"{name}.png", "1"), placement, np.full((size, size, 1), value, np.uint8))


class FakeEngine:
    """Answers with the plane itself as logits; fails as told."""

    def __init__(self, *, batch_size: int = 4, poison: int = -1, room: int = 1000) -> None:
        self.batch_size, self.poison, self.room = batch_size, poison, room
        self.calls: list[int] = []

    def __call__(self, planes: Array) -> Scores:
        self.calls.append(len(planes))
        if len(planes) > self.room:
            raise MemoryError
        if (planes == self.poison).any():
            raise ValueError("secret content")
        zeros = np.zeros(len(planes), np.int64)
        return Scores(planes.astype(np.float32), zeros + planes[:, 0, 0, 0], zeros)


def names(outcome: Predicted) -> list[str]:
    return [o.images[0].image_id if isinstance(o, LogitsBatch) else o.image_id for o in outcome]


@pytest.mark.parametrize("poison", [0, 3, 6])
def test_one_poison_image_costs_only_itself(poison: int) -> None:
    images = [model_input(f"i{n}", n) for n in range(7)]
    outcome = predict(images, FakeEngine(batch_size=7, poison=poison), limit=7)
    assert names(outcome) == [f"i{n}" for n in range(7)]
    for n, result in enumerate(outcome):
        if n == poison:
            assert isinstance(result, Failure)
            assert result.code == "MODEL_FAILED"
            assert "secret" not in result.reason
        else:
            assert isinstance(result, LogitsBatch)
            assert result.logits.shape == (1, 2, 2, 1)
            assert (result.logits == n).all()
            assert result.confidence.tolist() == [n]
            assert result.images[0].plane.size == 0


def test_out_of_memory_halves_the_batch_until_it_fits() -> None:
    engine = FakeEngine(batch_size=8, room=2)
    outcome = predict([model_input(f"i{n}", n) for n in range(8)], engine, limit=8)
    assert all(isinstance(o, LogitsBatch) for o in outcome)
    assert len(outcome) == 8
    assert max(size for size in engine.calls if size <= 2) == 2


def test_an_image_that_never_fits_says_so() -> None:
    (failure,) = predict([model_input("a", 1)], FakeEngine(room=0), limit=4)
    assert isinstance(failure, Failure)
    assert failure.code == "OUT_OF_MEMORY"


def test_an_error_of_the_run_is_not_one_of_an_image() -> None:
    class Broken(FakeEngine):
        def __call__(self, planes: Array) -> Scores:
            raise RunError("the model file is gone")

    with pytest.raises(RunError, match="gone"):
        predict([model_input("a", 1)], Broken(), limit=4)


def test_the_transform_buckets_by_shape_and_flushes_at_the_end() -> None:
    images = [model_input(f"i{n}", n, size=2 + n % 3) for n in range(20)]
    with local_pipeline() as root:
        results = root | Create(images, reshuffle=False) | Predict(lambda: FakeEngine(poison=13))
        assert_that(
            results.main | Map(lambda b: (b.images[0].image_id, b.logits.shape[1:3], int(b.logits.max()))),
            equal_to([(f"i{n}", (2 + n % 3,) * 2, n) for n in range(20) if n != 13]),
        )
        assert_that(results.failed | Map(lambda f: f.image_id), equal_to(["i13"]), label="failed")


def test_no_image_means_no_model() -> None:
    def loader() -> FakeEngine:
        raise AssertionError("loaded")

    with local_pipeline() as root:
        results = root | Create([]) | Predict(loader)
        assert_that(results.main, equal_to([]))


def test_what_waits_for_its_own_shape_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    step = predict_module._Predict(lambda: FakeEngine(batch_size=2), UNGUARDED)
    step.start_bundle()
    out: list[object] = []
    for n in range(100):  # a hundred shapes, none of which ever fills a batch
        out += step.process(model_input(f"i{n}", n, size=n + 1), 0, "window")
        assert sum(map(len, step._buckets.of.values())) < 2 * BATCHES_WAITING
    monkeypatch.setattr(predict_module, "BYTES_WAITING", 10)
    out += step.process(model_input("big", 1, size=200), 0, "window")
    assert sum(each.image.plane.nbytes for bucket in step._buckets.of.values() for each in bucket) <= 10
    assert len(out + list(step.finish_bundle())) == 101


def test_what_waits_holds_few_large_images_to_draw_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predict_module, "KEPT_WAITING", 250)
    step = predict_module._Predict(lambda: FakeEngine(batch_size=8), UNGUARDED)
    step.start_bundle()
    for n in range(7):
        image = replace(model_input(f"i{n}", n), image=np.zeros((10, 10, 1), np.uint8))
        list(step.process(image, 0, "window"))
        assert sum(map(len, step._buckets.of.values())) <= 2
    list(step.finish_bundle())


def test_an_engine_is_called_by_as_many_threads_as_it_says() -> None:
    together = threading.Barrier(3, timeout=30)

    class SideBySide(FakeEngine):
        callers = 3

        def __call__(self, planes: Array) -> Scores:
            together.wait()  # three calls at once, or none ever returns
            return super().__call__(planes)

    engine = SideBySide(batch_size=2)
    step = predict_module._Predict(lambda: engine, UNGUARDED)
    step.start_bundle()
    out = [result for n in range(12) for result in step.process(model_input(f"i{n}", n), 0, "window")]
    out += step.finish_bundle()
    assert [result.value.images[0].image_id for result in out] == [f"i{n}" for n in range(12)]
    assert engine.calls == [2] * 6


def window_input(name: str, value: int) -> ModelInput:
    return replace(model_input(name, value), window=Window((0, 0), 0, 1))


def test_windows_come_in_full_batches_beside_one_that_fails_too() -> None:
    engine = FakeEngine(batch_size=8, poison=3)
    outcome = predict([window_input(f"i{n}", n) for n in range(7)], engine, limit=8)
    assert [isinstance(each, FailedWindow) for each in outcome] == [n == 3 for n in range(7)]
    assert set(engine.calls) == {8}


def test_windows_for_which_there_is_no_room_come_in_half_batches() -> None:
    engine = FakeEngine(batch_size=8, room=2)
    outcome = predict([window_input(f"i{n}", n) for n in range(7)], engine, limit=8)
    assert [each.logits.ravel()[0] for each in outcome if isinstance(each, LogitsBatch)] == list(range(7))
    assert set(engine.calls) == {8, 4, 2}
