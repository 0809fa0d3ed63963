"""The text of `reports/scenes.geojson`: where each scene lies on the earth, and how much of it each class covers.

A GeoJSON document (RFC 7946) with a line for each image, so that it can be read line by line as well.
"""

import json
from collections.abc import Iterable, Iterator

from maskbeam.pipeline.output.grids import grid_of
from maskbeam.pipeline.reports.packed import in_order
from maskbeam.pipeline.reports.report_files import ImageRow
from maskbeam.pipeline.text.json_text import json_text
from maskbeam.transforms.classes.class_table import ClassTable
from maskbeam.transforms.elements import Grid
from maskbeam.transforms.geo.footprint import footprint
from maskbeam.transforms.measures.area import AREA

_BEGIN, _END = '{"type": "FeatureCollection", "features": [', "\n]}\n"


def scenes_geojson(rows: Iterable[ImageRow], table: ClassTable) -> Iterator[str]:
    """The document in pieces, sorted by id; all of it, or one shard."""
    features = ((row.image_id, feature(row, table)) for row in rows)
    yield _BEGIN
    for number, (_, line) in enumerate(in_order(features)):
        yield f"{',' if number else ''}\n{line}"
    yield _END


def feature(row: ImageRow, table: ClassTable) -> str:
    """The line of an image; one without a place on the earth has no geometry, as the standard has it (3.2)."""
    grid = grid_of(row.grid)
    place = footprint(grid, (row.height, row.width)) if isinstance(grid, Grid) else None
    told = zip(AREA.image_columns(table), AREA.image_values(row.counted[AREA], table), strict=True)
    properties = {"id": row.image_id, "width": row.width, "height": row.height, **dict(told)}
    # Not as other reports have floats: the digits of a place are what they are meant to be.
    return f'{{"type": "Feature", "geometry": {json.dumps(place)}, "properties": {json_text(properties)}}}'


def features_of(text: Iterable[str]) -> Iterator[str]:
    """The lines of images of a document that was written here."""
    return (line.rstrip("\n").removesuffix(",") for line in text if line.startswith('{"type": "Feature",'))
