"""Draws seeded scenes as seen from the air, each with its true mask: what the sample model learns and is tried on.

A scene is planned first and then painted from the ground up: fields, water, roads, trees, houses, and last the
air and the camera. A pixel is about half a metre whatever the image's size, so a model that learned from small
scenes knows large ones. Colours are 0..255, points are `(x, y)` in pixels.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFilter

from maskbeam.pipeline.commands.demo.scene_plan import Array, House, Plan, Road, blur, noise, plan_scene

CLASSES = ("field", "forest", "water", "road", "building")
FIELD, FOREST, WATER, ROAD, BUILDING = range(5)

_CROPS = np.array(
    [
        [104, 128, 66], [128, 148, 78], [150, 158, 92], [186, 168, 112], [204, 186, 130],
        [142, 116, 84], [118, 98, 74], [92, 116, 62], [162, 152, 98], [196, 186, 74],
    ],
    np.float32,
)  # fmt: skip
_ROOFS = ((168, 92, 68), (148, 78, 60), (184, 112, 80), (124, 84, 68), (94, 98, 106))
_FLAT_ROOFS = ((188, 184, 176), (208, 204, 194), (150, 152, 156))
_CARS = ((196, 44, 40), (236, 236, 236), (40, 44, 52), (60, 96, 160), (206, 170, 60))
_PARCELS = 97
_SUPERSAMPLE = 3


def draw_scene(seed: int, height: int, width: int) -> tuple[Array, Array]:
    """Draws the scene of a seed.

    The same seed gives the same pixels at the same size; another size gives another scene.

    Returns:
        The picture, uint8 `[height, width, 3]`, and the index into `CLASSES` of each pixel, uint8 `[height, width]`.
    """
    rng = np.random.default_rng((seed, height, width))
    plan = plan_scene(rng, height, width)
    rgb = _paint_water(rng, _paint_fields(rng, height, width), plan)
    labels = np.where(plan.water > 0.5, WATER, FIELD).astype(np.uint8)
    rgb, labels = _paint_roads(rng, rgb, labels, plan)
    rgb, labels = _paint_trees(rng, rgb, labels, plan)
    rgb, labels = _paint_houses(rng, rgb, labels, plan)
    return _photograph(rng, rgb), labels


def _paint_fields(rng: np.random.Generator, height: int, width: int) -> Array:
    """Parcels in columns of random width, each with a crop, furrows, tractor tracks and a grassy margin."""
    angle = rng.uniform(0, np.pi)
    cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    y, x = np.mgrid[:height, :width].astype(np.float32)
    bend = 24 * (noise(rng, (height, width), 170) - 0.5)
    along, across = cosine * x + sine * y + bend, cosine * y - sine * x + bend
    edges = (np.cumsum(rng.uniform(70, 190, 40)) - 1.5 * np.hypot(height, width)).astype(np.float32)
    column = np.clip(np.searchsorted(edges, along), 1, 39)
    length = rng.uniform(90, 260, 40).astype(np.float32)[column]
    row, into = np.divmod(across + rng.uniform(0, 260, 40).astype(np.float32)[column], length)
    parcel = (column * 11 + row.astype(np.int32)) % _PARCELS
    margin = np.minimum(np.minimum(along - edges[column - 1], edges[column] - along), np.minimum(into, length - into))

    crop = _CROPS[rng.integers(len(_CROPS), size=_PARCELS)] + rng.normal(0, 7, (_PARCELS, 3)).astype(np.float32)
    lane = np.where((rng.random(_PARCELS) < 0.5)[parcel], along, across)
    light = _furrows(rng, lane, parcel) + 26 * (noise(rng, (height, width), 34, octaves=3) - 0.5)
    return _mix(crop[parcel] + light[..., None], (92, 108, 60), np.clip(2.6 - margin, 0, 1) * 0.8)


def _furrows(rng: np.random.Generator, lane: Array, parcel: Array) -> Array:
    depth = rng.uniform(2, 9, _PARCELS).astype(np.float32)[parcel]
    pitch = (2 * np.pi / rng.uniform(4.5, 9, _PARCELS)).astype(np.float32)[parcel]
    tracks = np.isin((lane % 44).astype(np.int32), (0, 6)) & (rng.random(_PARCELS) < 0.6)[parcel]
    return np.asarray(depth * np.sin(lane * pitch) - np.float32(13) * tracks)


def _paint_water(rng: np.random.Generator, rgb: Array, plan: Plan) -> Array:
    """Deep water is dark, the shore shallow and sandy; ripples everywhere and glint in patches."""
    if not plan.water.any():
        return rgb
    height, width = plan.water.shape
    depth = np.clip(2 * blur(plan.water, 13) - 0.9, 0, 1)[..., None]
    shallow, deep = np.array(((104, 132, 116), (26, 58, 84)), np.float32) + rng.normal(0, 6, (2, 3)).astype(
        np.float32
    )
    ripples = np.asarray(
        Pillow.fromarray(rng.normal(0, 1, (height, width // 5 + 1)).astype(np.float32)).resize((width, height))
    )
    glint = np.clip(noise(rng, (height, width), 110) * 2.4 - 1.3, 0, 1) * np.clip(ripples, 0, None) ** 2
    surface = shallow + (deep - shallow) * depth + (4 * ripples + 22 * glint)[..., None]
    shore = _mix(rgb, (178, 164, 126), np.clip(3.4 * blur(plan.water, 3.5), 0, 0.9))
    return _mix(shore, surface, plan.water)


def _paint_roads(rng: np.random.Generator, rgb: Array, labels: Array, plan: Plan) -> tuple[Array, Array]:
    """Paved roads have edge lines, a dashed centre line and some cars; tracks are bare earth."""
    pen = _Pen(rgb, labels)
    for road in plan.roads:
        pen.path(road.points, road.width + 3, (140, 134, 108))
    for road in plan.roads:
        grey = rng.uniform(88, 132)
        pen.path(road.points, road.width, (grey, grey, grey + 4) if road.paved else (198, 180, 146), ROAD)
    for road in plan.roads:
        if road.paved:
            _mark_road(rng, pen, road, plan.sun)
    rgb, labels = pen.lift()
    grain = 16 * (noise(rng, labels.shape, 9, octaves=2) - 0.5) * (labels == ROAD)
    return rgb + grain[..., None], labels


def _mark_road(rng: np.random.Generator, pen: "_Pen", road: Road, sun: Array) -> None:
    normals = road.tangents[:, ::-1] * (1, -1)
    for side in (-1, 1):
        pen.path(road.points + side * (road.width / 2 - 1.4) * normals, 0.7, (214, 212, 204))
    for start in range(0, len(road.points) - 6, 12):
        pen.path(road.points[start : start + 6], 0.8, (226, 222, 206))
    for at in rng.choice(len(road.points), len(road.points) // 80):
        centre = road.points[at] + rng.choice((-1, 1)) * road.width / 4 * normals[at]
        pen.polygon(_box(centre + 1.2 * sun, road.tangents[at], 6.5, 3), (44, 44, 48))
        pen.polygon(_box(centre, road.tangents[at], 6.5, 3), _CARS[rng.integers(len(_CARS))])


def _paint_trees(rng: np.random.Generator, rgb: Array, labels: Array, plan: Plan) -> tuple[Array, Array]:
    """Tree crowns on a jittered grid, lit from one side, dark between them, with shadows on what lies beside."""
    crowns = _Crowns.grow(rng, plan)
    distance, light, tree = crowns.over(labels.shape, plan.sun)
    mask = (distance < 1) | (plan.woods > 0.03)
    leaf = np.array((60, 88, 46), np.float32) + rng.normal(0, 5, 3).astype(np.float32)
    tint = rng.normal(0, 7, (crowns.radius.size, 3)) + rng.normal(0, 9, (crowns.radius.size, 1)) * (1.3, 1, 0.4)
    bright = 0.38 + 0.55 * light + 0.55 * (1 - distance) + 0.3 * (rng.random(labels.shape, np.float32) - 0.5)
    crown = (leaf + tint.astype(np.float32))[tree] * np.clip(bright, 0.3, 1.6)[..., None]
    crown = np.where((distance < 1)[..., None], crown, np.array((24, 36, 24), np.float32))
    rgb = _mix(_shade(rgb, _swept(mask, 6 * plan.sun)), crown, blur(mask, 0.5))
    return rgb, np.where(mask, np.uint8(FOREST), labels)


@dataclass(frozen=True, eq=False)
class _Crowns:
    """Tree crowns, one to a cell of a grid: centres `[rows, columns, 2]`, radii `[rows, columns]`, 0 = no tree."""

    centre: Array
    radius: Array
    cell = 9

    @classmethod
    def grow(cls, rng: np.random.Generator, plan: Plan) -> "_Crowns":
        height, width = plan.woods.shape
        grid = np.stack(np.meshgrid(np.arange(-1, width // cls.cell + 2), np.arange(-1, height // cls.cell + 2)), -1)
        centre = ((grid + rng.uniform(0.1, 0.9, grid.shape)) * cls.cell).astype(np.float32)
        x, y = np.clip(centre, 0, (width - 1, height - 1)).astype(np.int32).transpose(2, 0, 1)
        single = (rng.random(x.shape) < plan.gardens[y, x]) & (plan.clear[y, x] == 0)
        radius = rng.uniform(4.6, 7.6, x.shape).astype(np.float32)
        return cls(centre, np.where((plan.woods[y, x] > 0) | single, radius, 0))

    def over(self, size: tuple[int, ...], sun: Array) -> tuple[Array, Array, Array]:
        """For each pixel, of its nearest crown: squared distance in radii, lambertian light, the crown's index."""
        height, width = size
        y, x = np.arange(height, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)
        row, column = np.arange(height)[:, None] // self.cell, np.arange(width) // self.cell
        best, light = np.full((height, width), 9, np.float32), np.zeros((height, width), np.float32)
        tree = np.zeros((height, width), np.intp)
        inverse = np.where(self.radius > 0, 1 / np.maximum(self.radius, 1), 1e6).astype(np.float32).ravel()
        for down, right in np.ndindex(3, 3):
            near = (row + down) * self.radius.shape[1] + column + right
            dx, dy = ((at - self.centre[..., i].ravel()[near]) * inverse[near] for i, at in enumerate((x, y)))
            distance = dx * dx + dy * dy
            closer = distance < best
            np.copyto(best, distance, where=closer)
            np.copyto(light, -(dx * sun[0] + dy * sun[1]), where=closer)
            np.copyto(tree, near, where=closer)
        return best, light, tree


def _paint_houses(rng: np.random.Generator, rgb: Array, labels: Array, plan: Plan) -> tuple[Array, Array]:
    """Roofs with a bright and a dark side, ridge and eaves, or flat ones with a parapet; shadows go first."""
    shadow = Pillow.new("1", labels.shape[::-1])
    draw = ImageDraw.Draw(shadow)
    for house in plan.houses:
        foot = _box(house.centre, house.axis, house.length, house.depth)
        for share in np.linspace(0, 1, 5):
            draw.polygon((foot + share * house.rise * plan.sun).ravel().tolist(), fill=1)
    pen = _Pen(_shade(rgb, np.asarray(shadow)), labels)
    for house in plan.houses:
        (_paint_flat_roof if house.flat else _paint_gable)(rng, pen, house, plan.sun)
    return pen.lift()


def _paint_gable(rng: np.random.Generator, pen: "_Pen", house: House, sun: Array) -> None:
    roof = np.array(_ROOFS[rng.integers(len(_ROOFS))]) + rng.normal(0, 6, 3)
    across = house.axis[::-1] * (1, -1)
    a, b, c, d = _box(house.centre, house.axis, house.length, house.depth)
    hip = rng.choice((0, 0.3)) * house.depth / 2
    start, end = (house.centre + sign * (house.length / 2 - hip) * house.axis for sign in (-1, 1))
    pen.polygon(np.stack((a, b, c, d)), tuple(roof * (1 - 0.3 * house.axis @ sun)), BUILDING)
    for outward, side in ((across, (c, d, start, end)), (-across, (a, b, end, start))):
        pen.polygon(np.stack(side), tuple(roof * (1 - 0.32 * outward @ sun)))
    pen.path(np.stack((start, end)), 0.9, tuple(roof * 1.25 + 12))
    if rng.random() < 0.6:
        chimney = house.centre + 0.25 * house.length * house.axis + 0.12 * house.depth * across
        pen.polygon(_box(chimney + 1.5 * sun, house.axis, 2.6, 2.6), tuple(roof * 0.5))
        pen.polygon(_box(chimney, house.axis, 2.4, 2.4), (196, 180, 168))


def _paint_flat_roof(rng: np.random.Generator, pen: "_Pen", house: House, sun: Array) -> None:
    roof = np.array(_FLAT_ROOFS[rng.integers(len(_FLAT_ROOFS))]) + rng.normal(0, 5, 3)
    pen.polygon(_box(house.centre, house.axis, house.length, house.depth), tuple(roof + 26), BUILDING)
    pen.polygon(_box(house.centre, house.axis, house.length - 2.5, house.depth - 2.5), tuple(roof))
    for _ in range(rng.integers(1, 5)):
        at = house.centre + rng.uniform(-0.33, 0.33) * house.length * house.axis
        pen.polygon(_box(at + 1.5 * sun, house.axis, 4, 3), tuple(roof * 0.6))
        pen.polygon(_box(at, house.axis, 3.5, 3), tuple(roof + 18))


class _Pen:
    """Draws smooth shapes onto a picture and, where a shape is given its class, sharp ones onto the labels."""

    def __init__(self, rgb: Array, labels: Array) -> None:
        self._rgb, self._labels = (_enlarged(image) for image in (_to_bytes(rgb), labels))
        self._pens = ImageDraw.Draw(self._rgb), ImageDraw.Draw(self._labels)

    def polygon(self, corners: Array, color: tuple[float, ...], label: int | None = None) -> None:
        flat = (corners * _SUPERSAMPLE).ravel().tolist()
        self._pens[0].polygon(flat, fill=_to_color(color))
        if label is not None:
            self._pens[1].polygon(flat, fill=label)

    def path(self, points: Array, width: float, color: tuple[float, ...], label: int | None = None) -> None:
        """A band along smooth `points`, drawn as one polygon: a wide `line` leaves gaps between its pieces."""
        along = np.gradient(points, axis=0)
        aside = along[:, ::-1] * (1, -1) / np.hypot(*along.T)[:, None] * width / 2
        self.polygon(np.concatenate((points + aside, (points - aside)[::-1])), color, label)

    def lift(self) -> tuple[Array, Array]:
        """The picture, float32 `[H, W, 3]`, and the labels, uint8 `[H, W]`, at their own size again."""
        middle = slice(_SUPERSAMPLE // 2, None, _SUPERSAMPLE)
        rgb = np.asarray(self._rgb.reduce(_SUPERSAMPLE), np.float32)
        return rgb, np.asarray(self._labels)[middle, middle].copy()


def _enlarged(image: Array) -> Pillow.Image:
    height, width = image.shape[:2]
    return Pillow.fromarray(image).resize((width * _SUPERSAMPLE, height * _SUPERSAMPLE), Pillow.Resampling.NEAREST)


def _box(centre: Array, axis: Array, length: float, depth: float) -> Array:
    """The corners `[4, 2]` of a box, its first side on the negative side across `axis`."""
    along, across = axis * length / 2, axis[::-1] * (1, -1) * depth / 2
    return np.stack(
        (centre - along - across, centre + along - across, centre + along + across, centre - along + across)
    )


def _swept(mask: Array, shift: Array) -> Array:
    """Where a mask falls when swept along a shift of `(x, y)` pixels: the shadow of what stands on it."""
    image = Pillow.fromarray(mask.astype(np.uint8))
    steps = [(1, 0, -share * shift[0], 0, 1, -share * shift[1]) for share in (0.35, 0.7, 1)]
    falls = [np.asarray(image.transform(image.size, Pillow.Transform.AFFINE, step)) for step in steps]
    return np.asarray(np.any(falls, axis=0))


def _shade(rgb: Array, shadow: Array) -> Array:
    """Shadows keep some of the sky's blue."""
    return np.asarray(rgb * (1 - blur(shadow, 0.8)[..., None] * np.array((0.52, 0.48, 0.38), np.float32)))


def _photograph(rng: np.random.Generator, rgb: Array) -> Array:
    """Clouds' shadows, exposure, haze, a lens that is not quite sharp, and a sensor's noise."""
    clouds = 1 - np.float32(rng.uniform(0, 0.3)) * np.clip(3 * noise(rng, rgb.shape[:2], 210) - 1.6, 0, 1)
    haze = rng.uniform(0, 0.14)
    exposure = rng.uniform(0.88, 1.14) * rng.uniform(0.97, 1.03, 3) * (1 - haze)
    hazy = rgb * (clouds[..., None] * exposure.astype(np.float32)) + np.array(
        (196, 206, 220), np.float32
    ) * np.float32(haze)
    soft = Pillow.fromarray(_to_bytes(hazy)).filter(ImageFilter.GaussianBlur(rng.uniform(0.25, 0.6)))
    grain = rng.standard_normal(rgb.shape, np.float32) * np.float32(rng.uniform(1.2, 3.2))
    return _to_bytes(np.asarray(soft) + grain)


def _mix(below: Array, above: Array | tuple[int, int, int], share: Array) -> Array:
    return below + (np.asarray(above, np.float32) - below) * share[..., None]


def _to_bytes(rgb: Array) -> Array:
    return np.clip(rgb + 0.5, 0, 255).astype(np.uint8)


def _to_color(color: tuple[float, ...]) -> tuple[int, ...]:
    return tuple(min(max(int(value), 0), 255) for value in color)
