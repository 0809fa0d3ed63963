"""Runs over scenes in a bucket, on a small storage of our own; the same on another's: `make test-gcs`."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.fake_gcs import FakeGcs
from tests.support.gcs_scenes import check_an_object_that_changes, check_the_same_as_at_hand


@pytest.fixture
def fake() -> Iterator[FakeGcs]:
    with FakeGcs() as server:
        server.service.buckets["data"] = {}
        yield server


@pytest.mark.parametrize("check", [check_the_same_as_at_hand, check_an_object_that_changes])
def test_scenes_far_away(fake: FakeGcs, tmp_path: Path, check: Callable[[str, Path], None]) -> None:
    check(fake.url, tmp_path)
