"""One picture of all that a model made of a few images, fed in different ways."""

from collections.abc import Sequence

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from maskbeam.pipeline.commands.inspect.variants import Finding
from maskbeam.pipeline.text.wording import percent
from maskbeam.transforms.classes.class_table import ClassTable
from maskbeam.transforms.elements import Array
from maskbeam.transforms.products.colorize import colorize
from maskbeam.transforms.products.overlay import as_rgb
from maskbeam.transforms.products.palette import make_palette

_CELL, _GAP, _HEAD, _LEGEND = (180, 150), 8, 112, 28
_INK, _PALE, _PAPER, _MARK = (40, 44, 52), (120, 124, 132), (255, 255, 255), (24, 110, 60)
_SHARES_SHOWN = 3
_Font = ImageFont.ImageFont | ImageFont.FreeTypeFont


def draw_contact_sheet(
    pictures: Sequence[Array], findings: Sequence[Finding], table: ClassTable, *, marked: Finding | None
) -> Pillow.Image:
    """Draws a row for each image and a column for each finding.

    Args:
        pictures: The images, uint8 `[H, W, C]`, drawn as overlays draw them.
        findings: The findings to show beside them.
        table: Colours and names.
        marked: The finding to point out.
    """
    width, height = (size + _GAP for size in _CELL)
    size = (_GAP + (1 + len(findings)) * width, _HEAD + len(pictures) * height + _LEGEND)
    sheet = Pillow.new("RGB", size, _PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    palette = make_palette(table.colors)
    for row, picture in enumerate(pictures):
        _paste(sheet, as_rgb(picture), 0, row, Pillow.Resampling.BILINEAR)
        for column, finding in enumerate(findings, 1):
            _paste(sheet, colorize(finding.labels[row], palette), column, row, Pillow.Resampling.NEAREST)
    for column, finding in enumerate(findings, 1):
        _draw_title(draw, _GAP + column * width, finding, table, font, is_marked=finding is marked)
    _draw_legend(draw, size, table, font)
    return sheet


def _paste(sheet: Pillow.Image, pixels: Array, column: int, row: int, resample: Pillow.Resampling) -> None:
    picture = Pillow.fromarray(np.ascontiguousarray(pixels))
    scale = min(_CELL[0] / picture.width, _CELL[1] / picture.height)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    sheet.paste(
        picture.resize(size, resample),
        (_GAP + column * (_CELL[0] + _GAP), _HEAD + row * (_CELL[1] + _GAP)),
    )


def _draw_title(
    draw: ImageDraw.ImageDraw, left: int, finding: Finding, table: ClassTable, font: _Font, *, is_marked: bool
) -> None:
    confidence = "" if finding.confidence is None else f"confidence {finding.confidence:.2f}"
    fit = "" if finding.mismatch is None else f"mismatch {finding.mismatch:.2f}"
    lines = [f"{finding.variant}{' *' if is_marked else ''}", confidence, fit]
    lines += [f"{table.names[i][:16]} {percent(finding.shares[i])}" for i in largest(finding.shares)]
    for line, text in enumerate(lines):
        color = (_MARK if is_marked else _INK) if line == 0 else _PALE
        draw.text((left, 4 + 17 * line), text, fill=color, font=font)


def largest(shares: Array) -> list[int]:
    """The channels with the largest shares, largest first."""
    return [int(channel) for channel in np.argsort(-shares, kind="stable")[:_SHARES_SHOWN]]


def _draw_legend(draw: ImageDraw.ImageDraw, size: tuple[int, int], table: ClassTable, font: _Font) -> None:
    left, middle = _GAP, size[1] - _LEGEND // 2
    for info in table.classes:
        wanted = 30 + int(draw.textlength(info.name, font=font))
        if left + wanted > size[0]:
            break
        draw.rectangle((left, middle - 6, left + 12, middle + 6), fill=info.color, outline=_INK)
        draw.text((left + 17, middle), info.name, fill=_INK, font=font, anchor="lm")
        left += wanted
