import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskbeam.pipeline.output.claim import (
    Claim,
    Record,
    Verdict,
    claim_text,
    judge,
    parse_claim,
    parse_record,
    record_text,
)
from maskbeam.pipeline.output.tree import Tree
from maskbeam.transforms.elements import Source

TREE = Tree("/out", "/out/.tmp", "masks/{}.png", "f", "i")
MINE = Claim(place="5", version="v1", content="c", fingerprint="f", inputs="i")


@pytest.mark.parametrize(
    ("held", "verdict"),
    [
        (None, Verdict.REPLACE),
        (MINE, Verdict.KEEP),
        (replace(MINE, inputs="another command"), Verdict.KEEP),
        (replace(MINE, version="v0"), Verdict.REPLACE),
        (replace(MINE, fingerprint="another model"), Verdict.REPLACE),
        (replace(MINE, place="4"), Verdict.YIELD),
        (replace(MINE, place="6"), Verdict.REPLACE),
        (replace(MINE, place="6", inputs="another command"), Verdict.YIELD),
    ],
)
def test_who_keeps_an_output(held: Claim | None, verdict: Verdict) -> None:
    assert judge(held, MINE) is verdict


@pytest.mark.parametrize(
    ("held", "verdict"),
    [
        (MINE, Verdict.KEEP),
        (replace(MINE, place="4"), Verdict.YIELD),
        (replace(MINE, place="6"), Verdict.REPLACE),
        (replace(MINE, inputs="another command"), Verdict.REPLACE),
        (replace(MINE, place="4", inputs="another command"), Verdict.REPLACE),
        (replace(MINE, place="6", inputs="another command"), Verdict.REPLACE),
    ],
)
def test_who_keeps_an_output_that_is_overwritten(held: Claim, verdict: Verdict) -> None:
    assert judge(held, MINE, overwrite=True) is verdict


@given(st.permutations(["a", "b", "c", "d"]))
def test_the_same_source_wins_in_any_order_of_work(order: list[str]) -> None:
    held: Claim | None = None
    for place in order:
        mine = replace(MINE, place=place)
        held = held if judge(held, mine) is Verdict.YIELD else mine
    assert held is not None
    assert held.place == "a"


def test_claims_and_records_survive_their_text() -> None:
    claim = TREE.claim(Source("gs://patients/Jane Doe.png", "17", "00ff"))
    counted = {"images": 1, "total": 12, "classes": {"7": [12, 1, 10**9, 12]}}
    record = Record(claim, 3, 4, counted, {"color/{}.png": 120})
    (text,) = record_text(record).values()
    assert parse_record(text) == record
    assert parse_record(text.replace('{"7"', '{"?"')) is None
    assert parse_claim(text) == claim
    assert parse_claim(*claim_text(claim).values()) == claim
    assert "Jane" not in text
    assert text.isascii()


def test_products_lie_where_their_image_does_and_in_older_records_where_they_say() -> None:
    new = Record(MINE, 1, 1, {}, {"color/{}.png": 1, "binary/c%7B%7D/{}.png": 2, "overlay/{}.jpg": 3})
    assert new.files("a/{}b") == {"color/a/{}b.png": 1, "binary/c%7B%7D/a/{}b.png": 2, "overlay/a/{}b.jpg": 3}
    older = {"color/sub/{a}.png": 1, "binary/class_0/x.{}.png": 2}
    assert replace(new, products=older).files("other") == older


SOUND = {"images": 1, "total": 12, "classes": {"7": [12, 1, 10**9, 12]}}


ODD: dict[str, list[object]] = {
    "products": [
        *({"../../x.png": 1}, {"/etc/x": 1}, {"color/a": -1}, ["a"], "a", {"color/../x.png": 1}),
        *({"masks/b.png": 1}, {"color/\0.png": 1}, {"color//a.png": 1}),
    ],
    "height": ["3", -1, 1e308, None, [1], 1 << 70],
    "width": ["3", -1],
    "orientation": [0, 9, "1", []],
    "options": [[1], {"color": 1}, None],
    "drawn": [[1], {"color": 1}],
    "claim": [{**vars(MINE), "place": value} for value in (None, 1, [1])],
    "statistics": [
        *({**SOUND, "total": -1}, {**SOUND, "total": 10**40}, {**SOUND, "confidence_sum": float("inf")}),
        *({**SOUND, "classes": {"7": [-1]}}, {**SOUND, "classes": {"-7": [1]}}, {**SOUND, "classes": [1]}),
    ],
    "evil": [1],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in ODD for value in ODD[name]])
def test_a_record_that_nobody_of_ours_wrote_is_none(name: str, value: object) -> None:
    text = json.loads(record_text(Record(MINE, 3, 4, SOUND, {"color/{}.png": 120}))["maskbeam"])
    assert parse_record(json.dumps(text)) is not None
    assert parse_record(json.dumps({**text, name: value})) is None


@pytest.mark.parametrize(
    "text",
    [
        100_000 * "[",
        100_000 * '{"a":',
        None,
        "",
        "x",
        "[]",
        "{}",
        '{"place": 1}',
        '{"claim": {}}',
        "1",
        '{"claim": 5}',
    ],
)
def test_what_cannot_be_understood_is_no_claim(text: str | None) -> None:
    assert parse_claim(text) is None
    assert parse_record(text) is None
