"""The command line of every part of the cluster."""

import json
import os
from pathlib import Path

from network import address_of, in_namespace
from parts import boot_program, python_of_workers

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parent.parent
STATE = CHECKOUT / "build" / "flink"
REST_PORT, JOB_PORT = 8081, 8099
# The JobManager's and the job server's namespace, and those of the TaskManagers.
MASTER, TASK_MANAGERS = 0, (1, 2)
_OPENED = [f"--add-opens=java.base/java.{package}=ALL-UNNAMED" for package in ("lang", "util", "nio", "net")]
# Short jobs on few cores: compiling less and collecting on one thread leaves the cores to the Python workers.
_JAVA = [*_OPENED, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.showDateTime=true"]


def commands(class_path: str, *, isolated: bool) -> dict[str, list[str]]:
    """The command line of each part, by its name, in the order of their start.

    Args:
        class_path: Of all JVMs.
        isolated: Whether each TaskManager has a network namespace and a worker pool of its own.
    """
    place = in_namespace if isolated else _here
    host = master(isolated=isolated)
    parts = {"jobmanager": place(MASTER, job_manager(class_path, host))}
    for number in TASK_MANAGERS:
        own = address_of(number) if isolated else host
        parts[f"taskmanager-{number}"] = place(number, task_manager(class_path, host, own, number))
        if isolated:
            parts[f"workers-{number}"] = place(number, worker_pool())
    return {**parts, "jobserver": place(MASTER, job_server(class_path, host))}


def master(*, isolated: bool) -> str:
    """The address of JobManager and job server."""
    return address_of(MASTER) if isolated else "127.0.0.1"


def job_manager(class_path: str, host: str) -> list[str]:
    """Flink's JobManager at an address; parts of it look for each other at `localhost` too."""
    main = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
    everywhere = host if host == "127.0.0.1" else "0.0.0.0"
    settings = {
        "jobmanager.rpc.address": host,
        "jobmanager.bind-host": everywhere,
        "rest.address": host,
        "rest.bind-address": everywhere,
    }
    return _flink(class_path, main, settings)


def task_manager(class_path: str, host: str, own: str, number: int) -> list[str]:
    """A TaskManager at the address `own` of the JobManager at `host`."""
    settings = {
        "jobmanager.rpc.address": host,
        "taskmanager.host": own,
        "taskmanager.bind-host": own,
        "taskmanager.resource-id": f"taskmanager-{number}",
        "io.tmp.dirs": f"{STATE}/tmp",
    }
    return _flink(class_path, "org.apache.flink.runtime.taskexecutor.TaskManagerRunner", settings)


def worker_pool() -> list[str]:
    """An SDK worker pool: starts a Python worker when its TaskManager asks for one."""
    return [python_of_workers(), "-m", "apache_beam.runners.worker.worker_pool_main", "--service_port=50000"]


def job_server(class_path: str, host: str) -> list[str]:
    """Beam's job server for the JobManager at `host`: takes pipelines and translates them for Flink."""
    main = "org.apache.beam.runners.flink.FlinkJobServerDriver"
    ports = [f"--job-host={host}", f"--job-port={JOB_PORT}", "--artifact-port=8098", "--expansion-port=8097"]
    where = [f"--flink-master={host}:{REST_PORT}", f"--artifacts-dir={STATE}/artifacts"]
    return ["java", "-Xmx512m", *_JAVA, "-cp", class_path, main, *where, *ports]


def flags(*, isolated: bool) -> list[str]:
    """The flags that send a pipeline to this cluster."""
    where = f"--job_endpoint={master(isolated=isolated)}:{JOB_PORT}"
    chosen = ["--runner=PortableRunner", where, f"--parallelism={len(TASK_MANAGERS)}"]
    if isolated:
        return [*chosen, "--environment_type=EXTERNAL", "--environment_config=localhost:50000"]
    # Without the first variable the boot program makes an environment of its own and installs Beam there.
    variables = {"RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT": "1", "PATH": path_of_workers()}
    config = json.dumps({"command": boot_program(), "env": variables}, separators=(",", ":"))
    return [*chosen, "--environment_type=PROCESS", f"--environment_config={config}"]


def variables() -> dict[str, str]:
    """What workers find in their environment; the checkout itself, for what is not installed, as engines of tests."""
    return {"PATH": path_of_workers(), "PYTHONPATH": str(CHECKOUT)}


def path_of_workers() -> str:
    """The `PATH` on which `python` is the one that maskbeam is installed in."""
    return f"{Path(python_of_workers()).parent}:{os.environ['PATH']}"


def _here(_: int, command: list[str]) -> list[str]:
    return command


def _flink(class_path: str, main: str, settings: dict[str, str]) -> list[str]:
    properties = [word for key, value in settings.items() for word in ("-D", f"{key}={value}")]
    return ["java", "-Xmx384m", *_JAVA, "-cp", class_path, main, "--configDir", f"{HERE}/conf", *properties]
