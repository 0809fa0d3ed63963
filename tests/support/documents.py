"""The documents, taken apart for the tests that hold them against the code."""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image as Pillow

from tests.support.numpy_engine import command, run_numpy

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
README, FORMATS = ROOT / "README.md", ROOT / "docs" / "formats.md"

FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    page: Path
    language: str
    text: str


def blocks(*pages: Path) -> list[Block]:
    return [Block(page, *found) for page in pages for found in FENCE.findall(page.read_text(encoding="utf-8"))]


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def section(page: Path, title: str) -> str:
    """What stands below a heading, up to the next one of the same depth or less."""
    text = page.read_text(encoding="utf-8")
    hidden = FENCE.sub(lambda fence: re.sub("(?m)^#", "_", fence[0]), text)
    begin = hidden.index(f"\n{title}\n") + len(title) + 2
    end = re.compile(rf"^#{{1,{title.count('#')}}} ", re.MULTILINE).search(hidden, begin)
    return text[begin : end.start() if end else None]


def first_column(text: str) -> list[str]:
    """The words in backticks in the first column of tables."""
    cells = re.findall(r"^\| (`.*?) \|", text, re.MULTILINE)
    return [word for cell in cells for word in re.findall(r"`([^`]+)`", cell)]


class Run(NamedTuple):
    """A finished output, and all its files by path."""

    out: Path
    files: list[str]

    def json(self, path: str) -> dict[str, Any]:
        (found,) = self.out.glob(path)
        return dict(json.loads(found.read_bytes()))


def tiny_run(folder: Path) -> Run:
    """Two scenes that work and one input that does not, every product, in `folder`."""
    source, out = folder / "in", folder / "out"
    source.mkdir()
    for number in range(2):
        pixels = np.random.default_rng(number).integers(0, 255, (12, 16, 3), np.uint8)
        Pillow.fromarray(pixels).save(source / f"scene-{number:03}.png")
    (source / "broken.png").write_bytes(b"not an image")
    argv = command(str(source), str(out), "--products", "all", "--parquet", "--max_failures", "1")
    assert run_numpy(argv) == 0
    return Run(out, sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()))
