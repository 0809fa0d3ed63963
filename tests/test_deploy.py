"""What people deploy: manifests and images that nobody can apply here, held to what is known of their formats."""

import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from maskbeam.pipeline.runners.portable import KEEP_WORKERS_MILLIS

DEPLOY = Path("deploy")
BEAM = re.findall(r"^apache-beam==(.*)$", Path("requirements.txt").read_text(), re.MULTILINE)[0]

RESOURCE = {"memory": str, "cpu": int}
ROLE = {"replicas": int, "resource": RESOURCE, "podTemplate": dict}
#: The part of the operator's FlinkDeployment (flink.apache.org/v1beta1) that the manifest uses.
FLINK = {
    "apiVersion": "flink.apache.org/v1beta1",
    "kind": "FlinkDeployment",
    "metadata": {"name": str},
    "spec": {
        "image": str,
        "flinkVersion": str,
        "mode": str,
        "serviceAccount": str,
        "flinkConfiguration": dict,
        "jobManager": ROLE,
        "taskManager": ROLE,
    },
}
CONTAINER = {"name": str, "image": str, "args": list, "ports": list, "resources": dict, "volumeMounts": list}


@cache
def manifest() -> dict[str, Any]:
    documents = yaml.safe_load_all((DEPLOY / "kubernetes/flink.yaml").read_text())
    return {document["kind"]: document for document in documents}


def problems(value: Any, schema: Any, place: str = "") -> list[str]:
    """Where a value is not what a schema says: a dict of what is allowed, a type, or the value itself."""
    if isinstance(schema, dict):
        unknown = [f"{place}.{key} is unknown" for key in value if key not in schema]
        known = [problems(value[key], schema[key], f"{place}.{key}") for key in value if key in schema]
        return unknown + [problem for found in known for problem in found]
    fits = isinstance(value, schema) if isinstance(schema, type) else value == schema
    return [] if fits else [f"{place} is {value!r}"]


def pod() -> dict[str, Any]:
    spec: dict[str, Any] = manifest()["FlinkDeployment"]["spec"]["taskManager"]["podTemplate"]["spec"]
    return spec


def containers() -> dict[str, dict[str, Any]]:
    return {container["name"]: container for container in pod()["containers"]}


def test_the_cluster_fits_the_operator_s_schema() -> None:
    deployment = manifest()["FlinkDeployment"]
    assert problems(deployment, FLINK) == []
    assert re.fullmatch(r"v\d_\d+", deployment["spec"]["flinkVersion"])
    assert deployment["spec"]["flinkVersion"][1:].replace("_", ".") in deployment["spec"]["image"]
    assert deployment["spec"]["mode"] in ("native", "standalone")
    assert all(isinstance(value, str) for value in deployment["spec"]["flinkConfiguration"].values())


def test_a_schema_finds_what_is_wrong() -> None:
    assert problems({"kind": "FlinkDeployment", "spec": {"img": "x"}}, FLINK) == [".spec.img is unknown"]
    assert problems({"kind": "Flink"}, FLINK) == [".kind is 'Flink'"]
    assert problems({"spec": {"jobManager": {"replicas": "1"}}}, FLINK) == [".spec.jobManager.replicas is '1'"]


def test_each_task_manager_has_a_worker_pool_beside_it_that_sees_the_same_files() -> None:
    both = containers()
    assert set(both) == {"flink-main-container", "sdk-pool"}
    assert [problem for container in both.values() for problem in problems(container, CONTAINER)] == []
    pool = both["sdk-pool"]
    assert pool["args"] == ["--worker_pool"]
    assert pool["ports"] == [{"containerPort": 50000}]
    assert pool["volumeMounts"] == both["flink-main-container"]["volumeMounts"]
    assert {mount["name"] for mount in pool["volumeMounts"]} == {volume["name"] for volume in pod()["volumes"]}


def test_the_job_server_is_found_by_its_labels_and_finds_flink() -> None:
    server, service = manifest()["Deployment"]["spec"], manifest()["Service"]["spec"]
    labels = server["template"]["metadata"]["labels"]
    assert server["selector"]["matchLabels"] == labels == service["selector"]
    (container,) = server["template"]["spec"]["containers"]
    assert f"--flink-master={manifest()['FlinkDeployment']['metadata']['name']}-rest:8081" in container["args"]
    assert {port["port"] for port in service["ports"]} == {port["containerPort"] for port in container["ports"]}
    flink = manifest()["FlinkDeployment"]["spec"]["flinkVersion"][1:].replace("_", ".")
    assert container["image"] == f"apache/beam_flink{flink}_job_server:{BEAM}"


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.gpu"])
def test_images_are_of_the_beam_and_hold_the_files_that_maskbeam_is_tested_with(name: str) -> None:
    lines = (DEPLOY / "docker" / name).read_text().splitlines()
    assert f"FROM apache/beam_python3.11_sdk:{BEAM}" in lines
    copied = [path for line in lines if line.startswith("COPY ") for path in line.split()[1:-1]]
    assert set(copied) == {
        "requirements.txt",
        "setup.py",
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "maskbeam",
        "pipeline",
        "transforms",
    }
    assert all(Path(path).exists() for path in copied)
    assert "ENV RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1" in lines
    assert not any(line.startswith(("ENTRYPOINT", "CMD")) for line in lines)


@pytest.mark.parametrize("where", ["test cluster", "Kubernetes"])
def test_a_job_begins_again_only_when_a_dead_worker_is_forgotten(where: str) -> None:
    settings = manifest()["FlinkDeployment"]["spec"]["flinkConfiguration"]
    if where == "test cluster":
        settings = yaml.safe_load((DEPLOY / "flink/conf/flink-conf.yaml").read_text())
    assert settings["restart-strategy.type"] == "fixed-delay"
    seconds = int(settings["restart-strategy.fixed-delay.delay"].removesuffix("s"))
    assert seconds * 1000 > KEEP_WORKERS_MILLIS


def test_the_test_cluster_s_programs_are_of_the_beam_that_is_installed() -> None:
    assert f'BEAM = "{BEAM}"' in (DEPLOY / "flink/parts.py").read_text()


def test_ci_says_in_a_line_what_it_does_not_run_and_why(tmp_path: Path) -> None:
    ran, programs = tmp_path / "ran", tmp_path / "bin"
    programs.mkdir()
    (programs / "make").write_text(f'#!/bin/sh\necho "$@" >> {ran}\n')
    (programs / "make").chmod(0o755)
    for name, program in (("python3", sys.executable), *((name, shutil.which(name)) for name in ("bash", "dirname"))):
        (programs / name).symlink_to(str(program))
    variables = {"PATH": str(programs), "XDG_CACHE_HOME": str(tmp_path / "cache"), "PIP_NO_INDEX": "1"}
    done = subprocess.run([".ci/run"], check=False, capture_output=True, text=True, env=variables, timeout=60)
    assert done.returncode == 0, done.stderr
    assert ran.read_text() == "test\nfuzz FUZZ_MINUTES=2\n"
    assert "not run: the wheel in an empty environment and the oldest allowed packages" in done.stdout
    assert "not run: the tests on a Flink cluster (make test-cluster), for the reason above" in done.stdout
    assert "not run: the test on the Prism runner (make test-prism), for the reason above" in done.stdout
    java, go = done.stderr.splitlines()
    assert java == "cluster: not on this machine's PATH: Java 17 (apt-get install openjdk-17-jre-headless)"
    assert go == "cluster: not on this machine's PATH: Go (apt-get install golang)"
