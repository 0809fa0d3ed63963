"""The demo's result in two pictures: how right the masks are, and all that is made of one image."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont, ImageOps

from maskbeam.pipeline.commands.demo.sample_input import draw_sample, scene_id
from maskbeam.transforms.classes.class_table import ClassTable

_SHOWN = (22, 41, 46, 17)
_CELL, _GAP, _HEAD = (288, 216), 8, 32
_INK, _PAPER = (40, 44, 52), (255, 255, 255)

Cell = tuple[str, Pillow.Image]


def draw_comparison(root: Path, scenes: int, table: ClassTable) -> Pillow.Image:
    """Scenes, their true and their predicted masks side by side, of a finished demo in `root`."""
    numbers = [number for number in _SHOWN if number < scenes] or range(min(scenes, len(_SHOWN)))
    rows: list[list[Cell]] = []
    for number in numbers:
        truth = Pillow.open(root / "truth" / f"{scene_id(number)}.png")
        truth.putpalette(table.palette)
        color, overlay = (_product(root, folder, number) for folder in ("color", "overlay"))
        pictures = (_scene(number), truth, color, overlay)
        titles = ("scene", "true mask", "predicted mask", "overlay") if not rows else ("",) * 4
        rows.append(list(zip(titles, pictures, strict=True)))
    return _grid(rows, table)


def draw_products(root: Path, scenes: int, table: ClassTable) -> Pillow.Image:
    """One scene and every product of it, each under the name of its folder."""
    number = min(41, scenes - 1)
    folders = ("color", "overlay", f"binary/{table.names[0]}", "confidence")
    color, *others = ((folder, _product(root, folder, number)) for folder in folders)
    masks = ("masks (pixel = class id)", _product(root, "masks", number))
    return _grid([[("scene", _scene(number)), masks, color], others], table)


def _scene(number: int) -> Pillow.Image:
    return Pillow.fromarray(draw_sample(number)[0])


def _product(root: Path, folder: str, number: int) -> Pillow.Image:
    suffix = "jpg" if folder == "overlay" else "png"
    return Pillow.open(root / "result" / folder / f"{scene_id(number)}.{suffix}")


def _grid(rows: Sequence[Sequence[Cell]], table: ClassTable) -> Pillow.Image:
    """Pictures in rows, with titles above them where they have any, above a legend of the classes."""
    heads = [_HEAD if row[0][0] else 0 for row in rows]
    width = _GAP + len(rows[0]) * (_CELL[0] + _GAP)
    sheet = Pillow.new("RGB", (width, sum(heads) + len(rows) * (_CELL[1] + _GAP) + _HEAD), _PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(17)
    top = 0
    for row, head in zip(rows, heads, strict=True):
        for column, (title, picture) in enumerate(row):
            left = _GAP + column * (_CELL[0] + _GAP)
            draw.text((left + _CELL[0] // 2, top + head // 2), title, fill=_INK, font=font, anchor="mm")
            fitted = ImageOps.fit(picture.convert("RGB"), _CELL, Pillow.Resampling.LANCZOS)
            sheet.paste(fitted, (left, top + head))
        top += head + _CELL[1] + _GAP
    _draw_legend(draw, sheet.height - _HEAD // 2 - 2, table, font)
    return sheet


def _draw_legend(
    draw: ImageDraw.ImageDraw, middle: int, table: ClassTable, font: ImageFont.ImageFont | ImageFont.FreeTypeFont
) -> None:
    left = 2 * _GAP
    for info in table.classes:
        draw.rectangle((left, middle - 8, left + 16, middle + 8), fill=info.color, outline=_INK)
        draw.text((left + 24, middle), info.name, fill=_INK, font=font, anchor="lm")
        left += 56 + int(draw.textlength(info.name, font=font))
