"""What a cluster is made of: fetched once through Maven and Go, kept in the user's cache."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from processes import ClusterError

HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "maskbeam"
BEAM = "2.77.0"
# Beam's job server sends all jars of its class path with every job, though Flink has them: 16 s of a short job's 29.
# It leaves out those below a folder of this name.
JARS = CACHE / "gradle" / "wrapper" / "flink-1.19-beam-2.62.0"
FETCH_SECONDS = 900
_HELP = {
    "java": "Java 17 (apt-get install openjdk-17-jre-headless)",
    "mvn": "Maven (apt-get install maven)",
    "go": "Go (apt-get install golang)",
}


def need(*programs: str) -> None:
    """Checks that programs are there.

    Raises:
        ClusterError: One is not; says how to get it.
    """
    missing = [_HELP[program] for program in programs if not shutil.which(program)]
    if missing:
        raise ClusterError(f"not on this machine's PATH: {', '.join(missing)}")


def jars() -> Path:
    """The folder of all jars of Flink and of Beam's job server: 150 MB, fetched when it is not there."""
    if JARS.is_dir():
        return JARS
    need("mvn")
    print(f"fetching Flink and Beam's job server into {JARS}: once, about two minutes ...", file=sys.stderr)
    partial = Path(f"{JARS}.partial")
    partial.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(partial, ignore_errors=True)
    command = ["mvn", "-q", "-B", "-f", f"{HERE}/pom.xml", "dependency:copy-dependencies"]
    _run([*command, f"-DoutputDirectory={partial}"], "Maven could not fetch Flink")
    partial.rename(JARS)
    return JARS


def go_program(package: str) -> str:
    """A program of Beam's that is written in Go, built when it is not there.

    Args:
        package: Its path in Beam's repository, as `sdks/v2/go/cmd/prism`.
    """
    folder = CACHE / f"beam-{BEAM}"
    program = folder / Path(package).name
    if not program.exists():
        need("go")
        print(f"building {program.name} with Go: once, about two minutes ...", file=sys.stderr)
        command = ["go", "install", f"github.com/apache/beam/{package}@v{BEAM}"]
        _run(command, f"Go could not build {program.name}", GOBIN=str(folder))
    return str(program)


def _run(command: list[str], failed: str, **variables: str) -> None:
    try:
        done = subprocess.run(command, check=False, env={**os.environ, **variables}, timeout=FETCH_SECONDS)
    except subprocess.TimeoutExpired:
        raise ClusterError(f"{failed} within {FETCH_SECONDS} s; is there a way to its registry?") from None
    if done.returncode:
        raise ClusterError(f"{failed}; its own words stand above")


def boot_program() -> str:
    """The SDK's boot program, which starts a Python worker."""
    return go_program("sdks/v2/python/container")


def prism_program() -> str:
    """Beam's Prism runner."""
    return go_program("sdks/v2/go/cmd/prism")


def python_of_workers() -> str:
    """The Python that maskbeam is installed in: the checkout's, else the one that runs this."""
    own = HERE.parent.parent / ".venv" / "bin" / "python"
    return str(own) if own.exists() else sys.executable


def job_server_jar() -> Path:
    """Beam's job server as one jar for `--flink_job_server_jar`: it holds nothing but the names of the others."""
    folder = jars()
    jar = CACHE / f"{folder.name}-job-server.jar"
    attributes = {
        "Manifest-Version": "1.0",
        "Main-Class": "org.apache.beam.runners.flink.FlinkJobServerDriver",
        "Add-Opens": " ".join(f"java.base/java.{package}" for package in ("lang", "util", "nio", "net")),
        "Class-Path": " ".join(path.as_uri() for path in sorted(folder.glob("*.jar"))),
    }
    text = "".join(_manifest_line(f"{name}: {value}") for name, value in attributes.items())
    with zipfile.ZipFile(jar, "w") as file:
        file.writestr("META-INF/MANIFEST.MF", text)
    return jar


def _manifest_line(line: str) -> str:
    # A line has at most 72 bytes; the next one goes on after a space.
    pieces = [line[:72], *(f" {line[start : start + 71]}" for start in range(72, len(line), 71))]
    return "".join(f"{piece}\n" for piece in pieces)
