"""`maskbeam run` whose workers refuse to work."""

import sys

from pipeline.job import Job
from pipeline.main import run_options
from pipeline.quiet import quiet
from pipeline.run import run
from tests.numpy_engine import numpy_probe
from transforms.errors import RunError
from transforms.predict import Engine, Loader


def refuse() -> Engine:
    raise RunError("this worker has no GPU; give it one")


def refusing_loader(job: Job) -> tuple[Loader, Job]:
    return refuse, job


if __name__ == "__main__":
    quiet()
    sys.exit(run(run_options(sys.argv[1:]), find_probe=numpy_probe, make_loader=refusing_loader))
