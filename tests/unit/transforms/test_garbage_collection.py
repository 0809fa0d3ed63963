import gc
from pathlib import Path

import pytest

from maskbeam.transforms.garbage_collection import give_back, started, starting_up


class Loop:
    """Refers to itself, so that only the collector can free it."""

    alive = 0

    def __init__(self) -> None:
        self.me = self
        Loop.alive += 1

    def __del__(self) -> None:
        Loop.alive -= 1


def make_garbage() -> None:
    for _ in range(10 * gc.get_threshold()[0]):
        Loop()


@pytest.fixture(autouse=True)
def nothing_left() -> None:
    gc.collect()
    Loop.alive = 0


def test_nothing_is_collected_until_the_work_begins() -> None:
    with starting_up():
        make_garbage()
        assert Loop.alive == 10 * gc.get_threshold()[0]
        started()
        made = Loop.alive
        make_garbage()
        assert Loop.alive < made + 10 * gc.get_threshold()[0]
    gc.unfreeze()


def test_what_start_up_made_is_left_alone() -> None:
    with starting_up():
        make_garbage()
        started()
        gc.collect()
        assert Loop.alive == 10 * gc.get_threshold()[0]
    gc.unfreeze()


def test_an_error_leaves_the_collector_as_it_was() -> None:
    with pytest.raises(ValueError, match="wrong"), starting_up():
        raise ValueError("wrong")
    assert gc.isenabled()


def resident_mb() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def test_free_memory_goes_back_although_it_lies_between_what_is_not_free() -> None:
    blocks = [bytearray(b"x" * 65536) for _ in range(1600)]
    kept = blocks[::16]
    blocks.clear()
    before = resident_mb()
    give_back()
    assert resident_mb() < before - 50
    assert len(kept) == 100
