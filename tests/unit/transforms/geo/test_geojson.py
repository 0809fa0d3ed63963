"""Documents that are GeoJSON with polygons, and those that are not."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskbeam.transforms.errors import RunError
from maskbeam.transforms.geo.geojson import Aoi, parse_aoi

GEOMETRY = {"type": "Polygon", "coordinates": [[[0, 0, 7], [1, 0, 7], [1, 1, 7], [0, 0, 7]]]}
RING = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0))


@pytest.mark.parametrize(
    "values",
    [
        GEOMETRY,
        {"type": "MultiPolygon", "coordinates": [GEOMETRY["coordinates"]]},
        {"type": "Feature", "geometry": GEOMETRY},
        {"type": "GeometryCollection", "geometries": [{"type": "Point", "coordinates": [1, 2]}, GEOMETRY]},
        {
            "type": "FeatureCollection",
            "features": [{"type": "Feature", "geometry": None}, {"type": "Feature", "geometry": GEOMETRY}],
        },
    ],
)
def test_every_kind_of_document(values: dict[str, Any]) -> None:
    assert parse_aoi(json.dumps(values), "a") == Aoi(((RING,),), "OGC:CRS84")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[]", "no GeoJSON object"),
        ("7", "no GeoJSON object"),
        ("{}", "no sound GeoJSON"),
        ('{"type": "Topology", "objects": {}}', "'Topology' is no type of it"),
        ('{"type": "FeatureCollection", "features": []}', "without any polygon"),
        ('{"type": "Point", "coordinates": [1, 2]}', "without any polygon"),
        ('{"type": "Polygon", "coordinates": []}', "without any polygon"),
        ('{"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]}', "three points"),
        ('{"type": "Polygon", "coordinates": [[[0, 0], [1, NaN], [2, 2]]]}', "finite numbers"),
        ('{"type": "Polygon", "coordinates": [[[0, 0], ["x", 1], [2, 2]]]}', "no sound GeoJSON"),
        ('{"type": "Polygon", "coordinates": [[[0], [1], [2]]]}', "no sound GeoJSON"),
        ('{"type": "FeatureCollection", "features": 7}', "no sound GeoJSON"),
        ('{"type": "Feature"}', "no sound GeoJSON"),
    ],
)
def test_a_document_that_is_none_stops_the_run_and_says_why(text: str, says: str) -> None:
    with pytest.raises(RunError) as error:
        parse_aoi(text, "--aoi field.geojson")
    assert says in str(error.value)
    assert str(error.value).startswith("--aoi field.geojson is ")


@pytest.mark.parametrize("crs", ["EPSG:99999999", "nonsense"])
def test_a_system_that_nobody_knows_stops_the_run(crs: str) -> None:
    with pytest.raises(RunError, match="names a coordinate system that is not known"):
        parse_aoi(json.dumps({**GEOMETRY, "crs": {"type": "name", "properties": {"name": crs}}}), "a")


def test_old_names_of_systems_are_known() -> None:
    for name in ("urn:ogc:def:crs:OGC:1.3:CRS84", "urn:ogc:def:crs:EPSG::32633", "EPSG:4326"):
        text = json.dumps({**GEOMETRY, "crs": {"type": "name", "properties": {"name": name}}})
        assert parse_aoi(text, "a").crs == name


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
        st.sampled_from(["type", "coordinates", "features", "geometry", "geometries", "crs"]), inner, max_size=4),
    max_leaves=12,
))  # fmt: skip
def test_any_document_is_polygons_or_a_run_error(values: Any) -> None:
    for kind in (None, "Polygon", "MultiPolygon", "FeatureCollection", "Feature", "GeometryCollection"):
        told = {**values, "type": kind} if kind and isinstance(values, dict) else values
        try:
            assert parse_aoi(json.dumps(told), "a").polygons
        except RunError:
            continue
