import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import NoReturn
from unittest.mock import Mock

import pytest

from maskbeam.pipeline.cli.parser import run_options
from maskbeam.pipeline.options import ModelOptions, OutputOptions, ReadOptions, RunOptions
from maskbeam.pipeline.run import run
from maskbeam.pipeline.runners.registry import check_runner, runner_of, with_defaults
from maskbeam.transforms.errors import RunError
from tests.support.numpy_engine import command, run_numpy
from tests.support.trees import draw_folder

NOBODY = "localhost:1"


class Flink(BaseHTTPRequestHandler):
    slots = 6

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"slots-total": self.slots}).encode() if self.path == "/overview" else b"<html>")

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def flink() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Flink) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def options(*beam: str, where: str = "") -> RunOptions:
    return RunOptions(
        ReadOptions(patterns=(f"{where}/in",)),
        model=ModelOptions(path=f"{where}/unet.keras"),
        output=OutputOptions(path=f"{where}/out"),
        beam=beam,
    )


@pytest.mark.parametrize(
    ("flags", "goes_on"),
    [
        ([], False),
        (["--runner=DirectRunner"], False),
        (["--runner=PrismRunner"], False),
        (["--runner=PortableRunner", "--environment_type=EXTERNAL"], True),
        (["--runner=PortableRunner", "--environment_type=LOOPBACK"], False),
        (["--runner=FlinkRunner", "--flink_master=h:1"], True),
        (["--runner=flink", "--flink_master=h:1"], True),
        (["--runner=direct"], False),
    ],
)
def test_a_job_goes_on_alone_where_nothing_of_it_is_in_the_command(flags: list[str], goes_on: bool) -> None:
    assert runner_of(flags).outlives_command(flags) == goes_on


@pytest.mark.parametrize(
    ("workers", "said"),
    [("EXTERNAL", "refused until a minute after the job has ended"), ("LOOPBACK", "goes on where this one stopped")],
)
def test_a_run_says_at_ctrl_c_what_becomes_of_its_job(
    workers: str, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def stopping(*_: object, rest: str) -> NoReturn:
        raise RunError(rest)

    monkeypatch.setattr("maskbeam.pipeline.run.stopping_on_signals", stopping)
    with flink() as address:
        flags = ["--runner=PortableRunner", f"--job_endpoint={address}", f"--environment_type={workers}"]
        with pytest.raises(RunError, match=said):
            run_numpy(command(str(draw_folder(tmp_path / "in", 1)), str(tmp_path / "out"), *flags))


@pytest.mark.parametrize(
    ("given", "where"),
    [
        (["--environment_type=EXTERNAL"], "probe_on_worker"),
        (["--environment_type=LOOPBACK"], "probe_file"),
        (["--environment_type=EXTERNAL", "--dry_run"], "probe_file"),
    ],
)
def test_a_model_is_tried_where_it_will_run(
    given: list[str], where: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("probe_on_worker", "probe_file"):
        monkeypatch.setattr(f"maskbeam.pipeline.run.{name}", Mock(side_effect=RunError(f"tried by {name}")))
    argv = command(str(draw_folder(tmp_path / "in", 1)), str(tmp_path / "out"))
    with flink() as address, pytest.raises(RunError, match=f"tried by {where}"):
        run(run_options([*argv, "--runner=PortableRunner", f"--job_endpoint={address}", *given]))


def test_flags_that_only_beam_s_job_server_knows_are_let_through() -> None:
    known = ("--max_bundle_size=2", "--max_bundle_time_mills=50", "--number_of_execution_retries=0")
    flags = ["--input=in", "--model=m.keras", "--output=out", *known]
    assert run_options(flags).beam == known
    with pytest.raises(RunError, match="unknown flag --max_bundle_sizes=2; did you mean --max_bundle_size"):
        run_options([*flags, "--max_bundle_sizes=2"])


def test_local_runs_have_no_flags_of_ours() -> None:
    assert with_defaults([]) == []
    assert with_defaults(["--runner=DirectRunner"]) == ["--runner=DirectRunner"]


def test_workers_of_a_cluster_outlive_a_stage() -> None:
    flags = with_defaults(["--runner=PortableRunner", "--job_endpoint=h:1"])
    assert flags[:2] == ["--runner=PortableRunner", "--job_endpoint=h:1"]
    assert flags[2:] == ["--environment_cache_millis=5000"]


@pytest.mark.parametrize("given", [["--environment_cache_millis=5"], ["--environment_cache_millis", "5"]])
def test_what_the_user_says_stands(given: list[str]) -> None:
    assert with_defaults(["--runner=PortableRunner", *given]) == ["--runner=PortableRunner", *given]


@pytest.mark.parametrize("scheme", ["", "http://"])
def test_flink_is_asked_how_many_slots_it_has(scheme: str) -> None:
    with flink() as address:
        assert "--parallelism=6" in with_defaults(["--runner=FlinkRunner", f"--flink_master={scheme}{address}"])


def test_how_many_slots_a_flink_without_any_will_have_is_the_user_s_to_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Flink, "slots", 0)
    with flink() as address:
        flags = ["--runner=FlinkRunner", f"--flink_master={address}"]
        with pytest.raises(RunError, match="say how many to ask for with --parallelism"):
            with_defaults(flags)
        assert "--parallelism=0" not in with_defaults([*flags, "--parallelism=4"])


def test_a_flink_that_beam_starts_by_itself_has_no_address_to_ask() -> None:
    assert "--parallelism" not in " ".join(with_defaults(["--runner=FlinkRunner"]))
    check_runner(options("--runner=FlinkRunner"))


def test_nobody_at_the_address_of_the_job_server_is_told_at_once() -> None:
    flags = ["--runner=PortableRunner", f"--job_endpoint={NOBODY}", "--environment_type=EXTERNAL"]
    with pytest.raises(RunError, match=f"--job_endpoint {NOBODY}: Beam's job server does not answer"):
        check_runner(options(*flags))


def test_nobody_at_the_address_of_flink_is_told_at_once() -> None:
    with pytest.raises(RunError, match=f"--flink_master {NOBODY}: no Flink answers there"):
        check_runner(options("--runner=FlinkRunner", f"--flink_master={NOBODY}", "--environment_type=EXTERNAL"))


@pytest.mark.parametrize("endpoint", [[], ["--job_endpoint=here"]])
def test_a_job_servers_address_is_needed(endpoint: list[str]) -> None:
    with pytest.raises(RunError, match="job_endpoint"):
        check_runner(options("--runner=PortableRunner", *endpoint, "--environment_type=EXTERNAL"))


@pytest.mark.parametrize("environment", [[], ["--environment_type=DOCKER"]])
def test_containers_do_not_see_this_machines_files(environment: list[str]) -> None:
    with flink() as address:
        flags = ["--runner=PortableRunner", f"--job_endpoint={address}", *environment]
        with pytest.raises(RunError, match="--output /data/out is on a disk of this machine"):
            check_runner(options(*flags, where="/data"))
        check_runner(options(*flags, where="gs://bucket"))


def refused(*flags: str) -> str:
    """Why a runner is refused for files on this machine's disk; "" where it is not."""
    try:
        check_runner(options(*flags, where="/data"))
    except RunError as error:
        return str(error)
    return ""


def test_workers_that_may_share_the_disk_are_trusted_until_they_have_looked() -> None:
    with flink() as address:
        flags = ["--runner=PortableRunner", f"--job_endpoint={address}"]
        assert refused(*flags, "--environment_type=EXTERNAL") == ""
        assert "is on a disk of this machine" in refused(*flags, "--environment_type=DOCKER")


def test_the_local_runner_is_not_checked() -> None:
    nobody = f"--job_endpoint={NOBODY}"
    assert refused("--runner=DirectRunner", nobody) == ""
    assert NOBODY in refused("--runner=PortableRunner", nobody, "--environment_type=EXTERNAL")
