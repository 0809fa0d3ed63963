"""Numbers the way people read them."""

import pytest

from pipeline.reports.wording import count, duration, percent, rate


@pytest.mark.parametrize(("number", "text"), [(0, "0 images"), (1, "1 image"), (12345, "12,345 images")])
def test_count(number: int, text: str) -> None:
    assert count(number, "image") == text


def test_plurals_of_their_own() -> None:
    assert (count(1, "class", "classes"), count(2, "class", "classes")) == ("1 class", "2 classes")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0 s"),
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (200, "3 min 20 s"),
        (7530, "2 h 5 min"),
        (97200, "1 d 3 h"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("number", "seconds", "text"),
    [(0, 0, "0.00/s"), (1, 4, "0.25/s"), (617, 10, "61.7/s"), (12344, 10, "1,234/s")],
)
def test_rate(number: int, seconds: float, text: str) -> None:
    assert rate(number, seconds) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0.0%"), (0.00001, "<0.1%"), (0.1234, "12.3%"), (0.99999, ">99.9%"), (1, "100.0%"), (1.5, "150.0%")],
)
def test_percent(share: float, text: str) -> None:
    assert percent(share) == text
