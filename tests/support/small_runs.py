"""A run in miniature: the plan, and all that a worker does with each image, without Beam, a lease or reports."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from apache_beam.pvalue import TaggedOutput

from maskbeam.pipeline.build import skip_done
from maskbeam.pipeline.cli.parser import run_options
from maskbeam.pipeline.inputs.fetch import fetch_content
from maskbeam.pipeline.job import preview
from maskbeam.pipeline.job.plan import Plan, check_command, make_plan
from maskbeam.pipeline.job.record import record_of
from maskbeam.pipeline.output.failures import RememberFailure
from maskbeam.pipeline.output.outcome import Outcome
from maskbeam.pipeline.output.redraw import Redraw
from maskbeam.pipeline.output.tree import RECORD
from maskbeam.pipeline.output.write import Write
from maskbeam.pipeline.storage import open_storage
from maskbeam.transforms.elements import EncodedImage, Failure, Source
from maskbeam.transforms.lookahead import chain
from maskbeam.transforms.products.render import rendered
from tests.support.elements import encoded_image
from tests.support.numpy_engine import NumpyEngine, command, numpy_probe

__all__ = ["ends", "planned", "small_run"]
_runs = iter(range(1_000_000))


def planned(inputs: Path, out: Path, *flags: str) -> Plan:
    """What a run would do; raises RunError as a run does."""
    options = run_options(command(str(inputs), str(out), *flags))
    return make_plan(options, check_command(options), f"small-{next(_runs)}", find_probe=numpy_probe)


def small_run(inputs: Path, out: Path, *flags: str) -> list[Outcome | Failure]:
    """What became of each image of a folder, by name; masks and notes of failures are written."""
    job = planned(inputs, out, *flags).job
    out.mkdir(exist_ok=True)
    (out / RECORD).write_bytes(record_of(job))
    images = [_image(path) for path in sorted(inputs.iterdir())]
    tree = replace(job.tree, hold=None)
    write, skip = Write(tree, job.rendering, job.table.ids), skip_done(job)
    assert isinstance(skip.complete, Redraw)
    skip = replace(skip, tree=tree, complete=replace(skip.complete, tree=tree))

    def made(image: EncodedImage) -> Any:
        labels = preview._segment(job, NumpyEngine(job.end), fetch_content(image, job.names))
        return write(rendered(labels, job.rendering, text=tree.text))

    found = [chain((skip, made), image) for image in images]
    ended = [one.value if isinstance(one, TaggedOutput) else one for one in found]
    return [RememberFailure(tree)(one) if isinstance(one, Failure) else one for one in ended]


def ends(found: list[Outcome | Failure]) -> list[str]:
    """How images ended: `skipped`, `done`, `lost`, or the code of a failure."""
    return [
        one.code if isinstance(one, Failure) else "lost" if one.lost else "skipped" if one.skipped else "done"
        for one in found
    ]


def _image(path: Path) -> EncodedImage:
    listed = open_storage(str(path)).stat(str(path))
    assert listed is not None
    return encoded_image(path.stem, Source(str(path), listed.version))
