import re
import traceback

import pytest

from maskbeam.pipeline.output.lease_file import NoLeaseError, TakenOverError
from maskbeam.pipeline.runners.explain import cause_of, kinds_in
from maskbeam.pipeline.storage import Denied, Unavailable, Unreadable
from maskbeam.transforms.errors import RunError, TooManyFailuresError

# As Flink hands it on: the worker's traceback, and Java's around it.
FROM_FLINK = """Pipeline BeamApp-1 failed in state FAILED: java.lang.Exception: The user defined 'open()' method
java.lang.RuntimeException: Error received from SDK harness for instruction 12: Traceback (most recent call last):
  File "apache_beam/runners/common.py", line 1500, in process
{}
\tat org.apache.beam.runners.fnexecution.control.FnApiControlClient.onNext(FnApiControlClient.java:180)
Caused by: java.lang.IllegalStateException: call already closed
\tat java.base/java.lang.Thread.run(Thread.java:840)"""


def from_flink(line: str) -> str:
    return cause_of(RuntimeError(FROM_FLINK.format(line)))


@pytest.mark.parametrize(
    "line",
    [
        "maskbeam.transforms.errors.RunError: the disk is full; free some space [while running 'Write/Run ahead']",
        "RuntimeError: maskbeam.transforms.errors.RunError: the disk is full; free some space",
        "maskbeam.pipeline.storage.Denied: the disk is full; free some space [while running 'Write/Run ahead']",
    ],
)
def test_our_own_error_comes_out_of_a_runners_pages_as_it_was_said(line: str) -> None:
    assert from_flink(line) == "the disk is full; free some space"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("ModuleNotFoundError: No module named 'maskbeam'", "the workers do not have maskbeam"),
        ("ModuleNotFoundError: No module named 'maskbeam.pipeline.output'", "the workers do not have maskbeam"),
        ("ModuleNotFoundError: No module named 'keras'", "the Python package keras"),
        (
            "AttributeError: Can't get attribute 'CheckWorker' on <module 'maskbeam.pipeline.workers' from 'x'>",
            "another version than this one \\(CheckWorker is missing",
        ),
        ("ImportError: cannot import name 'Head' from 'maskbeam.transforms.head' (x.py)", "another version"),
        ('java.io.IOException: Cannot run program "docker": error=2, No such file', "no Docker"),
        (
            "java.net.ConnectException: java.net.ConnectException: finishConnect(..) failed: Connection refused",
            "is an SDK worker pool beside each",
        ),
        (
            "java.util.concurrent.TimeoutException: Waited 3 minutes (plus 1 ns delay) for SettableFuture@64",
            "said nothing: do they have maskbeam",
        ),
        ("org.apache.flink...NoResourceAvailableException: Could not acquire", "fewer free slots than --parallelism"),
        ("status = StatusCode.UNAVAILABLE", "the job server cannot be reached"),
    ],
)
def test_what_a_cluster_brings_is_told_in_a_persons_words(line: str, words: str) -> None:
    assert re.search(words, from_flink(line))


def test_a_run_error_of_this_process_needs_no_search() -> None:
    assert cause_of(RunError("no such class: 7 [while running 'X']")) == "no such class: 7"


@pytest.mark.parametrize(
    "kind", [RunError, TooManyFailuresError, TakenOverError, NoLeaseError, Denied, Unavailable, Unreadable]
)
def test_each_of_our_errors_is_known_by_the_text_that_comes_from_a_worker(kind: type[RunError]) -> None:
    text = "".join(traceback.format_exception_only(kind("the disk is full")))
    assert from_flink(text.strip()) == "the disk is full"
    assert kinds_in(RuntimeError(FROM_FLINK.format(text))) == {kind}


def test_any_other_error_is_its_last_line() -> None:
    assert cause_of(ValueError("pages\n\nodd number\n")) == "odd number"
    assert cause_of(ValueError()) == "ValueError"
