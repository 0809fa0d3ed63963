"""Decides what lies where in a scene, before anything is painted; see `maskbeam.pipeline.commands.demo.scenes`."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFilter

Array = NDArray[Any]
_SCALE = 2  # shapes are drawn larger and reduced, for smooth edges


@dataclass(frozen=True, eq=False)
class Road:
    """A road's centre line, one point `[P, 2]` and unit tangent `[P, 2]` for each pixel of its length."""

    points: Array
    tangents: Array
    width: float
    paved: bool


@dataclass(frozen=True, eq=False)
class House:
    """A house seen from above: a box of `length` along the unit vector `axis` and `depth` across it."""

    centre: Array
    axis: Array
    length: float
    depth: float
    rise: float
    flat: bool


@dataclass(frozen=True, eq=False)
class Plan:
    """All that lies in a scene, and where; masks are float32 `[H, W]`.

    Attributes:
        sun: Unit vector `(x, y)` in which shadows fall.
        water: How much of each pixel is water, 0..1.
        woods: Positive where woods stand.
        gardens: Probability of a single tree.
        clear: 1 where nothing may grow or be built: water, roads and their verges, houses.
    """

    sun: Array
    water: Array
    roads: tuple[Road, ...]
    houses: tuple[House, ...]
    woods: Array
    gardens: Array
    clear: Array


def plan_scene(rng: np.random.Generator, height: int, width: int) -> Plan:
    """Plans one scene of `height` x `width` pixels."""
    sunward = np.deg2rad(rng.uniform(25, 75))
    water = _plan_water(rng, height, width)
    roads = _plan_roads(rng, water)
    verges = stencil(height, width, [(road.points[::4], road.width + 9) for road in roads])
    clear = np.maximum(blur(water, 3) > 0.05, verges > 0).astype(np.float32)
    houses = _plan_houses(rng, roads, clear)
    spots = [(house.centre[None], np.hypot(house.length, house.depth)) for house in houses]
    clear = np.maximum(clear, stencil(height, width, spots))
    gardens = 0.012 + 0.45 * blur(stencil(height, width, [(at, size * 2.2) for at, size in spots]), 4)
    woods = noise(rng, (height, width), 85, octaves=3) - rng.uniform(0.47, 0.66)
    return Plan(
        sun=np.array((np.cos(sunward), np.sin(sunward)), np.float32),
        water=water,
        roads=roads,
        houses=houses,
        woods=np.where(clear > 0.3, -1, woods).astype(np.float32),
        gardens=gardens,
        clear=clear,
    )


def noise(rng: np.random.Generator, size: tuple[int, ...], cell: float, *, octaves: int = 1) -> Array:
    """Smooth noise of `size` `[H, W]`, float32, about 0..1 around 0.5; its coarsest waves are `cell` pixels long."""
    height, width = size
    total = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        wave = cell / 2**octave
        grid = rng.random((int(height / wave) + 4, int(width / wave) + 4), np.float32) - 0.5
        box = (1, 1, 1 + width / wave, 1 + height / wave)
        total += (
            np.asarray(Pillow.fromarray(grid).resize((width, height), Pillow.Resampling.BICUBIC, box)) / 2**octave
        )
    return 0.5 + total


def blur(mask: Array, radius: float) -> Array:
    """A mask `[H, W]` of 0..1 blurred by a Gaussian of `radius` pixels."""
    grey = Pillow.fromarray((np.asarray(mask, np.float32) * 255).astype(np.uint8))
    return np.asarray(grey.filter(ImageFilter.GaussianBlur(radius)), np.float32) / 255


def stencil(height: int, width: int, strokes: Iterable[tuple[Array, Any]]) -> Array:
    """Strokes drawn as rows of discs: each `(points [P, 2], diameters)`; how much of each pixel is covered, 0..1."""
    sheet = Pillow.new("L", (width * _SCALE, height * _SCALE))
    draw = ImageDraw.Draw(sheet)
    for points, diameters in strokes:
        for (x, y), radius in zip(points * _SCALE, np.broadcast_to(diameters, len(points)) * _SCALE / 2, strict=True):
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    return np.asarray(sheet.reduce(_SCALE), np.float32) / 255


def _plan_water(rng: np.random.Generator, height: int, width: int) -> Array:
    kind = rng.choice(("river", "lake", "dry"), p=(0.4, 0.4, 0.2))
    if kind == "dry":
        return np.zeros((height, width), np.float32)
    if kind == "river":
        points, _ = _crossing(rng, height, width, sway=0.3)
        swell = np.interp(np.arange(len(points)), np.linspace(0, len(points), 7), rng.uniform(18, 46, 7))
        banks = stencil(height, width, [(points[::3], swell[::3])])
        return np.asarray(np.clip(3 * blur(banks, 3) - 1, 0, 1))
    y, x = np.mgrid[:height, :width].astype(np.float32)
    centre, radius = rng.uniform(0, 1, 2) * (width, height), rng.uniform(0.2, 0.36) * min(height, width)
    bumps = 1.5 * (noise(rng, (height, width), 75, octaves=2) - 0.5)
    shape = 1 + bumps - np.hypot((x - centre[0]) / rng.uniform(1, 1.5), y - centre[1]) / radius
    return np.asarray(np.clip(shape * radius / 4, 0, 1), np.float32)


def _plan_roads(rng: np.random.Generator, water: Array) -> tuple[Road, ...]:
    """Up to two roads and a track, each the best of a few tries: bridges are dear, and so is a road beside a road."""
    height, width = water.shape
    roads: list[Road] = []
    for paved in (True, rng.random() < 0.6, False)[: rng.integers(1, 4)]:
        built = stencil(height, width, [(road.points[::8], 90) for road in roads])
        tries = [_crossing(rng, height, width, sway=0.16) for _ in range(6)]
        points, tangents = min(tries, key=lambda line: _share_on(water + built, line[0]))
        roads.append(Road(points, tangents, rng.uniform(10, 15) if paved else rng.uniform(6.5, 8.5), bool(paved)))
    return tuple(sorted(roads, key=lambda road: road.paved))


def _crossing(rng: np.random.Generator, height: int, width: int, *, sway: float) -> tuple[Array, Array]:
    """A smooth line from one side of the scene to the opposite one: points and unit tangents `[P, 2]`."""
    knots = np.linspace(-0.15, 1.15, 6)
    lateral = rng.uniform(0.1, 0.9) + np.cumsum(rng.uniform(-sway, sway, 6))
    line = np.stack((knots * width, lateral * height) if rng.random() < 0.5 else (lateral * width, knots * height))
    coarse = line.T
    for _ in range(5):
        coarse = _cut_corners(coarse)
    steps = np.hypot(*np.diff(coarse, axis=0).T)
    walked = np.concatenate(((0,), np.cumsum(steps)))
    points = np.stack([np.interp(np.arange(walked[-1]), walked, axis) for axis in coarse.T], axis=1)
    tangents = np.gradient(points, axis=0)
    return points, tangents / np.hypot(*tangents.T)[:, None]


def _cut_corners(line: Array) -> Array:
    """One round of Chaikin's corner cutting, which converges to a quadratic B-spline."""
    cut = np.stack((0.75 * line[:-1] + 0.25 * line[1:], 0.25 * line[:-1] + 0.75 * line[1:]), axis=1)
    return np.concatenate((line[:1], cut.reshape(-1, 2), line[-1:]))


def _share_on(mask: Array, points: Array) -> float:
    x, y = points.astype(int).T
    within = (x >= 0) & (y >= 0) & (x < mask.shape[1]) & (y < mask.shape[0])
    return float(mask[y[within], x[within]].mean()) if within.any() else 1.0


def _plan_houses(rng: np.random.Generator, roads: tuple[Road, ...], clear: Array) -> tuple[House, ...]:
    """Houses in rows along the roads, thick in villages and thin between them, never on each other."""
    houses: list[House] = []
    for road in roads:
        at, density = 0.0, rng.uniform(0.15, 0.9)
        while (at := at + rng.uniform(16, 40)) < len(road.points):
            for side in (-1, 1):
                if rng.random() < density:
                    house = _beside(rng, road, int(at), side)
                    if _fits(house, houses, clear):
                        houses.append(house)
    return tuple(houses)


def _beside(rng: np.random.Generator, road: Road, at: int, side: int) -> House:
    flat = bool(rng.random() < 0.22)
    length, depth = rng.uniform(20, 32) * (1 + 0.5 * flat), rng.uniform(13, 18) * (1 + 0.5 * flat)
    axis = road.tangents[at]
    away = side * (road.width / 2 + 7 + depth / 2 + rng.uniform(0, 12))
    centre = road.points[at] + away * axis[::-1] * (1, -1)
    return House(centre, axis, length, depth, rng.uniform(5, 9), flat)


def _fits(house: House, others: list[House], clear: Array) -> bool:
    y, x = np.mgrid[-1:1:5j, -1:1:5j]
    across = house.axis[::-1] * (1, -1)
    spread = x[..., None] * house.axis * house.length / 2 + y[..., None] * across * house.depth / 2
    on_ground = _share_on(clear, (house.centre + spread).reshape(-1, 2)) == 0
    reach = np.hypot(house.length, house.depth) / 2
    return on_ground and all(
        np.hypot(*(house.centre - other.centre)) > reach + np.hypot(other.length, other.depth) / 2 - 3
        for other in others
    )
