"""Manifests in their three formats, and clear errors with line numbers."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskbeam.pipeline.inputs.manifest import Line, parse_manifest
from maskbeam.pipeline.text.csv_text import csv_line
from maskbeam.transforms.elements import Companion
from maskbeam.transforms.errors import RunError


def test_text_keeps_names_as_they_are() -> None:
    data = "\ufeffa.jpg\r\n\r\nsub/b c .jpg\n#1[*]?.png\n/abs/x.png\n../up.png\ngs://b/k.png\n".encode() + b"\xff.png"
    assert list(parse_manifest("/data/list.txt", data)) == [
        Line(1, "/data/a.jpg", ""),
        Line(3, "/data/sub/b c .jpg", ""),
        Line(4, "/data/#1[*]?.png", ""),
        Line(5, "/abs/x.png", ""),
        Line(6, "/up.png", ""),
        Line(7, "gs://b/k.png", ""),
        Line(8, "/data/\udcff.png", ""),
    ]


def test_comments_of_a_text_and_blank_lines_of_all_are_no_inputs() -> None:
    data = b"# photos of May\n#\n  \n#1.png\n\t\na # b.png\n./# c.png\n#\td.png"
    assert [line.uri for line in parse_manifest("/d/list.txt", data)] == ["/d/#1.png", "/d/a # b.png", "/d/# c.png"]
    data = b" \n\nuri,id\n   \na.jpg,1\n\t\n# b.jpg,2\n"
    assert list(parse_manifest("/d/list.csv", data)) == [Line(5, "/d/a.jpg", "1"), Line(7, "/d/# b.jpg", "2")]
    data = b' \n{"uri": "a.jpg"}\n\t\n'
    assert list(parse_manifest("/d/list.jsonl", data)) == [Line(2, "/d/a.jpg", "")]


def test_csv_by_its_header() -> None:
    data = b'id,URI ,split\n1,a.jpg,train\n,"b, ""c"".jpg",val\n\n'
    assert list(parse_manifest("/d/list.CSV", data)) == [Line(2, "/d/a.jpg", "1"), Line(3, '/d/b, "c".jpg', "")]


def test_reports_are_manifests_as_they_are() -> None:
    report = csv_line(["id", "width", "source"]) + csv_line(["=1+1", 7, "/in/\udcff.png"])
    assert list(parse_manifest("/out/reports/images.csv", report.encode())) == [Line(2, "/in/\udcff.png", "=1+1")]
    queue = csv_line(["rank", "id", "uri", "why"]) + csv_line([1, "-x", "/in/s#12", "low"])
    assert list(parse_manifest("/out/review/rare.csv", queue.encode())) == [Line(2, "/in/s#12", "-x")]
    failures = b'{"id": "", "where": "/in/a.png", "code": "UNREADABLE"}'
    assert list(parse_manifest("/out/reports/failures.jsonl", failures)) == [Line(1, "/in/a.png", "")]


def test_apostrophes_of_a_persons_own_list_stay() -> None:
    data = b"uri,id\na.jpg,'=1\n"
    assert list(parse_manifest("/d/list.csv", data)) == [Line(2, "/d/a.jpg", "'=1")]


@pytest.mark.parametrize("extension", ["jsonl", "json-lines", "ndjson"])
def test_json_lines(extension: str) -> None:
    data = b'{"uri": "a.jpg", "id": 7, "more": {}}\n\n{"uri": "gs://b/\\u00e9.jpg"}\n{"uri": "c", "id": null}'
    assert list(parse_manifest(f"/d/list.{extension}", data)) == [
        Line(1, "/d/a.jpg", "7"),
        Line(3, "gs://b/é.jpg", ""),
        Line(4, "/d/c", ""),
    ]


def test_a_list_of_files_is_one_image() -> None:
    data = (
        b'{"uri": ["a.tif", "x/../b.tif"], "id": 7}\n'
        b'{"uri": ["gs://k/a", "gs://k/b"], "bands": ["red", "nir"]}\n'
        b'{"uri": ["a.tif"], "bands": ["red"]}\n{"uri": "a.tif", "bands": null}'
    )
    assert list(parse_manifest("/d/list.jsonl", data)) == [
        Line(1, "/d/a.tif", "7", (Companion("/d/a.tif", ""), Companion("/d/b.tif", ""))),
        Line(2, "gs://k/a", "", (Companion("gs://k/a", "", name="red"), Companion("gs://k/b", "", name="nir"))),
        Line(3, "/d/a.tif", ""),
        Line(4, "/d/a.tif", ""),
    ]


@given(st.lists(st.tuples(st.text(st.characters(exclude_characters="\0\r", codec="utf-8"), min_size=1), st.text())))
@settings(max_examples=50, deadline=None)
def test_any_name_survives_json(entries: list[tuple[str, str]]) -> None:
    data = "\n".join(json.dumps({"uri": f"gs://b/{uri}", "id": image_id}) for uri, image_id in entries)
    found = [(line.uri, line.image_id) for line in parse_manifest("/d/list.jsonl", data.encode())]
    assert found == [(f"gs://b/{uri}", image_id) for uri, image_id in entries]


@pytest.mark.parametrize(
    ("target", "uri"),
    [("a//b.jpg", "gs://k/x/a//b.jpg"), ("../c.jpg", "gs://k/c.jpg"), ("../../../c.jpg", "gs://k/c.jpg")],
)
def test_relative_to_a_manifest_in_a_bucket(target: str, uri: str) -> None:
    assert [line.uri for line in parse_manifest("gs://k/x/list.txt", target.encode())] == [uri]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("l.csv", b"path,id\na,b\n", "line 1: the header"),
        ("l.csv", b"", "line 1: the header"),
        ("l.csv", b"uri,id\na.jpg\n", "line 2: 1 fields where the header has 2"),
        ("l.csv", b"uri,id\nx,1\n,3\n", "line 3: has no uri"),
        ("l.csv", b'uri\n"a', "line 2"),
        ("l.jsonl", b'{"uri": "a"}\n{', "line 2: is no JSON"),
        ("l.jsonl", b"[" * 100_000, "line 1: is no JSON"),
        ("l.jsonl", b'["a"]', "line 1: is no object"),
        ("l.jsonl", b'{"id": "a"}', "line 1: has no uri"),
        ("l.jsonl", b'{"uri": 3}', "line 1: has no uri"),
        ("l.jsonl", b'{"uri": "a", "id": [1]}', "line 1: has an id"),
        ("l.jsonl", b'{"uri": "a", "id": true}', "line 1: has an id"),
        ("l.jsonl", b'{"uri": []}', "line 1: has no uri"),
        ("l.jsonl", b'{"uri": ["a", 3]}', "line 1: has no uri"),
        ("l.jsonl", b'{"uri": ["a", ""]}', "line 1: has no uri"),
        ("l.jsonl", b'{"uri": ["a", "x/../a"]}', "line 1: lists a file twice"),
        ("l.jsonl", b'{"uri": ["gs://k/a", "gs://l/a"]}', "line 1: lists files of several buckets"),
        ("l.jsonl", b'{"uri": ["gs://k/a", "a"]}', "line 1: lists files of several buckets"),
        ("l.jsonl", b'{"uri": ["a", "b"], "bands": ["x"]}', "line 1: has bands that are not a list of names"),
        ("l.jsonl", b'{"uri": ["a", "b"], "bands": ["x", "x"]}', "line 1: has bands"),
        ("l.jsonl", b'{"uri": ["a", "b"], "bands": ["x", 1]}', "line 1: has bands"),
        ("l.jsonl", b'{"uri": ["a", "b"], "bands": "xy"}', "line 1: has bands"),
        ("l.jsonl", b'{"uri": "a", "bands": ["x", "y"]}', "line 1: has bands"),
        ("l.txt", "a.jpg".encode("utf-16"), "UTF-8"),
        ("l.txt", b"a.jpg\nhttp://host/a.jpg", "line 2: http:// is not supported"),
    ],
)
def test_a_wrong_line_is_named(name: str, data: bytes, message: str) -> None:
    with pytest.raises(RunError, match=message):
        list(parse_manifest(f"/d/{name}", data))
