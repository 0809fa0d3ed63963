import subprocess
import sys
import threading
from pathlib import Path

import keras
import pytest
from PIL import Image

from maskbeam.pipeline.models.engines.batched_engine import Room
from maskbeam.pipeline.models.files.model_facts import ModelFacts, TensorSpec
from maskbeam.pipeline.models.loading.cores import BYTES_PER_PIXEL, CALL_BYTES, MOST_CALLERS, Sharing, share_cores
from tests.support.models import save, tutorial_unet


@pytest.mark.parametrize("cores", [2, 4, 6, 8, 64])
@pytest.mark.parametrize("side", [32, 128, 512, 640, 1024])
def test_small_planes_get_a_call_for_each_core_as_far_as_memory_goes(cores: int, side: int) -> None:
    callers, threads = share_cores(side * side, cores=cores)
    assert 1 <= callers <= min(cores, MOST_CALLERS)
    if threads:
        assert callers * threads <= cores < callers * (threads + 1)
        assert callers * side * side * BYTES_PER_PIXEL <= CALL_BYTES
    if side == 128:
        assert callers == min(cores, MOST_CALLERS)


def test_large_planes_and_those_of_any_size_share_all_cores() -> None:
    assert share_cores(4096 * 4096, cores=8) == share_cores(None, cores=8) == Sharing(2, 0)
    assert share_cores(None, cores=1) == Sharing(1, 0)


def test_one_core_makes_one_call() -> None:
    assert share_cores(128 * 128, cores=1).callers == 1


@pytest.mark.parametrize(
    ("shape", "pixels"),
    [((None, 96, 128, 3), 96 * 128), ((4, 3, 96, 128), 96 * 128), ((None, None, None, 3), None), ((None, 96), None)],
)
def test_the_planes_of_a_model_are_known_before_it_is_loaded(
    shape: tuple[int | None, ...], pixels: int | None
) -> None:
    assert ModelFacts((TensorSpec("image", shape, "float32"),)).plane_pixels == pixels
    assert ModelFacts().plane_pixels is None


def test_calls_that_do_not_fit_together_take_turns() -> None:
    room, inside, most = Room(10), 0, 0
    lock = threading.Lock()

    def call(size: int) -> None:
        nonlocal inside, most
        with room.taking(size):
            with lock:
                inside += size
                most = max(most, inside)
            gate.wait(0.01)
            with lock:
                inside -= size

    gate = threading.Event()
    threads = [threading.Thread(target=call, args=(size,)) for size in (4, 4, 4, 6, 25, 10, 1) * 5]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert most == 25, "what never fits is let in alone, and nothing beside it"


def test_an_error_gives_the_room_back() -> None:
    room = Room(10)
    for _ in range(3):
        with pytest.raises(ValueError, match="broken"), room.taking(10):
            raise ValueError("broken")


STARTS = """
import sys

sys.modules["simplejpeg"] = None  # so that TensorFlow decodes
from maskbeam.pipeline.models.engines.choose_engine import start_engine
from maskbeam.pipeline.models.engines.loader import loaded_model
from maskbeam.pipeline.models.loading.loaded_model import open_model
from maskbeam.pipeline.models.probing.probe import probe_model
from maskbeam.pipeline.models.loading.tensorflow_start import start_tensorflow
from maskbeam.pipeline.models.loading.tf_jpeg import decode_jpeg
from maskbeam.pipeline.options import ModelOptions

if len(sys.argv) > 2:
    decode_jpeg(open(sys.argv[2], "rb").read(), 3, threads=int(sys.argv[3]))
options = ModelOptions(path=sys.argv[1], normalize="0..1")
loaded = loaded_model(options, open_model(options).digest)
engine, _ = start_engine(lambda: loaded, probe_model(loaded, options), end="labels")
print(engine.callers, start_tensorflow().config.threading.get_intra_op_parallelism_threads())
"""


@pytest.mark.slow
def test_the_first_use_of_tensorflow_decides_about_its_threads(tmp_path: Path) -> None:
    model = str(save(tutorial_unet(keras, size=64), tmp_path / "m.keras"))
    jpeg = tmp_path / "a.jpg"
    Image.new("RGB", (8, 8)).save(jpeg)
    known, unknown = share_cores(64 * 64), share_cores(None)

    def found(*argv: str) -> list[str]:
        done = subprocess.run(
            [sys.executable, "-c", STARTS, model, *argv], stdout=subprocess.PIPE, check=True, text=True
        )
        return done.stdout.split()

    assert found() == found(str(jpeg), str(known.threads)) == [str(known.callers), str(known.threads)]
    assert found(str(jpeg), "0") == [str(unknown.callers), "0"]
