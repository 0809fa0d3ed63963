"""What becomes of saved blocks: of images that fail, are there twice, are gone, or are to be made otherwise."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PilImage

from maskbeam.pipeline.commands.merge import merge
from maskbeam.pipeline.output.blocks import Blocks, SavedImage, folder_of_blocks
from maskbeam.pipeline.tally import WHOLE, tally
from maskbeam.pipeline.verify.verify import verify
from maskbeam.transforms.elements import Labels, Source
from maskbeam.transforms.errors import Code, ImageError, RunError
from tests.runs.test_tiles import FLAGS, mask, read, small_blocks
from tests.support.numpy_engine import RAISES, command, run_numpy
from tests.support.pictures import scene

__all__ = ["small_blocks"]

LARGE, SMALL = (61, 90), (21, 30)
# Where a window begins, in both.
AT = {LARGE: (12, 12), SMALL: (5, 12)}


def save(path: Path, size: tuple[int, int] = LARGE, *, seed: int = 0, poisoned: bool = False) -> Path:
    picture = scene(*size, seed=seed)
    if poisoned:
        picture[AT[size]] = RAISES
    path.parent.mkdir(exist_ok=True)
    PilImage.fromarray(picture).save(path)
    return path


def manifest(folder: Path, *lines: dict[str, str]) -> str:
    path = folder / "list.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


def blocks_in(out: Path) -> list[Path]:
    return list((out / ".blocks").rglob("*.png"))


def summary(out: Path) -> dict[str, Any]:
    return dict(json.loads((out / "reports" / "summary.json").read_text()))


def failures(out: Path) -> list[str]:
    return [json.loads(line)["code"] for line in (out / "reports" / "failures.jsonl").read_text().splitlines()]


def dies(inputs: Path, out: Path, monkeypatch: pytest.MonkeyPatch, *flags: str) -> None:
    """A run that dies when all blocks of an image are saved."""

    def together(blocks: Blocks, image: SavedImage) -> Labels:
        raise RunError("the machine goes down")

    with monkeypatch.context() as patched:
        patched.setattr(Blocks, "together", together)
        assert run_numpy(command(str(inputs), str(out), *FLAGS, *flags)) == 1
    assert blocks_in(out)


@pytest.mark.parametrize("size", [LARGE, SMALL])
@pytest.mark.parametrize("poisoned", [False, True])
def test_one_file_may_have_several_ids(tmp_path: Path, size: tuple[int, int], poisoned: bool) -> None:
    path, out = save(tmp_path / "in" / "a.png", size, poisoned=poisoned), tmp_path / "out"
    listed = manifest(tmp_path, *({"uri": str(path), "id": name} for name in ("x", "y", "z")))
    assert run_numpy(command(listed, str(out), *FLAGS)) == (3 if poisoned else 0)
    assert (summary(out)["done"], len(failures(out))) == ((0, 3) if poisoned else (3, 0))
    for name in () if poisoned else ("x", "y", "z"):
        assert np.array_equal(mask(out, name), scene(*size).argmax(axis=-1))
    assert not blocks_in(out)


@pytest.mark.parametrize("size", [LARGE, SMALL])
def test_an_image_that_two_patterns_name_is_one_and_a_copy(tmp_path: Path, size: tuple[int, int]) -> None:
    path, out = save(tmp_path / "in" / "a.png", size), tmp_path / "out"
    assert run_numpy(command([str(path), str(path.parent / "*.png")], str(out), *FLAGS)) == 0
    assert (summary(out)["done"], summary(out)["duplicate"]) == (1, 1)
    assert np.array_equal(mask(out, "a"), scene(*size).argmax(axis=-1))
    assert not blocks_in(out)


def test_who_finds_its_blocks_gone_because_a_copy_was_faster_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, out = save(tmp_path / "in" / "a.png"), tmp_path / "out"
    monkeypatch.setattr("maskbeam.pipeline.build.Blocks", _Remembering)
    assert run_numpy(command(str(path), str(out), *FLAGS)) == 0
    (blocks, image) = _Remembering.last
    found = blocks.together(image)
    assert found.tag == "outcome"
    assert (found.value.image_id, found.value.height, found.value.width) == ("a", *LARGE)


class _Remembering(Blocks):
    last: tuple[Blocks, SavedImage]

    def together(self, image: SavedImage) -> Any:
        _Remembering.last = (self, image)
        return super().together(image)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (("--background", "0,0,0"), ("--background", "255,0,255")),
        (("--background", "0,0,0", "--confidence", "margin"), ("--background", "0,0,0", "--confidence", "entropy")),
        (("--background", "0,0,0"), ("--background", "0,0,0", "--products", "color")),
    ],
)
def test_blocks_that_were_made_with_other_options_are_made_again(
    tmp_path: Path, before: tuple[str, ...], after: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, whole = tmp_path / "out", tmp_path / "whole"
    inputs = tmp_path / "in"
    inputs.mkdir()
    transparent = np.dstack([scene(*LARGE, seed=1), scene(*LARGE, seed=2)[..., 0]])
    PilImage.fromarray(transparent).save(inputs / "a.png")
    dies(inputs, out, monkeypatch, *before)
    for folder in (out, whole):
        assert run_numpy(command(str(inputs), str(folder), *FLAGS, *after)) == 0
    for product in ("masks", "color", *(() if "color" in after else ("confidence",))):
        assert np.array_equal(read(out / product / "a.png"), read(whole / product / "a.png"))


def altered() -> Iterator[tuple[str, Any]]:
    yield "cut", lambda data: data[: len(data) // 2]
    yield "empty", lambda data: b""
    yield "another file", lambda data: b"GIF89a" + data
    yield "other bytes within", lambda data: data[:-30] + bytes(b ^ 255 for b in data[-30:-20]) + data[-20:]


@pytest.mark.parametrize("alter", [each for _, each in altered()], ids=[name for name, _ in altered()])
def test_a_block_that_was_altered_is_made_again(tmp_path: Path, alter: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "in" / "a.png")
    out = tmp_path / "out"
    dies(tmp_path / "in", out, monkeypatch)
    for path in sorted(blocks_in(out))[::2]:
        path.write_bytes(alter(path.read_bytes()))
    assert run_numpy(command(str(tmp_path / "in"), str(out), *FLAGS)) == 0
    assert np.array_equal(mask(out, "a"), scene(*LARGE).argmax(axis=-1))
    assert not blocks_in(out)


def test_a_picture_in_the_place_of_a_block_is_no_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "in" / "a.png")
    out = tmp_path / "out"
    dies(tmp_path / "in", out, monkeypatch)
    for path in blocks_in(out):
        with PilImage.open(path) as opened:
            text = opened.info
        from PIL.PngImagePlugin import PngInfo

        info = PngInfo()
        info.add_text("maskbeam", text["maskbeam"])
        PilImage.new("1", (20000, 20000)).save(path, pnginfo=info)
    assert run_numpy(command(str(tmp_path / "in"), str(out), *FLAGS)) == 0
    assert np.array_equal(mask(out, "a"), scene(*LARGE).argmax(axis=-1))


def test_an_image_that_fails_when_it_is_put_together_leaves_no_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def together(blocks: Blocks, image: SavedImage) -> Labels:
        raise ImageError(Code.TOO_LARGE, "an overlay of it is too large")

    save(tmp_path / "in" / "a.png")
    out = tmp_path / "out"
    monkeypatch.setattr(Blocks, "together", together)
    assert run_numpy(command(str(tmp_path / "in"), str(out), *FLAGS)) == 3
    assert failures(out) == ["TOO_LARGE"]
    assert not blocks_in(out)


def test_at_the_end_only_blocks_of_failures_that_may_pass_are_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs, out = tmp_path / "in", tmp_path / "out"
    for seed, name in enumerate(("done", "gone", "passes", "poisoned")):
        save(inputs / f"{name}.png", seed=seed)
    dies(inputs, out, monkeypatch)
    for name in ("done", "gone", "passes", "poisoned"):
        # What a death may have left of each.
        folder = out / ".blocks" / folder_of_blocks(name, Source(str(inputs / f"{name}.png"), "").place)
        folder.mkdir(exist_ok=True)
        (folder / "0-0-2x2.png").write_bytes(b"?")
    (inputs / "gone.png").unlink()
    (inputs / "poisoned.png").write_bytes(b"no picture any more")
    (out / "masks" / "passes.png").mkdir(parents=True)
    assert run_numpy(command(str(inputs), str(out), *FLAGS)) == 3
    assert sorted(failures(out)) == ["OUTPUT_BLOCKED", "UNREADABLE"]
    left = {path.parent.name for path in blocks_in(out)}
    assert left == {folder_of_blocks("passes", Source(str(inputs / "passes.png"), "").place)}


@pytest.mark.parametrize("poisoned", [False, True])
def test_what_is_done_of_an_image_counts_until_it_is_done(
    tmp_path: Path, poisoned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    real = tally.add

    def add(**counts: int) -> Any:
        counted = real(**counts)
        seen.append(counted.parts)
        return counted

    monkeypatch.setattr(tally, "add", add)
    save(tmp_path / "in" / "a.png", poisoned=poisoned)
    run_numpy(command(str(tmp_path / "in"), str(tmp_path / "out"), *FLAGS))
    assert tally.read().parts == 0
    # Of one that fails some blocks may be done.
    assert max(seen) < WHOLE if poisoned else max(seen) == WHOLE
    assert poisoned or len(set(seen)) > 3


def test_verify_lists_a_block_that_was_left_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(tmp_path / "in" / "a.png")
    out = tmp_path / "out"
    assert run_numpy(command(str(tmp_path / "in"), str(out), *FLAGS)) == 0
    path = out / ".blocks" / ("0" * 32) / "0-0-2x2.png"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"?")
    assert verify(str(out)) == 1
    assert f"DIFFERENT .blocks/{'0' * 32}/0-0-2x2.png was left over" in capsys.readouterr().out


def test_parts_and_their_merge_are_as_one_run(tmp_path: Path) -> None:
    inputs, out, whole = tmp_path / "in", tmp_path / "out", tmp_path / "whole"
    for seed in range(6):
        save(inputs / f"{seed}.png", LARGE if seed % 2 else SMALL, seed=seed)
    for part in ("1/3", "2/3", "3/3"):
        assert run_numpy(command(str(inputs), str(out), *FLAGS, "--part", part)) == 0
    assert merge(str(out), run=run_numpy_again) == 0
    assert run_numpy(command(str(inputs), str(whole), *FLAGS)) == 0
    for folder in ("masks", "confidence", "overlay", "color"):
        for path in (whole / folder).iterdir():
            assert np.array_equal(read(path), read(out / folder / path.name))
    assert verify(str(out)) == 0


def run_numpy_again(options: Any) -> int:
    from maskbeam.pipeline.run import run
    from tests.support.numpy_engine import numpy_loader, numpy_probe

    return run(options, find_probe=numpy_probe, make_loader=numpy_loader)
