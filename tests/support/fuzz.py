"""A plugin for `make fuzz`: tests of properties run with new seeds, and what they find is printed to be added."""

import random
import re
import time
from collections.abc import Iterator
from itertools import zip_longest

import pytest

_MINUTES = "--fuzz_minutes"
_FOUND = re.compile(r"^Failing test case: (\w+)\(\n((?: {4}.*\n)*)", re.MULTILINE)
# With all lines of its value.
_FIXTURE = re.compile(r"^ {4}(self|monkeypatch|tmp_path\w*)=.*\n(?: {5}.*\n| {4}\).*\n)*", re.MULTILINE)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(_MINUTES, type=float, required=True, help="how long to look for failures")


def pytest_runtestloop(session: pytest.Session) -> bool:
    """Runs all tests in a new order until the time is over; one that has failed is not run again."""
    end = time.monotonic() + 60 * session.config.getoption(_MINUTES)
    sound, chance = list(session.items), random.SystemRandom()
    while sound and time.monotonic() < end:
        order = chance.sample(sound, len(sound))
        for item, following in zip_longest(order, order[1:]):
            failed = session.testsfailed
            item.ihook.pytest_runtest_protocol(item=item, nextitem=following)
            if session.testsfailed > failed:
                sound.remove(item)
            if time.monotonic() > end:
                break
    return True


def examples(told: str) -> Iterator[str]:
    """Of what a failed test said: the name of the test and the decorator that makes its values a fixed example."""
    for test, values in _FOUND.findall(re.sub("^E {7}", "", told, flags=re.MULTILINE)):
        given = _FIXTURE.sub("", values)
        yield f"{test}:\n@example(\n{given})"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    failed = terminalreporter.stats.get("failed", [])
    terminalreporter.section(f"{len(failed)} found")
    for report in failed:
        terminalreporter.line(f"{report.nodeid}: add to its file, and make it pass")
        for text in examples(report.longreprtext + "\n"):
            terminalreporter.line(text)
