"""`maskbeam run` whose model file is another one when the work begins, or gone.

The other one lies beside the first, with the extension `.other`.
"""

import sys
from pathlib import Path

from maskbeam.pipeline.cli.parser import run_options
from maskbeam.pipeline.job.job import Job
from maskbeam.pipeline.run import engine_loader, run
from maskbeam.pipeline.terminal.logs import quiet
from maskbeam.transforms.predict import Loader


def changing_loader(job: Job) -> tuple[Loader, Job]:
    found = engine_loader(job)
    model = Path(job.options.model.path)
    other = model.with_suffix(".other")
    if other.exists():
        other.replace(model)
    else:
        model.unlink()
    return found


if __name__ == "__main__":
    quiet()
    sys.exit(run(run_options(sys.argv[1:]), make_loader=changing_loader))
