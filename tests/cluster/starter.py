"""A program that starts Python workers as Beam's own does, with packages of a test's choice."""

import json
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

# Without Python's own look for packages: what was installed in place, as maskbeam is here, is not found by itself.
PROGRAM = """#!{python} -SE
import sys
sys.path[:0] = {packages}
import grpc
from apache_beam.portability.api import beam_provision_api_pb2 as request, beam_provision_api_pb2_grpc as service
from apache_beam.runners.worker.sdk_worker import SdkHarness
given = dict(word.removeprefix("--").split("=", 1) for word in sys.argv[1:])
asked = service.ProvisionServiceStub(grpc.insecure_channel(given["provision_endpoint"]))
told = asked.GetProvisionInfo(request.GetProvisionInfoRequest(), metadata=[("worker_id", given["id"])]).info
SdkHarness(told.control_endpoint.url, worker_id=given["id"]).run()
"""


def workers_with(folders: Sequence[Path], program: Path) -> list[str]:
    """The flags of a job whose workers have what is installed here, and before that what lies in folders.

    Args:
        folders: Searched first.
        program: Where the program is to be written.
    """
    packages = [*map(str, folders), sysconfig.get_paths()["purelib"]]
    program.write_text(PROGRAM.format(python=sys.executable, packages=packages))
    program.chmod(0o755)
    config = json.dumps({"command": str(program)}, separators=(",", ":"))
    return ["--environment_type=PROCESS", f"--environment_config={config}"]
