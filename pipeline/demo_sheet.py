"""The demo's result in one picture: scene, true mask, predicted mask and overlay side by side, above a legend."""

from pathlib import Path

from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont, ImageOps

from pipeline.sample_input import draw_sample, scene_id
from transforms.class_table import ClassTable

_SHOWN = (22, 41, 46, 17)
_COLUMNS = ("scene", "true mask", "predicted mask", "overlay")
_CELL, _GAP, _HEAD = (288, 216), 8, 36
_INK, _PAPER = (40, 44, 52), (255, 255, 255)


def draw_sheet(root: Path, scenes: int, table: ClassTable) -> Pillow.Image:
    """Draws the sheet of a finished demo in `root`, which has this many scenes."""
    shown = [number for number in _SHOWN if number < scenes] or list(range(min(scenes, len(_SHOWN))))
    width, height = (size + _GAP for size in _CELL)
    sheet = Pillow.new("RGB", (_GAP + len(_COLUMNS) * width, 2 * _HEAD + len(shown) * height), _PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(17)
    for column, title in enumerate(_COLUMNS):
        centre = _GAP + column * width + _CELL[0] // 2
        draw.text((centre, _HEAD // 2), title, fill=_INK, font=font, anchor="mm")
    for row, number in enumerate(shown):
        for column, picture in enumerate(_row(root, number, table)):
            fitted = ImageOps.fit(picture.convert("RGB"), _CELL, Pillow.Resampling.LANCZOS)
            sheet.paste(fitted, (_GAP + column * width, _HEAD + row * height))
    _draw_legend(draw, sheet.height - _HEAD // 2, table, font)
    return sheet


def _row(root: Path, number: int, table: ClassTable) -> list[Pillow.Image]:
    name = scene_id(number)
    truth = Pillow.open(root / "truth" / f"{name}.png")
    truth.putpalette(table.palette)
    color = Pillow.open(root / "result" / "color" / f"{name}.png")
    overlay = Pillow.open(root / "result" / "overlay" / f"{name}.jpg")
    return [Pillow.fromarray(draw_sample(number)[0]), truth, color, overlay]


def _draw_legend(
    draw: ImageDraw.ImageDraw, middle: int, table: ClassTable, font: ImageFont.ImageFont | ImageFont.FreeTypeFont
) -> None:
    left = 2 * _GAP
    for info in table.classes:
        draw.rectangle((left, middle - 8, left + 16, middle + 8), fill=info.color, outline=_INK)
        draw.text((left + 24, middle), info.name, fill=_INK, font=font, anchor="lm")
        left += 56 + int(draw.textlength(info.name, font=font))
