"""A picture of the benchmark: images a second side by side, memory over time."""

from pathlib import Path

from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from benchmarks.rounds import LIMIT, Results, spread

_WIDTH, _BAR, _LEFT, _PLOT = 1100, 34, 330, 260
_INK, _FAINT = (30, 30, 30), (215, 215, 215)
_COLORS = (
    (31, 119, 180),
    (214, 39, 40),
    (44, 160, 44),
    (148, 103, 189),
    (255, 127, 14),
    (23, 190, 207),
    (140, 86, 75),
)


def draw(results: Results, path: Path) -> None:
    """Writes the picture of some results as a PNG."""
    names = [LIMIT, *results.runs] if results.limits else list(results.runs)
    height = 90 + _BAR * len(names) + 100 + _PLOT
    image = Pillow.new("RGB", (_WIDTH, height), "white")
    pen = ImageDraw.Draw(image)
    _bars(pen, results, names, top=50)
    _memory(pen, results, top=height - _PLOT - 40)
    image.save(path, optimize=True)


def _bars(pen: ImageDraw.ImageDraw, results: Results, names: list[str], *, top: int) -> None:
    pen.text((20, top - 34), "images a second: median, and from smallest to largest", _INK, _font(18))
    values = {name: spread(results.rates(name)) for name in names}
    scale = (_WIDTH - _LEFT - 90) / max(value["max"] for value in values.values())
    for number, name in enumerate(names):
        y, value, color = top + number * _BAR, values[name], _color(number, name)
        pen.text((20, y + 5), name, _INK, _font(15))
        pen.rectangle((_LEFT, y + 3, _LEFT + value["median"] * scale, y + _BAR - 8), fill=color)
        low, high = (_LEFT + value[end] * scale for end in ("min", "max"))
        pen.line((low, y + _BAR // 2 - 2, high, y + _BAR // 2 - 2), fill=_INK, width=2)
        pen.text((high + 8, y + 5), f"{value['median']:.0f}", _INK, _font(15))


def _memory(pen: ImageDraw.ImageDraw, results: Results, *, top: int) -> None:
    pen.text((20, top - 34), "resident memory over time, one round", _INK, _font(18))
    traces = {name: runs[0].samples for name, runs in results.runs.items()}
    last = max(sample.time for trace in traces.values() for sample in trace)
    most = max(sample.megabytes for trace in traces.values() for sample in trace)
    bottom, right = top + _PLOT, _WIDTH - 40
    for step in range(5):
        y = bottom - _PLOT * step / 4
        pen.line((100, y, right, y), fill=_FAINT)
        pen.text((20, y - 9), f"{most * step / 4:.0f} MB", _INK, _font(13))
    offset = 1 if results.limits else 0
    for number, (name, trace) in enumerate(traces.items(), offset):
        points = [
            (100 + sample.time / last * (right - 100), bottom - sample.megabytes / most * _PLOT) for sample in trace
        ]
        pen.line(points, fill=_color(number, name), width=2)
    pen.text((right - 60, bottom + 8), f"{last:.0f} s", _INK, _font(13))


def _color(number: int, name: str) -> tuple[int, int, int]:
    return (120, 120, 120) if name == LIMIT else _COLORS[(number - 1) % len(_COLORS)]


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
