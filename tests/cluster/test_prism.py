from pathlib import Path

from maskbeam.pipeline.verify.verify import verify
from tests.cluster.flink import Run, last_run
from tests.support.trees import differing, tree_of


def test_the_tree_is_the_local_runner_s(prism: tuple[str, ...], argv: list[str], local: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    for written in (last_run(local)["written"], 0):
        Run.start([*argv, *prism], output).must_succeed()
        assert differing(tree_of(local), tree_of(output)) == []
        assert last_run(output)["written"] == written
    assert verify(str(output)) == 0
