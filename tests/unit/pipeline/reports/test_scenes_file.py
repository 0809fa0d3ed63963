import csv
import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from pyproj import Transformer

from maskbeam.pipeline.commands.merge import merge
from maskbeam.pipeline.reports.report_files import ImageRow
from maskbeam.pipeline.reports.scenes_file import feature, features_of, scenes_geojson
from maskbeam.pipeline.run import run
from maskbeam.transforms.classes.class_table import ClassInfo, ClassTable
from maskbeam.transforms.elements import Source
from maskbeam.transforms.measures.area import AREA, Area
from maskbeam.transforms.measures.counted import Counted
from maskbeam.transforms.measures.registry import MEASURES
from tests.support.numpy_engine import numpy_loader, numpy_probe
from tests.support.scene_runs import SIZE, draw_scenes, labels_of, run_scenes

TABLE = ClassTable((ClassInfo(0, 0, 'sea, "deep"', (0, 0, 1)), ClassInfo(1, 7, "land", (0, 1, 0))), "test")
AREAS = Area({0: 3 * 10**12, 7: 10**11}, 1, "planar", "EPSG:32633")
UTM = {"crs": "EPSG:32633", "transform": [10.0, 0.0, 500000.0, 0.0, -10.0, 5600000.0]}


def row(name: str, **said: object) -> ImageRow:
    counted = Counted(tuple(AREAS if measure is AREA else measure.zero for measure in MEASURES))
    return replace(ImageRow(name, Source(name, ""), 100, 200, counted, UTM), **said)  # type: ignore[arg-type]


def test_a_scene_is_a_feature_with_its_ground_and_its_square_kilometres() -> None:
    found = json.loads(feature(row("a/b"), TABLE))
    assert found["type"] == "Feature"
    (ring,) = found["geometry"]["coordinates"]
    to_map = Transformer.from_crs("OGC:CRS84", "EPSG:32633", always_xy=True)
    eastings, northings = to_map.transform([point[0] for point in ring], [point[1] for point in ring])
    assert min(eastings) == pytest.approx(500_000, abs=0.05)
    assert max(eastings) == pytest.approx(502_000, abs=0.05)
    assert min(northings) == pytest.approx(5_599_000, abs=0.05)
    assert found["properties"] == {
        "id": "a/b",
        "width": 200,
        "height": 100,
        "crs": "EPSG:32633",
        "area_method": "planar",
        'area_km2_sea, "deep"': 3,
        "area_km2_land": 0.1,
    }


@pytest.mark.parametrize(
    "grid", [{}, {"crs": "", "transform": UTM["transform"]}, {"crs": "EPSG:32633", "points": "a"}]
)
def test_a_scene_whose_place_is_not_told_has_no_geometry(grid: dict[str, object]) -> None:
    assert json.loads(feature(row("a", grid=grid), TABLE))["geometry"] is None


@pytest.mark.parametrize("names", [[], ["a"], ["b", "a", "c"]])
def test_the_document_is_sorted_and_can_be_read_line_by_line(names: list[str]) -> None:
    text = "".join(scenes_geojson([row(name) for name in names], TABLE))
    assert text == "".join(scenes_geojson([row(name) for name in names[::-1]], TABLE))
    found = json.loads(text)
    assert found["type"] == "FeatureCollection"
    assert [each["properties"]["id"] for each in found["features"]] == sorted(names)
    lines = list(features_of(text.splitlines(keepends=True)))
    assert list(map(json.loads, lines)) == found["features"]
    assert lines == [feature(row(name), TABLE) for name in sorted(names)]


def report(out: Path, name: str = "scenes.geojson") -> bytes:
    return (out / "reports" / name).read_bytes()


def test_runs_parts_and_reruns_write_the_same_document(tmp_path: Path) -> None:
    draw_scenes(tmp_path / "in", 3)
    inputs, out = tmp_path / "in", tmp_path / "out"
    assert run_scenes(inputs, out) == 0
    found = json.loads(report(out))
    rows = list(csv.DictReader(report(out, "images.csv").decode().splitlines()))
    assert [each["properties"]["id"] for each in found["features"]] == [each["id"] for each in rows]
    for number, (each, line) in enumerate(zip(found["features"], rows, strict=True)):
        for class_id in range(3):
            expected = (labels_of(number) == class_id).sum() * 100 / 1e6
            assert each["properties"][f"area_km2_class_{class_id}"] == expected
            assert float(line[f"area_km2_class_{class_id}"]) == expected
        assert (each["properties"]["height"], each["properties"]["width"]) == SIZE
    first = report(out)
    assert run_scenes(inputs, out) == 0
    assert report(out) == first
    (out / "masks/scene-1.tif").unlink()
    assert run_scenes(inputs, out) == 0
    assert report(out) == first


def test_plain_pictures_have_no_such_report_and_no_areas(tmp_path: Path) -> None:
    draw_scenes(tmp_path / "in", 1)
    assert run_scenes(tmp_path / "in", tmp_path / "out", "--mask_format", "png") == 0
    assert not (tmp_path / "out/reports/scenes.geojson").exists()
    for name in ("images.csv", "classes.csv", "summary.json"):
        assert b"km2" not in report(tmp_path / "out", name)


def test_parts_and_their_merge_write_what_one_run_does(tmp_path: Path) -> None:
    draw_scenes(tmp_path / "in", 4)
    assert run_scenes(tmp_path / "in", tmp_path / "whole") == 0
    for part in ("1/2", "2/2"):
        assert run_scenes(tmp_path / "in", tmp_path / "parts", "--part", part) == 0
    assert (
        merge(str(tmp_path / "parts"), None, run=partial(run, find_probe=numpy_probe, make_loader=numpy_loader)) == 0
    )
    for name in ("scenes.geojson", "images.csv", "classes.csv"):
        assert report(tmp_path / "parts", name) == report(tmp_path / "whole", name)
