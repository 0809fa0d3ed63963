"""The parts of the benchmark: each runs its processes in turns, round after round, and gives rows of the table."""

import os
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
import rasterio

from benchmarks.rounds import spread
from benchmarks.scenes import far_bytes
from benchmarks.scenes.cost import told
from benchmarks.scenes.inputs import MASK, Inputs
from benchmarks.scenes.job import FIRST_WINDOW
from benchmarks.table import Row
from maskbeam.transforms.elements import Array

JOB, LOOP, MONAI, SEAMS = (f"benchmarks.scenes.{name}" for name in ("job", "peer_loop", "peer_monai", "seams"))
PARTS = ("model_alone", "monai", "loop", "memory", "sizes", "half", "killed", "seams", "far_bytes")
# Where `make` installs MONAI.
MONAI_PYTHON = Path("build/monai/bin/python")
# The engine that peers have, too.
_TENSORFLOW = ("--engine", "tensorflow")
# Labels that two programs may differ in: where two classes are equal up to rounding.
_TIES = 1e-4
_WORDS = {"seconds": "time", "cpu": "CPU time", "peak_mb": "peak memory"}

Said = Mapping[str, Any]


@dataclass(frozen=True)
class Scale:
    """How much is measured: sides of scenes in pixels, and how often.

    Attributes:
        side: Of the scene that is timed beside other ways to do the same.
        small: Of the smaller one of two between which a megapixel may not grow dearer.
        large: Of the larger one.
        killed: Of the one whose run is killed at half, of several blocks; also of that on which a peer's memory is
            measured beside ours.
        light: Of the smaller one of two between which memory may not grow.
        heavy: Of the larger one.
        rounds: How often all take turns.
        long_rounds: The same where a round takes many minutes.
    """

    side: int
    small: int
    large: int
    killed: int
    light: int
    heavy: int
    rounds: int
    long_rounds: int


FULL = Scale(side=4096, small=2048, large=16_384, killed=10_980, light=5000, heavy=20_000, rounds=3, long_rounds=3)
QUICK = Scale(side=2048, small=2048, large=4096, killed=6144, light=2048, heavy=6144, rounds=1, long_rounds=1)


class Parts:
    """Measures part after part, and keeps all that was said."""

    def __init__(self, work: Path, scale: Scale) -> None:
        self._folder = work / "scenes"
        self._inputs = Inputs(self._folder)
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
        if not MONAI_PYTHON.exists():
            self.left_out.append((2, "MONAI's sliding window / ours: `make build/monai/.installed` first, 5.6 GB"))
            return
        limits = {"seconds": (1.5, 1.8), "cpu": (None, None), "peak_mb": (3.0, 5.0)}
        for side, rounds, asked in (
            (self.scale.side, self.scale.rounds, ("seconds", "cpu")),
            (self.scale.killed, self.scale.long_rounds, ("peak_mb", "seconds", "cpu")),
        ):
            named, flags = f"MONAI's sliding window, {side:,} a side", ("--tile_blend", "gaussian")
            pairs = list(
                self._in_turns(MONAI, named, f"ours, gaussian, {side:,} a side", side, *flags, rounds=rounds)
            )
            for what in asked:
                ratios = [_value(peer, what) / _value(ours, what) for peer, ours in pairs]
                yield Row(2, f"{named} / ours, {_WORDS[what]}", spread(ratios), *limits[what])
            differing = spread([100 * peer["differing"] for peer, _ in pairs])
            yield Row(2, f"% of labels that differ from those of {named}", differing, 0.0, 0.0, smaller=True)

    def loop(self) -> Iterator[Row]:
        """A loop by hand beside ours without overlap."""
        named = "a loop by hand"
        pairs = list(
            self._in_turns(
                LOOP, named, "ours, no overlap", self.scale.side, "--tile_overlap", "0", rounds=self.scale.rounds
            )
        )
        for unit, what, (least, aim) in (("seconds", "time", (1.0, 1.2)), ("cpu", "CPU time", (None, None))):
            ratios = [peer["job"][unit] / ours["job"][unit] for peer, ours in pairs]
            yield Row(3, f"{named} / ours without overlap, {what}", spread(ratios), least, aim)

    def memory(self) -> Iterator[Row]:
        """Peaks of a large scene and of a small one, with the engine that users get."""
        light, heavy = self.scale.light, self.scale.heavy
        # What is found out about the model is kept: later jobs load no TensorFlow.
        self._ours("warming up", self.scale.small, engine=())
        runs = [
            [
                self._ours(f"{side:,} a side, engine of its choice", side, engine=())["peak_mb"]
                for side in (light, heavy)
            ]
            for _ in range(self.scale.long_rounds)
        ]
        peaks = spread([two / 1000 for _, two in runs])
        yield Row(4, f"peak memory at {heavy:,} a side, GB", peaks, 2.0, 1.4, smaller=True)
        title = f"peak memory at {heavy:,} / at {light:,} a side"
        yield Row(4, title, spread([two / one for one, two in runs]), 1.5, 1.1, smaller=True)

    def half(self) -> Iterator[Row]:
        """A scene of which half is no data beside the whole one."""
        side = self.scale.side
        runs = [
            [
                self._ours(f"{side:,} a side, {name}", side, half=half)
                for name, half in (("whole", False), ("half", True))
            ]
            for _ in range(self.scale.rounds)
        ]
        for unit, what, (least, aim) in (("seconds", "time", (0.6, 0.53)), ("cpu", "CPU time", (None, None))):
            ratios = [half["job"][unit] / whole["job"][unit] for whole, half in runs]
            yield Row(
                7, f"a scene that is half no data / the whole one, {what}", spread(ratios), least, aim, smaller=True
            )

    def sizes(self) -> Iterator[Row]:
        """A megapixel of a large scene beside one of a small scene."""
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

    def far_bytes(self) -> Iterator[Row]:
        """Bytes of a scene that cross the network."""
        return far_bytes.rows(self._folder)

    def _in_turns(
        self, module: str, named: str, ours: str, side: int, *flags: str, rounds: int
    ) -> Iterator[tuple[Said, Said]]:
        """A peer and ours, round after round.

        Raises:
            RuntimeError: They do not make the same mask.
        """
        for _ in range(rounds):
            peer = self._peer(module, named, side)
            theirs = _labels(self.output / MASK)
            mine = self._ours(ours, side, *flags)
            differing = np.count_nonzero(theirs != self._mask()) / theirs.size
            if differing > _TIES:
                raise RuntimeError(f"{differing:.2%} of the labels of {named} are not ours")
            yield {**peer, "differing": differing}, mine

    def _peer(self, module: str, named: str, side: int) -> Said:
        shutil.rmtree(self.output, ignore_errors=True)
        command = (module, str(self._inputs.scene(side)), str(self._inputs.model()), str(self.output))
        python = str(MONAI_PYTHON) if module == MONAI else sys.executable
        return self._keep(named, told(*command, log=self._log, python=python))

    def _ours(
        self,
        named: str,
        side: int,
        *flags: str,
        with_model: bool = False,
        fresh: bool = True,
        half: bool = False,
        engine: tuple[str, ...] = _TENSORFLOW,
    ) -> Said:
        if fresh:
            shutil.rmtree(self.output, ignore_errors=True)
        command = self._command(self._inputs.scene(side, half=half), *engine, *flags, with_model=with_model)
        return self._keep(named, told(*command, log=self._log))

    def _command(self, scene: Path, *flags: str, with_model: bool = False) -> list[str]:
        model = self._inputs.model()
        return [JOB, str(scene), str(model), str(self.output), "alone" if with_model else "-", *flags]

    def _kill(self, side: int, seconds: float) -> float:
        """Kills a run so many seconds after its first window, and gives how many it really had."""
        shutil.rmtree(self.output, ignore_errors=True)
        mark = self.output.with_name(FIRST_WINDOW)
        mark.unlink(missing_ok=True)
        command = self._command(self._inputs.scene(side), *_TENSORFLOW)
        with self._log.open("wb") as log:
            process = subprocess.Popen([sys.executable, "-m", *command], stdout=log, stderr=log)
            _wait_for(lambda: mark.exists() or process.poll() is not None)
            start = time.time()
            _wait_for(lambda: time.time() - start > seconds or process.poll() is not None)
            process.send_signal(signal.SIGKILL)
        if process.wait() != -signal.SIGKILL:
            raise RuntimeError("the run that was to be killed had ended before")
        return time.time() - start

    def _mask(self) -> Array:
        (mask,) = (self.output / "masks").rglob("*.tif")
        return _labels(mask)

    def _keep(self, named: str, said: Said) -> Said:
        said = {**said, "load": os.getloadavg()[0]}
        self.said.setdefault(named, []).append(said)
        print(f"{named}: {said}", flush=True)
        return said


def _wait_for(happened: Callable[[], bool]) -> None:
    while not happened():
        time.sleep(0.02)


def _value(said: Said, what: str) -> float:
    return float(said["peak_mb"] if what == "peak_mb" else said["job"][what])


def _labels(path: Path) -> Array:
    with rasterio.open(path) as file:
        return np.asarray(file.read(1))
