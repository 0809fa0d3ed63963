"""The whole benchmark: `python -m benchmarks [--quick]`, or `make bench` and `make bench-quick`."""

import argparse
import json
import os
import shutil
from dataclasses import asdict
from pathlib import Path

from benchmarks import plot, table
from benchmarks.contenders import host_work, ours
from benchmarks.data import PER_SHARD
from benchmarks.measure import aside, measure
from benchmarks.rounds import LIMIT, Results, first_call_seconds, run_rounds, spread
from benchmarks.table import Row
from benchmarks.work import FULL, QUICK, Data, Scale, main_contenders, other_contenders

TF, OV = "maskbeam, TensorFlow", "maskbeam, OpenVINO"
BEAM, CAREFUL = "Beam RunInference", "tf.data script, careful"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few hundred images and one round: under five minutes")
    parser.add_argument("--work", type=Path, default=Path("benchmarks/out"), help="folder for data and outputs")
    parser.add_argument("--results", type=Path, help="folder for the results [benchmarks/results; quick: in --work]")
    given = parser.parse_args()
    results = given.results or (given.work / "results" if given.quick else Path("benchmarks/results"))
    # Converted models are kept here too, so that nothing of earlier runs is used.
    os.environ["XDG_CACHE_HOME"] = str((given.work / "cache").absolute())
    scale = QUICK if given.quick else FULL
    output = given.work.absolute() / "output"
    try:
        Benchmark(Data(given.work.absolute() / "data", scale), scale, output).run(results)
    finally:
        shutil.rmtree(aside(output), ignore_errors=True)


class Benchmark:
    """Measures one scale of work, part after part."""

    def __init__(self, data: Data, scale: Scale, output: Path) -> None:
        self._data, self._scale, self._output = data, scale, output
        self._about = table.machine()

    def run(self, folder: Path) -> None:
        """Measures everything and writes the results."""
        model = self._data.model()
        scale, output = self._scale, self._output
        contenders = main_contenders(self._data, scale)
        main = run_rounds(contenders, model=model, rounds=scale.rounds, output=output, seconds=scale.seconds)
        others = run_rounds(other_contenders(self._data, scale), model=None, rounds=1, output=output)
        rows = [
            *self._speed(main),
            *self._heavy(),
            *self._host(others),
            self._memory(),
            *self._start(model),
            *self._products(main),
        ]
        self._write(folder, rows, main, others)

    def _speed(self, main: Results) -> list[Row]:
        logits = [(1, f"{TF}, logits"), (2, f"{OV}, logits")]
        return [
            Row(1, f"{TF} / {LIMIT}", main.ratio(TF, LIMIT), 0.75, 0.82),
            Row(2, f"{OV} / {LIMIT} of TensorFlow", main.ratio(OV, LIMIT), 1.0, 1.15),
            *(
                Row(number, f"{name} / {LIMIT} of TensorFlow", main.ratio(name, LIMIT))
                for number, name in logits
                if name in main.runs
            ),
            Row(3, f"{TF} / {BEAM}", main.ratio(TF, BEAM), 2.5, 3),
            Row(3, f"{OV} / {BEAM}", main.ratio(OV, BEAM), 3.5, 4.5),
            Row(4, f"{TF} / {CAREFUL}", main.ratio(TF, CAREFUL), 1.0, 1.15),
            Row(4, f"{OV} / {CAREFUL}", main.ratio(OV, CAREFUL), 1.3, 1.6),
        ]

    def _heavy(self) -> list[Row]:
        rows = []
        for size, classes, number in ((640, 3, 5), (512, 21, 0))[: None if self._scale.everything else 1]:
            model, shards = self._data.model(size, classes), self._data.few(self._scale.heavy)
            names = [f"{size} x {size}, {classes} classes, {upsample}" for upsample in ("labels", "logits")]
            runs = [
                ours(shards, model, name, "--upsample", name.rpartition(" ")[2])
                for name in names[: 1 if number else 2]
            ]
            rounds = min(2, self._scale.rounds)
            results = run_rounds(
                runs, model=model, rounds=rounds, output=self._output, seconds=1.5 * self._scale.seconds
            )
            limits = (0.95, 0.98) if number else (None, None)
            rows += [Row(number, f"{run.name} / {LIMIT}", results.ratio(run.name, LIMIT), *limits) for run in runs]
        return rows

    def _host(self, others: Results) -> list[Row]:
        costs = {name: spread([run.cpu_ms for run in runs]) for name, runs in others.runs.items()}
        rows = [
            Row(6, "host work, labels: CPU ms an image", costs["host work, labels"], 3, 2, smaller=True),
            Row(6, "host work, logits: CPU ms an image", costs["host work, logits"], 5, 4, smaller=True),
        ]
        if "one core" in costs:
            rows.append(Row(0, "two cores / one", others.ratio("all cores", "one core")))
        return rows

    def _memory(self) -> Row:
        peaks = []
        for count in self._scale.long:
            run = host_work(self._data.long(count), "labels")
            peaks.append(measure(run.command(self._output), self._output, last=run.last).peak_mb)
        short, long = self._scale.long
        growth = (peaks[1] - peaks[0]) / (long - short) * 1000
        what = f"peak memory: MB for each 1,000 images between {short:,} and {long:,}"
        return Row(7, what, spread([growth]), 1, 0.2, smaller=True)

    def _start(self, model: Path) -> list[Row]:
        shards = self._data.few(PER_SHARD)
        ratios: dict[str, list[float]] = {"tensorflow": [], "openvino": [], "openvino alone": []}
        for _ in range(self._scale.rounds):
            tensorflow = first_call_seconds(model, "tensorflow")
            for engine in ("tensorflow", "openvino"):
                run = ours(shards, model, engine, engine=engine)
                first = measure(run.command(self._output), self._output, last=run.last).first
                ratios[engine].append(first / tensorflow)
            ratios["openvino alone"].append(first / first_call_seconds(_converted(), "openvino"))
        unavoidable = "import of TensorFlow, model load and first call"
        alone = "OpenVINO from its cache / the same of OpenVINO, which decodes no JPEGs"
        return [
            Row(8, f"start to first mask / {unavoidable}: TensorFlow", spread(ratios["tensorflow"]), 1.5, 1.2, True),
            Row(8, f"OpenVINO from its cache / {unavoidable}", spread(ratios["openvino"]), 1.5, 1.2, True),
            Row(8, alone, spread(ratios["openvino alone"]), smaller=True),
        ]

    def _products(self, main: Results) -> list[Row]:
        return [Row(9, "all products / masks only, in time", main.ratio(TF, f"{TF}, all products"), 2.0, 1.5, True)]

    def _write(self, folder: Path, rows: list[Row], main: Results, others: Results) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        plot.draw(main, folder / "benchmark.png")
        everything = Results({**main.runs, **others.runs}, main.limits)
        page = table.markdown(rows, everything, about=self._about, plot="benchmark.png")
        (folder / "benchmark.md").write_text(page)
        stored = {
            "machine": self._about,
            "rows": [{**asdict(row), "verdict": row.verdict} for row in rows],
            "forward pass alone": main.limits,
            "runs": {name: [_plain(run) for run in runs] for name, runs in everything.runs.items()},
        }
        (folder / "benchmark.json").write_text(json.dumps(stored, indent=1) + "\n")
        print(page)


def _plain(run: object) -> dict[str, float]:
    return {name: value for name, value in vars(run).items() if name != "samples"}


def _converted() -> Path:
    return next(Path(os.environ["XDG_CACHE_HOME"]).rglob("model.xml"))


if __name__ == "__main__":
    main()
