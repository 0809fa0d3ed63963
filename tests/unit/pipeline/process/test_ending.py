"""How processes end: each test is a process of its own, which imports next to nothing."""

import signal
import subprocess
import sys

import pytest

from maskbeam.pipeline.main import main


def run(script: str, shell: str = '"$0" -c "$1"') -> "subprocess.CompletedProcess[str]":
    argv = ["sh", "-c", shell, sys.executable, script]
    return subprocess.run(argv, check=False, capture_output=True, text=True, timeout=60)


SIGNALS = """
import ctypes, os, signal, threading
from maskbeam.pipeline.process import ending
from maskbeam.pipeline.process.ending import run_as_process, stopping_on_signals

def say(text):
    print(text, flush=True)

def send(number):
    os.kill(os.getpid(), number)

def wait():
    # In C, where no signal interrupts it.
    mutex = ctypes.create_string_buffer(64)
    for _ in range(2):
        ctypes.CDLL(None).pthread_mutex_lock(mutex)
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_process_whose_main_thread_is_stuck(number: int, code: int) -> None:
    script = (
        f"{SIGNALS}\nwith stopping_on_signals(lambda: say('cleaned'), rest='go on'):\n    send({number}); wait()\n"
    )
    done = run(script)
    assert (done.returncode, done.stdout) == (code, "cleaned\n")
    assert done.stderr == f"stopped by {signal.Signals(number).name}; go on\n"


def test_more_signals_change_nothing() -> None:
    script = f"""{SIGNALS}
def clean_up():
    say("cleaning")
    for _ in range(3):
        send(signal.SIGINT)
        send(signal.SIGTERM)
    say("cleaned")

with stopping_on_signals(lambda: say("outer")), stopping_on_signals(clean_up):
    send(signal.SIGTERM)
    wait()
"""
    done = run(script)
    assert (done.returncode, done.stdout) == (143, "cleaning\ncleaned\nouter\n")
    assert done.stderr.count("stopped") == 1


def test_a_signal_ends_a_process_whose_clean_up_hangs() -> None:
    done = run(
        f"{SIGNALS}\nending.END_SECONDS = 0.01\nwith stopping_on_signals(wait):\n    send(signal.SIGINT); wait()\n"
    )
    assert (done.returncode, done.stderr) == (130, "stopped by SIGINT\n")


def test_after_the_context_signals_are_as_before() -> None:
    done = run(
        f"{SIGNALS}\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "with stopping_on_signals():\n    pass\n"
        "try:\n    send(signal.SIGINT)\n    while True: pass\nexcept KeyboardInterrupt:\n    say('interrupted')\n"
    )
    assert (done.returncode, done.stdout) == (0, "interrupted\n")


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("return 3", 3, ""),
        ("raise ValueError('oops')", 1, "ValueError: oops"),
        ("send(signal.SIGTERM); wait()", 143, "stopped by SIGTERM"),
    ],
)
def test_an_end_that_nobody_chose_is_no_success(command: str, code: int, said: str) -> None:
    done = run(f"{SIGNALS}\ndef command():\n    {command}\nrun_as_process(command)\n")
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr


@pytest.mark.parametrize(
    "shell",
    [
        '"$0" -c "$1" <&- >&- 2>&-',
        '"$0" -c "$1" >/dev/full 2>/dev/full',
        '{ "$0" -c "$1" 2>&1; echo $? >&2; } | head -c0',
    ],
)
def test_streams_that_cannot_be_written_cost_nothing(shell: str) -> None:
    script = """
import logging, os, sys
from maskbeam.pipeline.process.ending import run_as_process

def command():
    for _ in range(100):
        print("x" * 1000, flush=True)
        print("y" * 1000, file=sys.stderr, flush=True)
        logging.getLogger().warning("z" * 1000)
    return 0 if os.open("/dev/null", os.O_RDONLY) > 2 else 9

run_as_process(command)
"""
    done = run(script, shell)
    assert (done.returncode, done.stderr) == (0, "0\n" if "head" in shell else "")


def test_what_is_written_arrives_and_names_of_any_letters_do() -> None:
    done = run(
        "from maskbeam.pipeline.process.ending import run_as_process\n"
        "run_as_process(lambda: print('a', chr(0xdcff)) or 0)\n"
    )
    assert (done.returncode, done.stdout) == (0, "a \\udcff\n")


@pytest.mark.parametrize("argv", ["--help", "run --help"])
def test_help_that_nobody_reads_is_no_mistake(argv: str) -> None:
    script = f"import sys\nsys.argv[1:] = {argv.split()}\nfrom maskbeam.pipeline.main import main\nmain()"
    done = run(script, '"$0" -c "$1" >/dev/full')
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("code", [0, None, "a word"])
def test_an_exit_of_the_model_s_code_is_no_success(
    code: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def leave(_: object) -> None:
        raise SystemExit(code)

    monkeypatch.setattr("maskbeam.pipeline.main._command", leave)
    assert main(["run"]) == 1
    assert "which is no end of a run" in capsys.readouterr().err
