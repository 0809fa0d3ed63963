"""The parts of the benchmark: each runs its processes in turns, round after round, and gives rows of the table."""

import importlib.util
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from PIL import Image as Pillow

from benchmarks.rounds import spread
from benchmarks.scenes.cost import told
from benchmarks.scenes.job import FIRST_WINDOW
from benchmarks.scenes.pictures import Pictures
from benchmarks.table import Row
from maskbeam.transforms.codecs.encode import decode_mask
from maskbeam.transforms.elements import Array

JOB, LOOP, MONAI, SEAMS = (f"benchmarks.scenes.{name}" for name in ("job", "peer_loop", "peer_monai", "seams"))
PARTS = ("model_alone", "monai", "loop", "sizes", "killed", "seams")
# Labels that two programs may differ in: where two classes are equal up to rounding.
_TIES = 1e-4

Said = Mapping[str, Any]


@dataclass(frozen=True)
class Scale:
    """How much is measured: sides of pictures in pixels, and how often.

    Attributes:
        side: Of the picture that is timed beside other ways to do the same.
        small: Of the smaller one of two between which a megapixel may not grow dearer.
        large: Of the larger one.
        killed: Of the one whose run is killed at half; of several blocks.
        rounds: How often all take turns.
        long_rounds: The same where a round takes many minutes: of the last two pictures.
    """

    side: int
    small: int
    large: int
    killed: int
    rounds: int
    long_rounds: int


FULL = Scale(side=4096, small=2048, large=16_384, killed=10_980, rounds=3, long_rounds=3)
QUICK = Scale(side=2048, small=2048, large=4096, killed=6144, rounds=1, long_rounds=1)


class Parts:
    """Measures part after part, and keeps all that was said."""

    def __init__(self, work: Path, scale: Scale) -> None:
        self._pictures = Pictures(work / "scenes")
        self.output = work / "scenes-output"
        self._log = work / "scenes.log"
        self.scale = scale
        self.said: dict[str, list[Said]] = {}
        self.left_out: list[tuple[int, str]] = []

    def model_alone(self) -> Iterator[Row]:
        """The job beside its model."""
        runs = [self._ours("job", self.scale.side, with_model=True) for _ in range(self.scale.rounds)]
        for unit, what, (least, aim) in (("seconds", "time", (0.85, 0.95)), ("cpu", "CPU time", (None, None))):
            ratios = [mean(model[unit] for model in run["model"]) / run["job"][unit] for run in runs]
            yield Row(1, f"the model alone / the job, {what}", spread(ratios), least, aim)

    def monai(self) -> Iterator[Row]:
        """MONAI's sliding window beside ours with its blend."""
        if not importlib.util.find_spec("monai"):
            self.left_out.append((2, "MONAI's sliding window / ours: `pip install monai` first, 5.6 GB"))
            return
        named = "MONAI's sliding window"
        for side, what, (least, aim) in (
            (self.scale.side, "seconds", (1.5, 1.8)),
            (self.scale.killed, "peak_mb", (3.0, 5.0)),
        ):
            flags = ("--tile_blend", "gaussian")
            pairs = list(self._in_turns(MONAI, named, f"ours, gaussian, {what}", side, *flags))
            ratios = [_value(peer, what) / _value(ours, what) for peer, ours in pairs]
            yield Row(2, f"{named} / ours, {what}, {side:,} a side", spread(ratios), least, aim)

    def loop(self) -> Iterator[Row]:
        """A loop by hand beside ours without overlap."""
        named = "a loop by hand"
        pairs = list(self._in_turns(LOOP, named, "ours, no overlap", self.scale.side, "--tile_overlap", "0"))
        for unit, what, (least, aim) in (("seconds", "time", (1.0, 1.2)), ("cpu", "CPU time", (None, None))):
            ratios = [peer["job"][unit] / ours["job"][unit] for peer, ours in pairs]
            yield Row(3, f"{named} / ours without overlap, {what}", spread(ratios), least, aim)

    def sizes(self) -> Iterator[Row]:
        """A megapixel of a large picture beside one of a small picture."""
        small, large = self.scale.small, self.scale.large
        runs = [
            [self._ours(f"{side:,} a side", side) for side in (small, large)] for _ in range(self.scale.long_rounds)
        ]
        for unit, what, (least, aim) in (("seconds", "seconds", (1.1, 1.05)), ("cpu", "CPU seconds", (None, None))):
            ratios = [two["job"][unit] / one["job"][unit] * (small / large) ** 2 for one, two in runs]
            title = f"{what} a megapixel at {large:,} / at {small:,} a side"
            yield Row(5, title, spread(ratios), least, aim, smaller=True)

    def killed(self) -> Iterator[Row]:
        """A run that is killed at half and run again beside one that is not."""
        ratios = []
        for number in range(self.scale.long_rounds):
            whole = self._ours("undisturbed", self.scale.killed)["job"]["seconds"]
            # Half, give or take: how much is lost depends on where in a block a run is killed.
            share = (0.5, 0.45, 0.55)[number % 3]
            before = self._kill(self.scale.killed, share * whole)
            after = self._ours("run again", self.scale.killed, fresh=False)["job"]["seconds"]
            ratios.append((before + after) / whole)
        title = f"killed at half and run again / undisturbed, time, {self.scale.killed:,} a side"
        yield Row(8, title, spread(ratios), 1.1, 1.03, smaller=True)

    def seams(self) -> Iterator[Row]:
        """Steps at the lines of windows."""
        shutil.rmtree(self.output, ignore_errors=True)
        said = told(SEAMS, str(self.output), log=self._log)
        self._keep("seams", said)
        for name in (name for name, value in said.items() if isinstance(value, dict)):
            least, aim = (1.5, 1.0) if name.startswith("hann") else (None, None)
            title = f"step of the score across windows' lines / elsewhere, {name}"
            yield Row(11, title, spread([said[name]["step"]]), least, aim, smaller=True)
            for what, of in (
                ("wrong", "of a model that is off at its edges are wrong"),
                ("changed", "of the sample model are others with an overlap of 0.75"),
            ):
                yield Row(11, f"% of labels {of}, {name}", spread([100 * said[name][what]]), smaller=True)

    def _in_turns(self, module: str, named: str, ours: str, side: int, *flags: str) -> Iterator[tuple[Said, Said]]:
        """A peer and ours, round after round.

        Raises:
            RuntimeError: They do not make the same mask.
        """
        for _ in range(self.scale.rounds):
            peer = self._peer(module, named, side)
            theirs = _pixels(self.output / "mask.png")
            mine = self._ours(ours, side, *flags)
            differing = np.count_nonzero(theirs != self._mask()) / theirs.size
            if differing > _TIES:
                raise RuntimeError(f"{differing:.2%} of the labels of {named} are not ours")
            yield {**peer, "differing": differing}, mine

    def _peer(self, module: str, named: str, side: int) -> Said:
        shutil.rmtree(self.output, ignore_errors=True)
        command = (module, str(self._pictures.picture(side)), str(self._pictures.model()), str(self.output))
        return self._keep(named, told(*command, log=self._log))

    def _ours(self, named: str, side: int, *flags: str, with_model: bool = False, fresh: bool = True) -> Said:
        if fresh:
            shutil.rmtree(self.output, ignore_errors=True)
        return self._keep(named, told(*self._command(side, *flags, with_model=with_model), log=self._log))

    def _command(self, side: int, *flags: str, with_model: bool = False) -> list[str]:
        picture, model = self._pictures.picture(side), self._pictures.model()
        return [JOB, str(picture), str(model), str(self.output), "alone" if with_model else "-", *flags]

    def _kill(self, side: int, seconds: float) -> float:
        """Kills a run so many seconds after its first window, and gives how many it really had."""
        shutil.rmtree(self.output, ignore_errors=True)
        mark = self.output.with_name(FIRST_WINDOW)
        mark.unlink(missing_ok=True)
        with self._log.open("wb") as log:
            process = subprocess.Popen([sys.executable, "-m", *self._command(side)], stdout=log, stderr=log)
            _wait_for(lambda: mark.exists() or process.poll() is not None)
            start = time.time()
            _wait_for(lambda: time.time() - start > seconds or process.poll() is not None)
            process.send_signal(signal.SIGKILL)
        if process.wait() != -signal.SIGKILL:
            raise RuntimeError("the run that was to be killed had ended before")
        return time.time() - start

    def _mask(self) -> Array:
        (mask,) = (self.output / "masks").rglob("*.png")
        return decode_mask(mask.read_bytes())

    def _keep(self, named: str, said: Said) -> Said:
        self.said.setdefault(named, []).append(said)
        print(f"{named}: {said}", flush=True)
        return said


def _wait_for(happened: Callable[[], bool]) -> None:
    while not happened():
        time.sleep(0.02)


def _value(said: Said, what: str) -> float:
    return float(said["peak_mb"] if what == "peak_mb" else said["job"][what])


def _pixels(path: Path) -> Array:
    Pillow.MAX_IMAGE_PIXELS = None
    return np.asarray(Pillow.open(path))
