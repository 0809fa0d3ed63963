import pytest

from maskbeam.pipeline.reports.summary_file import InputCounts
from maskbeam.pipeline.reports.verdict import judge_run


def counts(done: int, failed: int = 0, duplicate: int = 0, lost: int = 0) -> InputCounts:
    return InputCounts(done + failed + duplicate + lost, done, failed, duplicate)


@pytest.mark.parametrize(
    ("numbers", "limit", "code"),
    [
        (counts(0), "0.1%", 0),
        (counts(10), "0", 0),
        (counts(999, 1), "0.1%", 0),
        (counts(998, 2), "0.1%", 3),
        (counts(998, 2), "2", 0),
        (counts(997, 3), "2", 3),
        (counts(0, 5), "100%", 0),
        (counts(5, duplicate=5), "0", 0),
        (counts(9, lost=1), "100%", 1),
    ],
)
def test_the_numbers_decide(numbers: InputCounts, limit: str, code: int) -> None:
    verdict = judge_run(numbers, [], failures={}, max_failures=limit, fail_on_degenerate=False)
    assert verdict.code == code
    assert verdict.too_many == (code == 3)


def test_a_dead_model_fails_only_when_asked() -> None:
    for asked, code in ((False, 0), (True, 3)):
        assert judge_run(counts(5), ["dead"], failures={}, max_failures="0", fail_on_degenerate=asked).code == code


@pytest.mark.parametrize("limit", ["100%", "1000"])
def test_no_limit_allows_shards_that_were_not_read_to_their_end(limit: str) -> None:
    for code, expected in (("UNREADABLE", 0), ("SHARD_UNREAD", 3)):
        verdict = judge_run(counts(99, 1), [], failures={code: 1}, max_failures=limit, fail_on_degenerate=False)
        assert (verdict.code, verdict.too_many) == (expected, False)
