"""`maskbeam review`: which images a person looks at first, and that the list is an input as it is."""

import csv
from pathlib import Path

import pytest

from maskbeam.pipeline.cli.commands import COMMANDS
from maskbeam.pipeline.commands.review.orders import ORDERS
from maskbeam.pipeline.main import main
from maskbeam.pipeline.output.finished import FinishedOutput
from maskbeam.transforms.errors import RunError
from tests.support.numpy_engine import command, run_numpy
from tests.support.trees import draw, tree_of


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reviewed")
    for name in ("n/a", "n/b", "n/c", "m/a", "m/b", "=m"):
        draw(folder / f"in/{name}.png", name)
    assert run_numpy(command(str(folder / "in"), str(folder / "out"))) == 0
    return folder / "out"


def rows(out: Path, by: str, *flags: str) -> list[dict[str, str]]:
    assert main(["review", str(out), "--by", by, *flags]) == 0
    with (out / f"review/{by}.csv").open(newline="") as lines:
        return list(csv.DictReader(lines))


def confidences(out: Path) -> dict[str, float]:
    return {row.image_id: float(row.cells["mean_confidence"]) for row in FinishedOutput.open(str(out)).images()}


def test_the_least_sure_come_first(out: Path) -> None:
    found = rows(out, "confidence")
    held = confidences(out)
    assert [float(row["score"]) for row in found] == sorted(held.values())
    assert [row["rank"] for row in found] == ["1", "2", "3", "4", "5", "6"]
    assert found[0]["why"] == f"mean confidence {min(held.values()):.3f}"


def test_the_rarest_class_comes_first(out: Path) -> None:
    made = FinishedOutput.open(str(out))
    pixels = {row.image_id: [int(row.cells[f"pixels_{c}"]) for c in made.classes.names] for row in made.images()}
    totals = [sum(each) for each in zip(*pixels.values(), strict=True)]
    seen = sum(map(bool, totals))
    score = {
        image_id: sum(n * sum(totals) / (seen * of_all) for n, of_all in zip(counts, totals, strict=True) if of_all)
        / sum(counts)
        for image_id, counts in pixels.items()
    }
    found = rows(out, "rare")
    assert [float(row["score"]) for row in found] == pytest.approx(sorted(score.values(), reverse=True))
    assert "of all" in found[0]["why"]


def test_few_of_one_folder_and_no_more_than_asked(out: Path) -> None:
    found = rows(out, "confidence", "--per_group", "1", "--top", "2")
    folders = [row["id"].rpartition("/")[0] for row in found]
    assert len(folders) == len(set(folders)) == 2


def test_a_queue_for_each_class(out: Path) -> None:
    found = rows(out, "confidence", "--per_class", "1")
    names = FinishedOutput.open(str(out)).classes.names
    assert [row["class"] for row in found] == [name for name in names if name in {row["class"] for row in found}]
    assert len({row["id"] for row in found}) == len(found)


def test_the_list_is_an_input_as_it_is(out: Path, tmp_path: Path) -> None:
    chosen = {row["id"].removeprefix("'") for row in rows(out, "confidence", "--top", "4")}
    assert run_numpy(command(str(out / "review/confidence.csv"), str(tmp_path / "again"))) == 0
    again = FinishedOutput.open(str(tmp_path / "again"))
    assert {row.image_id for row in again.images()} == chosen
    for row in again.images():
        path = again.path(row.image_id)
        assert (tmp_path / "again" / path).exists()
        assert (again.mask(row.image_id) == FinishedOutput.open(str(out)).mask(row.image_id)).all()
    assert run_numpy(command(str(out / "reports/images.csv"), str(tmp_path / "all"))) == 0
    assert {row.image_id for row in FinishedOutput.open(str(tmp_path / "all")).images()} == confidences(out).keys()


def test_nothing_else_is_written(out: Path) -> None:
    rows(out, "rare")
    before = tree_of(out)
    rows(out, "rare")
    assert tree_of(out) == before


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ((), "--by is missing"),
        (("--by", "luck"), "invalid choice"),
        (("--by", "rare", "--top", "0"), "no whole number of 1 or more"),
        (("--by", "rare", "--group_by", "1"), "give both"),
    ],
)
def test_wrong_words(out: Path, flags: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["review", str(out), *flags]) == 2
    assert message in capsys.readouterr().err


def test_damaged_reports_are_said(out: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no run has finished"):
        FinishedOutput.open(str(tmp_path))
    copy = tmp_path / "copy"
    for path, data in tree_of(out).items():
        (copy / path).parent.mkdir(parents=True, exist_ok=True)
        (copy / path).write_bytes(data)
    (copy / "reports/classes.csv").write_text("id,name\n0,a\n")
    assert main(["review", str(copy), "--by", "rare"]) == 2


def test_the_command_offers_each_order() -> None:
    (by,) = (flag for flag in COMMANDS["review"].words if flag.name == "by")
    assert by.choices == tuple(ORDERS)
