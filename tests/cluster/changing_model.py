"""`maskbeam run` that replaces its model file before the work begins, so that workers find another one.

It lies beside the first, with the extension `.other`.
"""

import sys
from pathlib import Path

from pipeline.job import Job
from pipeline.main import run_options
from pipeline.quiet import quiet
from pipeline.run import engine_loader, run
from transforms.predict import Loader


def changing_loader(job: Job) -> tuple[Loader, Job]:
    found = engine_loader(job)
    model = Path(job.options.model.path)
    model.with_suffix(".other").replace(model)
    return found


if __name__ == "__main__":
    quiet()
    sys.exit(run(run_options(sys.argv[1:]), make_loader=changing_loader))
