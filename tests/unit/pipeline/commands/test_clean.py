"""`maskbeam clean`: the masks of inputs that are gone, and everything that is to stay."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from maskbeam.pipeline.commands.clean import clean
from maskbeam.pipeline.main import main
from maskbeam.pipeline.output.claim import TEXT_KEY
from maskbeam.pipeline.storage.gcs_client import forget_client
from maskbeam.pipeline.verify.verify import verify
from maskbeam.transforms.codecs.encode import decode_mask, encode_mask, read_text
from maskbeam.transforms.errors import RunError
from tests.support.fake_gcs import FakeGcs
from tests.support.numpy_engine import command, run_numpy
from tests.support.trees import draw, tree_of

FLAGS = ("--products", "color,binary", "--max_failures", "100%")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two nights' folders; since then `gone` and `deep/gone` are gone from the second, and `bad` is damaged."""
    folder = tmp_path_factory.mktemp("cleaned")
    draw(folder / "first/old.png", "old")
    for name in ("kept", "gone", "deep/gone", "deep/kept", "bad"):
        draw(folder / f"second/{name}.png", name)
    out = str(folder / "out")
    assert run_numpy(command(str(folder / "first"), out, *FLAGS)) == 0
    assert run_numpy(command(str(folder / "second"), out, *FLAGS)) == 0
    for name in ("gone", "deep/gone"):
        (folder / f"second/{name}.png").unlink()
    (folder / "second/bad.png").write_bytes(b"damaged")
    assert run_numpy(command(str(folder / "second"), out, *FLAGS)) == 0
    return folder / "out"


@pytest.fixture
def out(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "out"))


def files(out: Path, *names: str) -> set[str]:
    kinds = ("masks", "color", *(f"binary/class_{n}" for n in range(3)))
    return {f"{kind}/{name}.png" for kind in kinds for name in names}


def removed(out: Path, action: Callable[[], object]) -> set[str]:
    before = set(tree_of(out))
    action()
    assert not (out / ".tmp").exists()
    assert not (out / ".lock.json").exists()
    return before - set(tree_of(out))


def test_without_a_yes_it_only_lists(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert removed(out, lambda: clean(str(out))) == set()
    said = capsys.readouterr().out.splitlines()
    assert set(said[:2]) == {"GONE      masks/deep/gone.png", "GONE      masks/gone.png"}
    assert "2 masks of inputs that are gone, with 8 other files." in said
    assert "1 file of other commands' --input; --all_inputs takes them, too: kept." in said
    assert "1 file of inputs that are there and failed: kept." in said
    assert said[-1] == f"Nothing was removed; maskbeam clean {out} --yes removes these."


def test_what_is_gone_is_removed_with_its_products(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert removed(out, lambda: clean(str(out), yes=True)) == files(out, "gone", "deep/gone")
    assert "Removed 2 masks of inputs that are gone, and 8 other files." in capsys.readouterr().out
    assert verify(str(out)) == 0
    capsys.readouterr()
    assert removed(out, lambda: clean(str(out), yes=True)) == set()
    assert "Removed 0 masks" in capsys.readouterr().out


def test_a_dry_run_only_lists_whatever_else_is_said(
    out: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("maskbeam.pipeline.commands.clean.ask_at_terminal", lambda: lambda: True)
    assert removed(out, lambda: main(["clean", str(out), "--dry_run", "--yes"])) == set()
    assert "GONE      masks/gone.png" in capsys.readouterr().out
    assert removed(out, lambda: main(["clean", str(out)])) == files(out, "gone", "deep/gone")


KEPT = {"failed": 1, "other_inputs": 1, "without_record": 0}


def document(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["clean", *words, "--format", "json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def told(out: Path, *names: str, removed: bool, **kept: int) -> dict[str, Any]:
    """The document that tells of these images, made of the paths that `files` gives."""
    paths: dict[str, list[str]] = {}
    for path in sorted(files(out, *names)):
        paths.setdefault(path.split("/")[0], []).append(path)
    masks = len(paths.get("masks", ()))
    others = sum(map(len, paths.values())) - masks
    counts = {"masks": masks, "other_files": others}
    return {"output": str(out), "removed": removed, **counts, "paths": paths, "kept": {**KEPT, **kept}}


def in_order(document: dict[str, Any]) -> dict[str, Any]:
    return {**document, "paths": {kind: sorted(paths) for kind, paths in document["paths"].items()}}


def test_a_document_lists_and_removes_the_same(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gone = ("gone", "deep/gone")
    listed: list[dict[str, Any]] = []
    assert removed(out, lambda: listed.append(document(capsys, str(out)))) == set()
    assert removed(out, lambda: listed.append(document(capsys, str(out), "--yes", "--dry_run"))) == set()
    assert [in_order(each) for each in listed] == [told(out, *gone, removed=False)] * 2
    taken: list[dict[str, Any]] = []
    assert removed(out, lambda: taken.append(document(capsys, str(out), "--yes"))) == files(out, *gone)
    assert in_order(taken[0]) == told(out, *gone, removed=True)
    assert document(capsys, str(out), "--yes") == told(out, removed=True)


def test_a_document_of_all_inputs_and_of_what_is_not_ours(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (out / "masks/plain.png").write_bytes(b"mine")
    # A file that is gone already is listed, and not told as removed.
    (out / "color/gone.png").unlink()
    taken = document(capsys, str(out), "--yes", "--all_inputs")
    expected = told(out, "gone", "deep/gone", "old", removed=True, other_inputs=0, without_record=1)
    expected["paths"]["color"].remove("color/gone.png")
    assert in_order(taken) == {**expected, "other_files": expected["other_files"] - 1}


def test_for_a_document_nobody_is_asked(
    out: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask() -> bool:
        raise AssertionError

    monkeypatch.setattr("maskbeam.pipeline.commands.clean.ask_at_terminal", lambda: ask)
    assert removed(out, lambda: document(capsys, str(out))) == set()


def test_a_refusal_is_no_document(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edited(out / ".job.json", inputs=None)
    assert main(["clean", str(out), "--format", "json"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "did a sample" in said.err


def test_last_night_s_are_removed_when_that_is_said(out: Path) -> None:
    assert removed(out, lambda: clean(str(out), yes=True, all_inputs=True)) == files(out, "gone", "deep/gone", "old")


@pytest.mark.parametrize("answer", [True, False])
def test_at_a_terminal_it_asks(answer: bool, out: Path) -> None:
    assert removed(out, lambda: clean(str(out), ask=lambda: answer)) == (
        files(out, "gone", "deep/gone") if answer else set()
    )


def test_the_command_without_a_terminal(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert removed(out, lambda: main(["clean", str(out)])) == set()
    assert removed(out, lambda: main(["clean", str(out), "--yes"])) == files(out, "gone", "deep/gone")
    assert main(["clean", str(out / "nowhere")]) == 2
    assert "no run has finished there" in capsys.readouterr().err


def test_what_is_not_ours_or_behind_a_link_stays(out: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    for name in ("gone", "old"):
        shutil.copy(out / f"masks/{name}.png", theirs)
    (out / "masks/plain.png").write_bytes(b"mine")
    (out / "masks/notes.txt").write_text("mine")
    os.link(theirs / "old.png", out / "masks/hard.png")
    (out / "masks/linked").symlink_to(theirs)
    (out / "masks/link.png").symlink_to(theirs / "gone.png")
    shutil.move(out / "color", tmp_path / "color")
    (out / "color").symlink_to(tmp_path / "color")
    gone = {path for path in files(out, "gone", "deep/gone") if not path.startswith("color/")}
    assert removed(out, lambda: clean(str(out), yes=True)) == gone
    assert sorted(os.listdir(theirs)) == ["gone.png", "old.png"]
    assert (tmp_path / "color/gone.png").exists()


def test_a_record_names_no_files_but_its_image_s(out: Path) -> None:
    """A mask is data: somebody else may have written its record."""
    mask = out / "masks/gone.png"
    record = json.loads(read_text(mask.read_bytes())[TEXT_KEY])
    others = ["color/kept.png"]
    for path in ("color/other.png", "binary/class_0/deep/other.png"):
        shutil.copy(out / "color/gone.png", out / path)
        others.append(path)
    record["products"] = dict.fromkeys([*others, "color/gone.png"], 1)
    mask.write_bytes(encode_mask(decode_mask(mask.read_bytes()), text={TEXT_KEY: json.dumps(record)}))
    taken = removed(out, lambda: clean(str(out), yes=True))
    assert taken == files(out, "deep/gone") | {"masks/gone.png", "color/gone.png"}


@pytest.mark.parametrize("path", ["masks/kept.png", "binary/../masks/gone.png", "../x/gone.png", "/etc/gone.png"])
def test_a_record_that_leads_elsewhere_is_none_of_ours(path: str, out: Path) -> None:
    mask = out / "masks/gone.png"
    record = json.loads(read_text(mask.read_bytes())[TEXT_KEY])
    record["products"][path] = 1
    mask.write_bytes(encode_mask(decode_mask(mask.read_bytes()), text={TEXT_KEY: json.dumps(record)}))
    assert removed(out, lambda: clean(str(out), yes=True)) == files(out, "deep/gone")


def edited(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def add_failure(out: Path, code: str) -> None:
    with (out / "reports/failures.jsonl").open("a") as file:
        file.write(json.dumps({"id": "", "where": "x", "version": "", "code": code, "reason": ""}) + "\n")


def empty_reports(out: Path) -> None:
    edited(out / "reports/summary.json", inputs=0, done=0)
    (out / "reports/images.csv").write_text("id\n")


SAYS_NOTHING: dict[str, Callable[[Path], object]] = {
    "did a sample": lambda out: edited(out / ".job.json", inputs=None),
    "SHARD_UNREAD": lambda out: add_failure(out, "SHARD_UNREAD"),
    "DAMAGED_RECORD": lambda out: add_failure(out, "DAMAGED_RECORD"),
    "are not whole": lambda out: edited(out / "reports/summary.json", done=3),
    "holds no reports/summary.json": lambda out: (out / "reports/summary.json").unlink(),
    "found no input at all": empty_reports,
}


@pytest.mark.parametrize("why", list(SAYS_NOTHING))
def test_reports_that_do_not_tell_what_is_gone_remove_nothing(why: str, out: Path) -> None:
    SAYS_NOTHING[why](out)
    before = set(tree_of(out))
    with pytest.raises(RunError, match=why):
        clean(str(out), yes=True, all_inputs=True)
    assert set(tree_of(out)) == before
    assert not (out / ".tmp").exists()


def test_nothing_is_removed_while_a_run_is_at_work(out: Path) -> None:
    lease = {"run": "r", "host": "elsewhere", "pid": 1, "expires": 4e9}
    (out / ".lock.json").write_text(json.dumps(lease))
    with pytest.raises(RunError, match=r"\.lock\.json"):
        clean(str(out), yes=True)
    assert (out / "masks/gone.png").exists()


def test_objects_of_inputs_that_are_gone(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeGcs() as fake:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", fake.url)
        fake.service.buckets["b"] = {}
        for path, data in tree_of(made).items():
            fake.service.store("b", f"out/{path}", data)
        before = set(fake.service.buckets["b"])
        assert clean("gs://b/out") == 0
        assert set(fake.service.buckets["b"]) == before
        assert clean("gs://b/out", yes=True) == 0
        assert before - set(fake.service.buckets["b"]) == {f"out/{path}" for path in files(made, "gone", "deep/gone")}
        forget_client()


def test_closing_lines_count_what_is_gone(made: Path) -> None:
    counted = [json.loads(path.read_text())["other_masks"] for path in (made / "runs").iterdir()]
    assert sorted(counted) == [0, 1, 4]
