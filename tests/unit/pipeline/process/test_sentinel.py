"""Calls that hang and hold the interpreter's lock, so that no thread of the process can end it."""

import json
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from maskbeam.pipeline.guards.watched_call import Call
from maskbeam.pipeline.output.failures import remembered
from maskbeam.pipeline.output.tree import Tree
from maskbeam.pipeline.process.call_table import SLOT_BYTES, SLOTS, Busy, CallTable, make_file
from maskbeam.pipeline.process.sentinel import SILENT_TICKS, Silence, accuse, blame, is_stopped
from maskbeam.transforms.elements import Source
from tests.support.fake_gcs import FakeGcs
from tests.support.numpy_engine import command, run_numpy
from tests.support.stuck_decoder import STICKS
from tests.support.trees import differing, draw, draw_folder, tree_of

TICK = 1.0


@pytest.fixture
def board() -> CallTable:
    return CallTable(make_file())


def poisoned(folder: Path) -> Path:
    """Twelve images; one of them sticks."""
    path = draw_folder(folder, 12) / "img0005.png"
    path.write_bytes(path.read_bytes() + STICKS)
    return folder


RUN = "import sys; from tests.support.stuck_decoder import run_hurried; sys.exit(run_hurried(sys.argv[1:]))"


def run_stuck(inputs: Path, out: str) -> "subprocess.CompletedProcess[str]":
    argv = [sys.executable, "-c", RUN, *command(str(inputs), out, "--max_failures", "1")]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=200)


def codes(out: Path) -> list[str]:
    return [json.loads(line)["code"] for line in (out / "reports/failures.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_a_decoder_that_lets_nothing_else_run_costs_a_rerun_and_its_image(tmp_path: Path) -> None:
    inputs, out = poisoned(tmp_path / "in"), tmp_path / "out"
    died = run_stuck(inputs, str(out))
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert "lets nothing else run" in died.stderr
    assert "img" not in died.stderr
    notes = [json.loads(path.read_text())["code"] for path in (out / "failed").iterdir()]
    assert set(notes) == {"SUSPECT"}
    done = run_stuck(inputs, str(out))
    assert done.returncode == 0, done.stderr
    assert codes(out) == ["HANG"]
    assert [json.loads(path.read_text())["code"] for path in (out / "failed").iterdir()] == ["HANG"]
    (inputs / "img0005.png").unlink()
    assert run_numpy(command(str(inputs), str(tmp_path / "without"))) == 0
    assert differing(tree_of(tmp_path / "without/masks"), tree_of(out / "masks")) == []


@pytest.mark.slow
def test_the_same_with_objects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = poisoned(tmp_path / "in")
    with FakeGcs() as fake:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", fake.url)
        fake.service.buckets["b"] = {}
        ended = [run_stuck(inputs, "gs://b/out").returncode for _ in range(2)]
        names = [name for name in fake.service.buckets["b"] if name.startswith("out/masks/")]
    assert ended == [-signal.SIGKILL, 0]
    assert len(names) == 11


def test_a_suspect_that_loses_its_id_is_no_suspect_any_more(tmp_path: Path) -> None:
    """Of two images with one id: when both come, and when the other one is done already."""
    folders, out = [draw_folder(tmp_path / name, 1) for name in ("a", "b")], tmp_path / "out"
    draw(folders[1] / "img0000.png", "another")
    argv = command([f"{folder}/" for folder in folders], str(out), "--max_failures", "1")
    sources = sorted(
        (Source(str(folder / "img0000.png"), "1") for folder in folders), key=lambda source: source.place
    )
    for suspects in (sources, sources[1:]):
        tree = Tree(str(out), str(out / ".tmp/r"), "masks/{}.png", "f", "i")
        remembered.cache_clear()
        assert Call(tree, "decoder", tuple(("img0000", source) for source in suspects)).suspect() == len(suspects)
        assert len(list((out / "failed").iterdir())) == len(suspects)
        assert run_numpy(argv) == 0
        assert list((out / "failed").iterdir()) == []


WATCHED = """
import sys
from maskbeam.pipeline.process import watchdog
from maskbeam.pipeline.guards.watched_call import Call
dog = watchdog.watchdog()
with dog.watching(60, Call(None, "decoder", ())):
    print(dog._sentinel.pid, flush=True)
    sys.stdin.read()
"""


def started() -> "tuple[subprocess.Popen[str], int]":
    """A process that watches a call until its standard input is closed; and its sentinel."""
    argv, pipe = [sys.executable, "-c", WATCHED], subprocess.PIPE
    process = subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    assert process.stdout is not None
    return process, int(process.stdout.readline())


@pytest.mark.parametrize("end", [signal.SIGKILL, None])
def test_the_sentinel_ends_with_its_process(end: signal.Signals | None) -> None:
    process, sentinel = started()
    assert sentinel != process.pid
    if end:
        process.send_signal(end)
    # Both write to standard error: this returns when both have ended.
    process.communicate(timeout=60)


def test_the_terminal_s_signals_do_not_reach_the_sentinel() -> None:
    process, sentinel = started()
    assert os.getsid(sentinel) == sentinel
    assert os.getsid(process.pid) == os.getsid(0)
    process.communicate(timeout=60)


def test_a_process_that_moves_its_clock_is_not_stuck(board: CallTable) -> None:
    board.put(Busy(5.0, b"call"))
    silence = Silence(board, TICK)
    for _ in range(100):
        board.now += TICK
        assert not silence.advance(TICK, stopped=False)


def test_a_silent_process_is_stuck_when_a_call_should_have_ended(board: CallTable) -> None:
    board.now = 100.0
    place = board.put(Busy(220.0, b"call"))
    silence = Silence(board, TICK)
    stuck = [silence.advance(TICK, stopped=False) for _ in range(125)]
    assert stuck.index(True) in (120, 121, 122)
    assert place is not None
    board.clear(place)
    assert not silence.advance(TICK, stopped=False)


def test_the_watchdog_comes_first(board: CallTable) -> None:
    board.put(Busy(0.5, b"call"))
    silence = Silence(board, TICK, seen=0.0)
    assert not any(silence.advance(TICK, stopped=False) for _ in range(SILENT_TICKS))
    assert silence.advance(TICK, stopped=False)


def test_a_process_that_was_stopped_or_slept_is_not_stuck(board: CallTable) -> None:
    board.put(Busy(120.0, b"call"))
    silence = Silence(board, TICK)
    assert not any(silence.advance(TICK, stopped=True) for _ in range(1000))
    assert not any(silence.advance(3600, stopped=False) for _ in range(50))


def test_a_stopped_process_is_told_by_the_system() -> None:
    process, _ = started()
    assert not is_stopped(process.pid)
    process.send_signal(signal.SIGSTOP)
    os.waitpid(process.pid, os.WUNTRACED)
    assert is_stopped(process.pid)
    process.send_signal(signal.SIGCONT)
    process.communicate(timeout=60)
    assert is_stopped(process.pid)


def call(tmp_path: Path, what: str, *names: str) -> bytes:
    tree = Tree(str(tmp_path), str(tmp_path / ".tmp/r"), "masks/{}.png", "f", "i")
    return pickle.dumps(Call(tree, what, tuple((name, Source(f"/in/{name}", "1")) for name in names)))


@pytest.mark.parametrize(
    ("calls", "codes"),
    [
        ([("decoder", "a")], ["SUSPECT"]),
        ([("decoder", "a"), ("decoder", "b"), ("model", "c")], ["SUSPECT"] * 3),
        ([("model", "a", "b")], ["SUSPECT"] * 2),
        ([("model", "a")], ["HANG"]),
    ],
)
def test_who_is_accused(tmp_path: Path, board: CallTable, calls: list[tuple[str, ...]], codes: list[str]) -> None:
    for what, *names in calls:
        board.put(Busy(0.0, call(tmp_path, what, *names)))
    assert "/in/" not in accuse(board)
    assert noted(tmp_path) == codes


def noted(tmp_path: Path) -> list[str]:
    tree = Tree(str(tmp_path), "", "", "f", "i")
    remembered.cache_clear()
    return sorted(note.code for note in remembered(tree).values())


MODEL, DECODER, ELSEWHERE = 0x7F11, 0x7F22, 0x7F33


@pytest.mark.parametrize(
    ("model", "crashed", "codes"),
    [
        (["a"], MODEL, ["CRASH"]),
        (["a", "b"], MODEL, ["SUSPECT"] * 2),
        (["a", "b"], DECODER, ["SUSPECT"]),
        (["a", "b"], ELSEWHERE, ["SUSPECT"] * 3),
        (["a", "b"], None, ["SUSPECT"] * 3),
    ],
)
def test_who_is_blamed_for_a_crash(
    tmp_path: Path, board: CallTable, model: list[str], crashed: int | None, codes: list[str]
) -> None:
    board.put(Busy(0.0, call(tmp_path, "model", *model), MODEL))
    board.put(Busy(0.0, call(tmp_path, "decoder", "d"), DECODER))
    threads = f"Thread 0x{ELSEWHERE:016x} (most recent call first):\n  File x\n"
    threads += f"Current thread 0x{crashed:016x} (most recent call first):\n" if crashed else ""
    text = blame(board, f"Fatal Python error: Segmentation fault\n\n{threads}")
    assert text.startswith("the process crashed (Segmentation fault)")
    assert "/in/" not in text
    assert noted(tmp_path) == codes


CRASHES = """
import ctypes, os, pickle, sys, threading
from maskbeam.pipeline.process.call_table import CallTable, Busy, make_file
from maskbeam.pipeline.process.own_end import only_our_end, witnesses
from maskbeam.pipeline.process.sentinel import start_sentinel
from tests.support.light_call import LightCall
board = CallTable(make_file())
board.record_crash()
started = start_sentinel(board, 0.1)
board.put(Busy(60.0, pickle.dumps(LightCall()), threading.get_ident()))
board.put(Busy(60.0, pickle.dumps(LightCall())))
witnesses.append(board.record_exit)

def leave():
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    with only_our_end():
        ctypes.CDLL(None).exit(0)

eval(sys.argv[1])
"""


@pytest.mark.parametrize(
    ("crash", "number", "said"),
    [
        (
            "ctypes.string_at(0)",
            signal.SIGSEGV,
            "maskbeam: the process crashed (Segmentation fault): noted as CRASH\n",
        ),
        ("ctypes.CDLL(None).abort()", signal.SIGABRT, "maskbeam: the process crashed (Aborted): noted as CRASH\n"),
        ("leave()", -1, "maskbeam: the process crashed (exit() was called): noted as CRASH\n"),
        ("os.kill(os.getpid(), 9)", signal.SIGKILL, ""),
        ("os._exit(0)", 0, ""),
    ],
)
def test_a_crash_leaves_a_note_and_a_word(crash: str, number: int, said: str) -> None:
    argv = [sys.executable, "-c", CRASHES, crash]
    # The sentinel writes to the same standard error: this returns when it has ended.
    done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (-number, said)


def test_a_board_is_the_same_through_its_file() -> None:
    fd = make_file()
    mine, theirs = CallTable(fd), CallTable(fd)
    mine.now = 17.25
    places = [mine.put(Busy(float(number), b"n%d" % number)) for number in range(3)]
    assert places[1] is not None
    mine.clear(places[1])
    assert theirs.now == 17.25
    assert list(theirs.busy()) == [Busy(0.0, b"n0"), Busy(2.0, b"n2")]


def test_a_board_that_is_full_takes_no_more(board: CallTable) -> None:
    assert board.put(Busy(0.0, b"x" * SLOT_BYTES)) is None
    places = [board.put(Busy(0.0, b"x")) for _ in range(SLOTS)]
    assert len(set(places)) == SLOTS
    assert board.put(Busy(0.0, b"x")) is None
    board.clear(places[5] or 0)
    assert board.put(Busy(0.0, b"x")) == places[5]
