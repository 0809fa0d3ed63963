"""What is run beside each other: commands that do the same work on the same shards with the same model."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PEER_REPORT = "summary.json"


@dataclass(frozen=True)
class Contender:
    """A command to be measured.

    Attributes:
        name: As the table shows it.
        module: What `python -m` runs.
        arguments: Of the command; `{}` stands for its output folder.
        last: The file that it writes when all is done.
        cores: How many cores it may use; 0 for all.
    """

    name: str
    module: str
    arguments: tuple[str, ...]
    last: str = PEER_REPORT
    cores: int = 0

    def command(self, output: Path) -> list[str]:
        """Arguments after `python`."""
        return ["-m", self.module, *(argument.format(output) for argument in self.arguments)]


def ours(shards: str, model: Path, name: str, *flags: str, engine: str = "tensorflow") -> Contender:
    """`maskbeam run`; labels are brought to the image's size unless flags say otherwise."""
    flags = flags or ("--upsample", "labels")
    fixed = ("--input", shards, "--model", str(model), "--normalize", "0..1", "--resize", "stretch")
    return Contender(
        name, "maskbeam.pipeline.main", ("run", *fixed, "--engine", engine, "--output", "{}", *flags), last="_SUCCESS"
    )


def peers(shards: str, model: Path) -> Sequence[Contender]:
    """What a user would otherwise run, as well as we can write it."""
    return [
        Contender("Beam RunInference", "benchmarks.peer_run_inference", (shards, str(model), "{}")),
        Contender("tf.data script, careful", "benchmarks.peer_tf_data", (shards, str(model), "{}")),
    ]


def plain_script(shards: str, model: Path) -> Contender:
    """The script as most people would write it."""
    name = "tf.data script, as most write it"
    return Contender(name, "benchmarks.peer_tf_data_plain", (shards, str(model), "{}"))


def host_work(shards: str, upsample: str, *, name: str = "") -> Contender:
    """Our job with an engine that returns a constant."""
    return Contender(
        name or f"host work, {upsample}", "benchmarks.host_work", (shards, "{}", upsample), last="_SUCCESS"
    )
