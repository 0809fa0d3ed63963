import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from maskbeam.pipeline.guards import child_decoder as isolate
from maskbeam.pipeline.guards.child_decoder import IsolatedDecoder
from maskbeam.pipeline.process.patience import DECODE_SECONDS
from maskbeam.transforms.budget import admit, asking
from maskbeam.transforms.codecs.decode import decode
from maskbeam.transforms.elements import EncodedImage, Image, Source
from maskbeam.transforms.errors import Code, ImageError, RunError
from tests.support.elements import decoded_image, encoded_image
from tests.support.numpy_engine import command, run_numpy
from tests.support.trees import differing, draw_folder, pixels, tree_of


def end_once(file: str) -> None:
    if not os.path.exists(file):
        Path(file).touch()
        os.kill(os.getpid(), signal.SIGTERM)


def raise_it(error: Exception) -> None:
    raise error


def check_bound(_: str) -> None:
    assert 0 < signal.getitimer(signal.ITIMER_PROF)[0] < 5 * DECODE_SECONDS


ORDERS: dict[str, Callable[[str], object]] = {
    "crash": lambda _: os.kill(os.getpid(), signal.SIGSEGV),
    "exit": lambda _: os._exit(7),
    "killed": lambda _: os.kill(os.getpid(), signal.SIGKILL),
    "hang": lambda _: time.sleep(3600),
    "bad": lambda _: raise_it(ImageError(Code.UNREADABLE, "as it was asked to")),
    "strange": lambda _: raise_it(ValueError("with content of the image")),
    "terminated": lambda _: os.kill(os.getpid(), signal.SIGTERM),
    "terminated once": end_once,
    "bounded": check_bound,
    "large": lambda count: admit(int(count)),
}


def misbehave(encoded: EncodedImage) -> Image:
    """A decoder that does what the image says."""
    order, _, argument = (encoded.data or b"").decode().partition(":")
    if order in ORDERS:
        ORDERS[order](argument)
    return decoded_image(encoded.image_id, encoded.source, pixels(order))


def encoded(order: str) -> EncodedImage:
    return encoded_image(order, Source(f"/in/{order}", "1"), order.encode())


def code_of(order: str) -> str:
    with pytest.raises(ImageError) as raised:
        IsolatedDecoder(misbehave)(encoded(order))
    assert "/in/" not in raised.value.reason
    return raised.value.code


def test_pixels_come_back_as_they_were_made() -> None:
    image = IsolatedDecoder(misbehave)(encoded("well"))
    assert image.image_id == "well"
    assert (image.pixels == pixels("well")).all()


def test_a_child_that_was_told_to_end_says_nothing_of_its_image(tmp_path: Path) -> None:
    order = f"terminated once:{tmp_path / 'ended'}"
    assert IsolatedDecoder(misbehave)(encoded(order)).image_id == order
    with pytest.raises(RunError, match="another program keeps ending"):
        IsolatedDecoder(misbehave)(encoded("terminated"))


def fail_to_start(_: Connection) -> None:
    os._exit(5)


def test_a_child_that_cannot_be_started_says_nothing_of_an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolate, "_serve", fail_to_start)
    with pytest.raises(RunError, match="ended with exit code 5 before they have an image"):
        isolate._Child(isolate._children(())._context)


def test_a_child_whose_parent_is_gone_does_not_compute_for_ever() -> None:
    assert IsolatedDecoder(misbehave)(encoded("bounded")).image_id == "bounded"


@pytest.mark.parametrize(("took", "polls"), [(1.0, 120), (3600.0, 60)])
def test_time_in_which_the_process_was_stopped_does_not_count(took: float, polls: int) -> None:
    clock, asked = [0.0], []

    def poll(seconds: float) -> bool:
        asked.append(seconds)
        clock[0] += took
        return False

    assert not isolate.answers(poll, 120.0, lambda: clock[0])
    assert asked == [1.0] * polls
    assert isolate.answers(lambda _: True, 120.0)


@pytest.mark.parametrize(
    ("order", "code"), [("crash", "CRASH"), ("exit", "CRASH"), ("killed", "OUT_OF_MEMORY"), ("bad", "UNREADABLE")]
)
def test_what_goes_wrong_in_a_child_costs_that_image_only(order: str, code: str) -> None:
    assert code_of(order) == code
    assert IsolatedDecoder(misbehave)(encoded("next")).image_id == "next"


def test_a_child_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolate, "DECODE_SECONDS", 0.2)
    assert code_of("hang") == "HANG"


def test_another_exception_tells_its_kind_and_nothing_else() -> None:
    with pytest.raises(RuntimeError) as raised:
        IsolatedDecoder(misbehave)(encoded("strange"))
    assert str(raised.value) == "the decoder raised ValueError"


def test_a_child_that_died_while_it_waited_is_replaced() -> None:
    decoder = IsolatedDecoder(misbehave)
    decoder(encoded("one"))
    for child in isolate._children(())._idle:
        child._process.kill()
        child._process.join()
    assert decoder(encoded("two")).image_id == "two"


def test_many_threads_share_few_children() -> None:
    decoder = IsolatedDecoder(misbehave)
    orders = [f"n{i}" for i in range(40)]
    with ThreadPoolExecutor(8) as pool:
        images = list(pool.map(decoder, map(encoded, orders)))
    assert [image.image_id for image in images] == orders
    assert all((image.pixels == pixels(order)).all() for image, order in zip(images, orders, strict=True))
    assert len(isolate._children(())._idle) <= (os.cpu_count() or 1)


def test_a_run_gives_the_same_tree(tmp_path: Path) -> None:
    inputs = draw_folder(tmp_path / "in", 5)
    (inputs / "broken.png").write_bytes(b"<html>")
    flags = ("--products", "overlay", "--max_failures", "1")
    assert run_numpy(command(str(inputs), str(tmp_path / "here"), *flags)) == 0
    assert run_numpy(command(str(inputs), str(tmp_path / "there"), *flags, "--isolate_decoding")) == 0
    assert differing(tree_of(tmp_path / "here"), tree_of(tmp_path / "there")) == []


def test_the_decoder_of_a_job_can_be_sent() -> None:
    with pytest.raises(ImageError) as raised:
        IsolatedDecoder(partial(decode, max_pixels=100))(encoded("no image"))
    assert raised.value.code in ("UNREADABLE", "UNSUPPORTED_FORMAT")


def test_a_child_asks_its_parent_for_memory() -> None:
    asked: list[int] = []
    with asking(asked.append):
        assert IsolatedDecoder(misbehave)(encoded("large:8000000000")).image_id == "large:8000000000"

    def refuse(count: int) -> None:
        raise ImageError(Code.OUT_OF_MEMORY, "there is none")

    with asking(refuse), pytest.raises(ImageError, match="OUT_OF_MEMORY"):
        IsolatedDecoder(misbehave)(encoded("large:1"))
    assert asked == [8_000_000_000]
    assert IsolatedDecoder(misbehave)(encoded("fine")).image_id == "fine"
