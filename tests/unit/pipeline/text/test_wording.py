"""Numbers the way people read them."""

import logging
from pathlib import Path

import pytest

from maskbeam.pipeline.commands.inspect.told import say_at_terminal as say_inspected
from maskbeam.pipeline.main import main
from maskbeam.pipeline.reports.closing_summary import Ending, closing_summary
from maskbeam.pipeline.reports.summary_file import InputCounts
from maskbeam.pipeline.run import say
from maskbeam.pipeline.terminal.logs import quiet
from maskbeam.pipeline.text.wording import duration, percent, plural, printable, printable_lines, rate

EVIL = "\x1b[31mRED\x07\nmaskbeam: forged\r"


@pytest.mark.parametrize(("number", "text"), [(0, "0 images"), (1, "1 image"), (12345, "12,345 images")])
def test_count(number: int, text: str) -> None:
    assert plural(number, "image") == text


def test_plurals_of_their_own() -> None:
    assert (plural(1, "class", "classes"), plural(2, "class", "classes")) == ("1 class", "2 classes")


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


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mRED\x1b]0;pwned\x07", r"\x1b[31mRED\x1b]0;pwned\x07"),
        ("y.a\nmaskbeam: forged\r\x85\u2028\u2029", r"y.a\nmaskbeam: forged\r\x85\u2028\u2029"),
        ("\x9b31m\u202egnp.exe", r"\x9b31m\u202egnp.exe"),
        ("half \udcff", r"half \udcff"),
        ("\u00e4 \u6c34\u3000\u57df e\u0301 \u00a0 \\", "\u00e4 \u6c34\u3000\u57df e\u0301 \u00a0 \\"),
    ],
)
def test_a_name_is_one_line_of_letters(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(shown) == shown
    assert printable_lines("a\x1b\nb") == "a\\x1b\nb"


def test_no_word_of_a_name_reaches_the_terminal_as_a_command(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    name = f"{tmp_path}/{EVIL}"
    Path(name).mkdir()
    assert main(["verify", name]) == 2
    assert main(["clean", name]) == 2
    assert main(["run", "--input", name, "--model", "x.keras", "--output", f"{tmp_path}/out"]) == 2
    assert main(["run", f"--{EVIL}"]) == 2
    say(f"first\n{EVIL.partition(chr(10))[0]}")
    say_inspected(EVIL)
    counts = InputCounts(1, 0, 1, 0)
    ending = Ending("out", ["masks"], counts, failures={"X": 1}, reasons={"X": {EVIL: 1}}, warnings=[EVIL])
    captured = capsys.readouterr()
    said = captured.out + captured.err + closing_summary(ending, [])
    assert said.count("RED") > 7
    assert not set(said) & {"\x1b", "\x07", "\r"}
    assert "\nmaskbeam: forged" not in said


def test_a_line_of_the_log_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before, root.handlers = root.handlers, []
    try:
        quiet()
        logging.getLogger("pipeline").warning("in %s", EVIL)
        try:
            raise ValueError(EVIL)
        except ValueError:
            logging.getLogger("pipeline").error("it failed", exc_info=True)
    finally:
        root.handlers = before
    said = capsys.readouterr().err
    assert said.startswith(r"maskbeam: in \x1b[31mRED\x07\nmaskbeam: forged")
    assert not set(said) & {"\x1b", "\x07"}
